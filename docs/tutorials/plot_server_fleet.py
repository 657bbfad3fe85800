"""
A fleet of servers
==================

Sixty servers report the same eight numbers. The numbers of one server are driven by its
load, in a way that all servers share; each has its own level. Forty servers have been
watched for long, and their faults are known. Twenty are new: ten normal rows each.

A detector trained on one new server alone has ten rows to learn from. A meta-learned
detector has seen on the forty others what a fault looks like.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.knn import KNN

from skmetaad import (
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    PyODDetector,
    Task,
    TaskCollection,
    few_shot_scores,
    support_query_split,
)
from skmetaad.datasets import make_fleet
from skmetaad.inspection import AdaptationCurveDisplay, TaskScoreDisplay

fleet = make_fleet(n_tasks=60, n_rows=200, random_state=0)
known, new = fleet[:40], fleet[40:]
print(known)

# %%
# Meta-training
# -------------
#
# The rival is the nearest neighbour, the method to beat when rows are few. It is
# PyOD's, and ``PyODDetector`` fits one copy of it to each server's own rows. Nothing is
# learned from the other servers.

detectors = {
    "MetaPrototype": MetaPrototypeDetector(random_state=0),
    "MAMLAutoencoder": MAMLAutoencoderDetector(random_state=0),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
}
for name, detector in detectors.items():
    start = time.perf_counter()
    detector.fit(known)
    print(f"{name}: fitted in {time.perf_counter() - start:.1f} s")

# %%
# Ranking the rows of new servers
# -------------------------------
#
# From each new server K normal rows are drawn, all detectors adapt to these same rows,
# and rank the server's other rows.

shots = (2, 5, 10, 50)
print(f"{'mean AUROC at K =':<20}" + "".join(f"{k:>7}" for k in shots))
for name, detector in detectors.items():
    means = [
        np.mean(list(few_shot_scores(detector, new, n_support=k).values()))
        for k in shots
    ]
    print(f"{name:<20}" + "".join(f"{mean:7.3f}" for mean in means))

figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
for name, detector in detectors.items():
    AdaptationCurveDisplay.from_estimator(
        detector, new, n_support=shots, name=name, ax=ax
    )

# %%
# The mean hides single servers. Each line is one of them, at five rows.

figure, ax = plt.subplots(figsize=(6.4, 5), layout="constrained")
TaskScoreDisplay.from_estimator(
    detectors["MetaPrototype"],
    new,
    reference=detectors["nearest neighbour"],
    n_support=5,
    name="MetaPrototype",
    reference_name="nearest neighbour",
    ax=ax,
)

# %%
# Alarms
# ------
#
# All new servers are adapted to in one call. ``contamination`` is the share of normal
# rows that may be flagged, a tenth by default; the thresholds follow from what the
# forty servers have shown.

support, query = support_query_split(new, n_support=10, random_state=0)
X, y, server = query.arrays()
for name, detector in detectors.items():
    flagged = detector.adapt(support).predict(X, task=server) == -1
    print(
        f"{name:<20} false alarms {flagged[y == 1].mean():.2f}, "
        f"faults found {flagged[y == -1].mean():.2f}"
    )

# %%
# This fleet is easy: its servers differ in nothing but their level. On real servers the
# gain is smaller, see the :doc:`results </results>`.
#
# Where it does not pay
# ---------------------
#
# What is learned must come from somewhere. With two servers to train on there is less
# to learn across servers:

rows = "{:>16}" + "{:>18}" * 2
print(rows.format("AUROC at K = 5", "MetaPrototype", "MAMLAutoencoder"))


def trained_on(servers, test, k):
    means = []
    for one in (
        MetaPrototypeDetector(n_iter=100, random_state=0),
        MAMLAutoencoderDetector(n_iter=100, random_state=0),
    ):
        scores = few_shot_scores(one.fit(servers), test, n_support=k)
        means.append(np.mean(list(scores.values())))
    return [f"{mean:.3f}" for mean in means]


for n in (2, 5, 40):
    print(rows.format(f"{n} servers", *trained_on(known[:n], new, 5)))

# %%
# And with forty strangers, servers that share neither the scales of their numbers nor
# what drives them, there is nothing to learn from the others. ``MetaPrototypeDetector``
# has k-NN among its parts and is not behind it here; ``MAMLAutoencoderDetector`` has
# no such guard, and with fifty rows the nearest neighbour is ahead of it.

strangers = TaskCollection(
    Task(f"stranger-{seed}", *make_fleet(n_tasks=1, random_state=seed).arrays()[:2])
    for seed in range(60)
)
nearest = detectors["nearest neighbour"].fit(strangers[:40])
print(rows.format("40 strangers", "MetaPrototype", "MAMLAutoencoder") + "    nearest")
for k in (5, 50):
    mean = np.mean(list(few_shot_scores(nearest, strangers[40:], n_support=k).values()))
    meta = trained_on(strangers[:40], strangers[40:], k)
    print(rows.format(f"K = {k}", *meta) + f"{mean:11.3f}")
