"""
Side by side with PyOD
======================

The same support rows and the same query rows, once for PyOD's detectors and once for
meta-learned ones. Labels and signs convert, and each side can stand in the other's
loops.
"""

import matplotlib.pyplot as plt
import numpy as np
from pyod.models.ecod import ECOD
from pyod.models.iforest import IForest
from pyod.models.kde import KDE
from pyod.models.knn import KNN
from pyod.models.lof import LOF
from pyod.models.ocsvm import OCSVM
from pyod.utils.data import evaluate_print
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    MetaPrototypeDetector,
    MetaSVDDDetector,
    PyODDetector,
    few_shot_scores,
    to_pyod,
    to_pyod_labels,
)
from skmetaad.datasets import make_fleet
from skmetaad.inspection import CriticalDifferenceDisplay

fleet = make_fleet(n_tasks=70, n_rows=200, random_state=1)
known, new = fleet[:40], fleet[40:]

# %%
# PyOD's detectors in our loop
# ----------------------------
#
# ``PyODDetector`` fits one copy per task. ECOD stands apart: it scores the query rows
# together, so that a row's score depends on the others, and cannot be used on one row
# at a time.

detectors = {
    "MetaPrototype": MetaPrototypeDetector(random_state=0),
    "MetaSVDD": MetaSVDDDetector(random_state=0),
    "KNN, 1 neighbour": PyODDetector(KNN(n_neighbors=1)),
    "KNN, 5 neighbours": PyODDetector(KNN(n_neighbors=5)),
    "LOF": PyODDetector(LOF(n_neighbors=5)),
    "IForest": PyODDetector(IForest(), random_state=0),
    "OCSVM": PyODDetector(OCSVM()),
    "KDE": PyODDetector(KDE()),
    "ECOD (transductive)": PyODDetector(ECOD()),
}
metrics = ("roc_auc", "average_precision", "balanced_accuracy")
found = {}
print(f"{'ten rows of each of 30 tasks':<30}" + "".join(f"{m:>20}" for m in metrics))
for name, detector in detectors.items():
    detector.fit(known)
    values = [few_shot_scores(detector, new, metric=metric) for metric in metrics]
    found[name] = list(values[0].values())
    means = [np.mean(list(each.values())) for each in values]
    print(f"{name:<30}" + "".join(f"{mean:20.3f}" for mean in means))

# %%
# The balanced accuracy is at each detector's own threshold. Thirty tasks separate
# methods whose mean ranks are far apart, and no others: a bar joins those that the
# signed-rank test does not tell apart.

figure, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
CriticalDifferenceDisplay.from_predictions(found, ax=ax)

# %%
# A meta-detector in PyOD's loop
# ------------------------------
#
# ``to_pyod`` gives a ``pyod.models.base.BaseDetector``: 0 for inliers, 1 for outliers,
# higher scores for the more abnormal. Its ``fit`` adapts.

task = new[0]
normal = np.flatnonzero(task.y == 1)
train, test = normal[:10], np.setdiff1d(np.arange(len(task)), normal[:10])
truth = to_pyod_labels(task.y[test])
for detector in (KNN(n_neighbors=1), to_pyod(detectors["MetaPrototype"])):
    detector.fit(task.X[train])
    scores = detector.decision_function(task.X[test])
    evaluate_print(type(detector).__name__, truth, scores)

# %%
# Where PyOD needs no help
# ------------------------
#
# A single table has no related tasks to learn from. A meta-detector can be fitted to it
# all the same, with episodes drawn from its rows, but k-NN is simpler and, with ten
# rows, better; ``UniversalDetector`` is pretrained for such tables. Here benign tumours
# of scikit-learn's breast cancer table are normal.

X, benign = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit(X[benign == 1][:200]).transform(X)
normal = np.flatnonzero(benign == 1)
rest = np.r_[normal[200:], np.flatnonzero(benign == 0)]
print(f"{'rows':>5}{'KNN':>10}{'LOF':>10}{'MetaPrototype':>16}")
for k in (10, 50, 200):
    rows = X[normal[:k]]
    scores = [
        KNN(n_neighbors=1).fit(rows).decision_function(X[rest]),
        LOF(n_neighbors=5).fit(rows).decision_function(X[rest]),
        -MetaPrototypeDetector(random_state=0).fit(rows).score_samples(X[rest]),
    ]
    aurocs = [roc_auc_score(benign[rest] == 0, score) for score in scores]
    print(f"{k:>5}{aurocs[0]:10.3f}{aurocs[1]:10.3f}{aurocs[2]:16.3f}")
