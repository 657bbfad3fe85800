"""
A fleet of time series
======================

Forty pumps, each a series of pressure and flow with its own level, daily rhythm and
noise. A new pump has run for a few quiet hours. Sliding windows turn every series into
a task whose rows are windows.
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
# The support comes first
# -----------------------
#
# Rows are in the order of time, and support rows must come from the past: the first
# hours of a new pump, then its first two days. ``few_shot_scores`` would draw them at
# random, unless told otherwise. The first hours show a moment of the rhythm, not all of
# it. With ``chronological="consecutive"`` training knows that: the support of an
# episode are windows in a row from the first half of a series, and the query comes from
# the second.

SHORT, LONG = 4, 2 * DAY // 4  # windows of ten hours, and of two days


def evaluate(detector, tasks, n_support):
    """Return AUROC, false alarms and faults found of each task."""
    found = []
    for task in tasks:
        adapted = detector.adapt(task.X[:n_support])
        X, y = task.X[n_support:], task.y[n_support:]
        decision = adapted.decision_function(X)
        auroc = roc_auc_score(y == -1, -decision)
        found.append([auroc, *((decision < 0)[y == label].mean() for label in (1, -1))])
    return np.array(found)


in_a_row = {"chronological": "consecutive", "random_state": 0}
detectors = {
    "MetaPrototype": MetaPrototypeDetector(**in_a_row),
    "MAMLAutoencoder": MAMLAutoencoderDetector(**in_a_row),
    "MetaPrototype, any rows": MetaPrototypeDetector(random_state=0),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
}
head = ("AUROC", "worst pump", "false alarms", "found")
print(f"{'':<36}" + "".join(f"{name:>14}" for name in head))
for name, own in detectors.items():
    own.fit(known)
    for label, n_support in (("10 hours", SHORT), ("2 days", LONG)):
        found = evaluate(own, new, n_support)
        auroc, alarms, faults = found.mean(axis=0)
        figures = (auroc, found[:, 0].min(), alarms, faults)
        print(f"{name + ', ' + label:<36}" + "".join(f"{v:14.3f}" for v in figures))

# %%
# After ten hours the rest of the day lies far from all that the pump has shown: to its
# nearest neighbour nearly half of it is an alarm. Trained on any rows, a detector
# expects a support to show more than this one does, and flags more than the tenth it
# may.
#
# Windows overlap, so their labels and scores are not independent: ten pumps are ten
# observations, however many windows they have.
#
# One pump over time
# ------------------

task = new[0]
figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
TimelineDisplay.from_estimator(
    detectors["MAMLAutoencoder"].adapt(task.X[:LONG]),
    task.X,
    task.y,
    name=f"{task.id}, adapted on its first two days",
    ax=ax,
)
