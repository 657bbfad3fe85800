"""
Card fraud, one task per merchant
=================================

What is normal at a petrol station is not at a jeweller's: amounts, hours and distances
differ by merchant, and so does how much they vary. What fraud does to them is alike
everywhere. So every merchant is a task. The data are made here: no real payments.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from pyod.models.iforest import IForest
from pyod.models.knn import KNN
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score

from skmetaad import (
    MetaPrototypeDetector,
    PyODDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.inspection import ScoreHistogramDisplay

# %%
# The payments
# ------------
#
# Three kinds of fraud: a high amount at an odd hour, an odd hour alone, and bursts of
# payments far from home. Four columns say nothing at all, as in most real tables.

rng = np.random.default_rng(0)


def payments(merchant):
    n = int(rng.integers(150, 400))
    frauds = max(5, n // 30)
    hour = rng.uniform(8, 22) + rng.uniform(1.5, 4) * rng.normal(size=n)
    table = {
        "log_amount": rng.normal(3.5, 1) + rng.uniform(0.25, 0.6) * rng.normal(size=n),
        "hour": hour,
        "log_distance": rng.uniform(0.5, 3) + 0.5 * rng.normal(size=n),
        "log_pause": rng.normal(1, 0.5) + 0.7 * rng.normal(size=n),
    }
    for i, width in enumerate(rng.uniform(0.5, 2, 4)):
        table[f"other_{i}"] = width * rng.normal(size=n)
    table = pd.DataFrame(table)
    table["merchant"] = merchant
    table["label"] = np.repeat([-1, 1], [frauds, n - frauds])
    kind = rng.integers(3, size=frauds)
    rows = np.arange(frauds)
    table.loc[rows, "log_amount"] += (kind == 0) * rng.uniform(0.8, 2, frauds)
    odd = rng.choice([-1, 1], frauds) * rng.uniform(2, 5, frauds)
    table.loc[rows, "hour"] += (kind < 2) * odd
    table.loc[rows, "log_pause"] -= (kind == 2) * rng.uniform(1.5, 3, frauds)
    table.loc[rows, "log_distance"] += (kind == 2) * rng.uniform(0.8, 2, frauds)
    return table.sample(frac=1, random_state=int(rng.integers(2**31)))


table = pd.concat([payments(f"merchant-{i}") for i in range(80)], ignore_index=True)
print(table.head().round(2).to_string())

# %%
# One task per merchant
# ---------------------
#
# Sixty merchants have a history with known frauds; twenty are new.

merchants = TaskCollection.from_frame(table, task="merchant", label="label")
known, new = merchants[:60], merchants[60:]
print(known)

detectors = {
    "MetaPrototype": MetaPrototypeDetector(random_state=0),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
    "isolation forest": PyODDetector(IForest(), random_state=0),
}
shots = (5, 10, 50)
print(f"{'mean AP at K =':<20}" + "".join(f"{k:>7}" for k in shots))
for name, detector in detectors.items():
    detector.fit(known)
    means = [
        np.mean(
            list(
                few_shot_scores(
                    detector, new, n_support=k, metric="average_precision"
                ).values()
            )
        )
        for k in shots
    ]
    print(f"{name:<20}" + "".join(f"{mean:7.3f}" for mean in means))
share = np.mean([task.n_outliers / len(task) for task in new])
print(f"share of frauds, the average precision of a blind guess: {share:.3f}")

# %%
# Average precision is the right number here: frauds are rare, and somebody looks at the
# first rows of the list. From the history of other merchants the detector knows which
# columns matter.
#
# One model for all merchants?
# ----------------------------
#
# Without meta-learning one would pool the payments of all merchants. An isolation
# forest on the pool has thousands of rows, but no idea of what is usual at one
# merchant. A classifier that learns the known frauds is the harder rival, once each
# merchant's columns are centred on its own first ten normal rows.

X, y, _ = known.arrays()
pooled = IForest(random_state=0).fit(X)


def named(X):
    return pd.DataFrame(X, columns=known.feature_names)


def centred(task):
    """Centre a task on ten normal rows; return its other rows and their labels."""
    first = np.flatnonzero(task.y == 1)[:10]
    rest = np.setdiff1d(np.arange(len(task)), first)
    return task.X[rest] - task.X[first].mean(axis=0), task.y[rest] == -1


parts = [centred(task) for task in known]
X, fraud = (np.concatenate(part) for part in zip(*parts, strict=True))
boosting = HistGradientBoostingClassifier(random_state=0).fit(X, fraud)

found = {"isolation forest, pooled": [], "boosting, centred": [], "MetaPrototype": []}
for task in new:
    X, fraud = centred(task)
    first = task.X[task.y == 1][:10]
    rows = X + first.mean(axis=0)
    adapted = detectors["MetaPrototype"].adapt(named(first))
    for name, score in (
        ("isolation forest, pooled", pooled.decision_function(rows)),
        ("boosting, centred", boosting.predict_proba(X)[:, 1]),
        ("MetaPrototype", -adapted.score_samples(named(rows))),
    ):
        found[name].append(average_precision_score(fraud, score))
for name, values in found.items():
    print(f"{name:<26} mean AP {np.mean(values):.3f}")

# %%
# The classifier comes so close that twenty merchants do not tell the two apart.
#
# Without known frauds
# --------------------
#
# The classifier needs them. The meta-learner can do without: it takes rows of other
# merchants for outliers. It loses much, and is still ahead of the nearest neighbour.

unlabelled = TaskCollection(Task(task.id, named(task.X)) for task in known)
blind = MetaPrototypeDetector(random_state=0).fit(unlabelled)
values = few_shot_scores(blind, new, n_support=10, metric="average_precision")
print(f"MetaPrototype, no label: mean AP {np.mean(list(values.values())):.3f}")

# %%
# A new merchant
# --------------

merchant = new[0]
normal = merchant.X[merchant.y == 1]
adapted = detectors["MetaPrototype"].adapt(named(normal[:10]))
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
ScoreHistogramDisplay.from_estimator(adapted, named(merchant.X), merchant.y, ax=ax)
