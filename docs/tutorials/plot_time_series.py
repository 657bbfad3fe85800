"""
A fleet of time series
======================

Forty pumps, each a series of pressure and flow with its own level, daily rhythm and
noise. A new pump has run for two quiet days. Sliding windows turn every series into a
task whose rows are windows.
"""

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.knn import KNN
from sklearn.metrics import roc_auc_score

from skmetaad import (
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    PyODDetector,
    Task,
    TaskCollection,
)
from skmetaad.inspection import TimelineDisplay

# %%
# The series
# ----------
#
# Flow follows pressure with a delay. Faults last some hours: flow and pressure come
# apart, the pressure drifts, or it flutters. Values outside the usual range are rare,
# so that a limit on each value finds little.

rng = np.random.default_rng(0)
DAY, N_DAYS, N_FAULTS = 48, 20, 5


def pump(name):
    n = DAY * N_DAYS
    rhythm = 2 * np.pi * (np.arange(n) / DAY + rng.random())
    slow = np.convolve(rng.normal(size=n), np.ones(8) / 8, mode="same")
    pressure = rng.uniform(0.5, 1.5) * np.sin(rhythm) + slow
    flow = rng.uniform(0.6, 1.2) * np.roll(pressure, 2)
    y = np.ones(n, np.int8)
    for fault, start in enumerate(rng.choice(n // 24 - 8, N_FAULTS, replace=False)):
        rows = slice(24 * (start + 8), 24 * (start + 8) + int(rng.integers(10, 20)))
        length = rows.stop - rows.start
        y[rows] = -1
        if fault % 3 == 0:
            flow[rows] = flow[rows].mean()
        elif fault % 3 == 1:
            pressure[rows] += rng.choice([-1, 1]) * np.linspace(0, 1.5, length)
        else:
            pressure[rows] += 0.5 * (-1) ** np.arange(length)
    X = np.column_stack([pressure, flow]) + 0.15 * rng.normal(size=(n, 2))
    return Task(name, rng.normal(scale=3, size=2) + rng.uniform(0.5, 2) * X, y)


pumps = TaskCollection(pump(f"pump-{i}") for i in range(40))

# %%
# Windows
# -------
#
# A row is a window of eight half-hours, one every two hours, and an outlier if any of
# its steps is.

windows = TaskCollection.from_windows(pumps, 8, step=4)
known, new = windows[:30], windows[30:]
print(pumps, windows, sep="\n")

# %%
# Support comes before query
# --------------------------
#
# Rows are in the order of time, and support rows must come from the past: the first two
# days of a new pump. ``few_shot_scores`` would draw them at random. In training,
# ``chronological=True`` takes the support of an episode from the first half of its
# series and the query from the second.

N_SUPPORT = 2 * DAY // 4


def evaluate(detector, tasks):
    scores = []
    for task in tasks:
        adapted = detector.adapt(task.X[:N_SUPPORT])
        later = slice(N_SUPPORT, None)
        decision = adapted.decision_function(task.X[later])
        scores.append(roc_auc_score(task.y[later] == -1, -decision))
    return np.array(scores)


detectors = {
    "MetaPrototype": MetaPrototypeDetector(chronological=True, random_state=0),
    "MAMLAutoencoder": MAMLAutoencoderDetector(chronological=True, random_state=0),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
}
for name, detector in detectors.items():
    auroc = evaluate(detector.fit(known), new)
    print(f"{name:<20} AUROC mean {auroc.mean():.3f}, worst pump {auroc.min():.3f}")

# %%
# Windows overlap, so their labels and scores are not independent: ten pumps are ten
# observations, however many windows they have.
#
# One pump over time
# ------------------

task = new[0]
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
TimelineDisplay.from_estimator(
    detectors["MAMLAutoencoder"].adapt(task.X[:N_SUPPORT]),
    task.X,
    task.y,
    name=f"{task.id}, adapted on its first {N_SUPPORT} windows",
    ax=ax,
)
