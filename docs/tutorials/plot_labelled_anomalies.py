"""
A few labelled anomalies
========================

Sooner or later somebody says: these two rows were faults. Detectors that know only
normal rows cannot use it. Meta-learned ones take labelled outliers in the support,
without being trained again.
"""

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.knn import KNN

from skmetaad import (
    MAMLClassifierDetector,
    MatchingNetworkDetector,
    MetaPrototypeDetector,
    PyODDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.datasets import make_fleet

# %%
# Faults that recur
# -----------------
#
# Labels of a task help where its faults resemble each other. Here every machine has one
# weakness: its faults lie in one direction, hardly further from its normal rows than
# these are from each other. Other machines have other weaknesses, so that the direction
# cannot be learned from them.

rng = np.random.default_rng(0)


def machine(name, n_rows=200, n_faults=30, n_features=8):
    weakness = rng.normal(size=n_features)
    weakness *= 3 / np.linalg.norm(weakness)
    X = rng.normal(size=(n_rows, n_features))
    X[:n_faults] += weakness
    return Task(name, X, np.repeat([-1, 1], [n_faults, n_rows - n_faults]))


machines = TaskCollection(machine(f"machine-{i}") for i in range(80))
known, new = machines[:60], machines[60:]

# %%
# Ten normal rows and some faults
# -------------------------------
#
# ``n_support_outliers=(0, 5)`` trains on supports with up to five labelled outliers.
# The nearest neighbour takes no labels.

detectors = {
    "MetaPrototype": MetaPrototypeDetector(random_state=0),
    "MatchingNetwork": MatchingNetworkDetector(
        n_support_outliers=(0, 5), random_state=0
    ),
    "MAMLClassifier": MAMLClassifierDetector(n_support_outliers=(0, 5), random_state=0),
    "nearest neighbour": PyODDetector(KNN(n_neighbors=1)),
}
labelled = (0, 1, 2, 5)
figure, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
print(f"{'AUROC, labelled faults:':<24}" + "".join(f"{n:>7}" for n in labelled))
for name, detector in detectors.items():
    detector.fit(known)
    means = [
        np.mean(
            list(few_shot_scores(detector, new, n_support=10, n_outliers=n).values())
        )
        for n in labelled
    ]
    print(f"{name:<24}" + "".join(f"{mean:7.3f}" for mean in means))
    ax.plot(labelled, means, marker="o", label=name)
ax.set(xlabel="labelled faults in the support", ylabel="mean AUROC, K = 10")
ax.legend()

# %%
# Those that learn how to compare with labelled rows gain most: other machines cannot
# tell where this one is weak, its own faults can. Without a label all are a little
# ahead of the nearest neighbour. ``MetaPrototypeDetector`` compares by distances, and
# gains hardly anything from labels.
#
# Giving labels
# -------------
#
# ``adapt`` takes them as ``y``: -1 for outliers, +1 for inliers, 0 for rows that nobody
# has looked at.

one = new[0]
normal, faults = one.X[one.y == 1], one.X[one.y == -1]
before = detectors["MatchingNetwork"].adapt(normal[:10])
after = detectors["MatchingNetwork"].adapt(
    np.concatenate([normal[:10], faults[:2]]), [1] * 10 + [-1] * 2
)
for when, adapted in (("no label", before), ("two labels", after)):
    found = (adapted.predict(faults[2:]) == -1).mean()
    alarms = (adapted.predict(normal[10:]) == -1).mean()
    print(f"{when}: other faults found {found:.2f}, false alarms {alarms:.2f}")

# %%
# Labelled outliers move the scores of normal rows as well. Thresholds follow, since
# they are learned with labels in the support, too, where the tasks of ``fit`` have
# some; look at the false alarms all the same before alarms are sent to anybody.
#
# Where labels say little
# -----------------------
#
# On a fleet whose faults differ from each other within a machine, a labelled fault says
# little about the next: ``MetaPrototypeDetector`` gains nothing there.

fleet = make_fleet(n_tasks=80, random_state=0)
print(f"{'AUROC, labelled faults:':<24}" + "".join(f"{n:>7}" for n in labelled))
for name in ("MetaPrototype", "nearest neighbour"):
    detector = detectors[name].fit(fleet[:60])
    means = [
        np.mean(
            list(
                few_shot_scores(
                    detector, fleet[60:], n_support=10, n_outliers=n
                ).values()
            )
        )
        for n in labelled
    ]
    print(f"{name:<24}" + "".join(f"{mean:7.3f}" for mean in means))
