"""PyOD's detectors on the same rows, and k-NN after scaling."""

import importlib
import time
import warnings

import numpy as np

from skmetaad._compare._series import DIFFERENCE, VARIANCE, WIDTH

KNN, NEAREST, TEN, SCALED = "KNN", "KNN (nearest)", "KNN (10)", "KNN (fleet-scaled)"
PYOD = {
    KNN: "knn",
    "LOF": "lof",
    "IForest": "iforest",
    "ECOD": "ecod",
    "COPOD": "copod",
    "OCSVM": "ocsvm",
    "KDE": "kde",
    "PCA": "pca",
    "HBOS": "hbos",
    "INNE": "inne",
    "GMM": "gmm",
}
# The neighbours that each k-NN has where K allows it.
NEIGHBOURS = {KNN: 5, NEAREST: 1, TEN: 10, SCALED: 5}
SEEDED = ("IForest", "PCA", "INNE", "GMM")
# What all of PyOD's detectors set their threshold for, left as it is.
PYOD_CONTAMINATION = 0.1
TRANSDUCTIVE = (
    "Transductive: scores the query rows together, so a row's score depends on the "
    "others."
)
REMARKS = {
    KNN: "PyOD's KNN on the K support rows with min(5, K - 1) neighbours, the most it "
    "takes, and with the one row at K = 1.",
    NEAREST: "The same k-NN with 1 neighbour: with few support rows often the harder "
    "bar.",
    TEN: "The same k-NN with min(10, K - 1) neighbours.",
    SCALED: "The same k-NN after scaling columns by the mean and standard deviation of "
    "the training tasks' inliers.",
    "ECOD": TRANSDUCTIVE,
    "COPOD": TRANSDUCTIVE,
    VARIANCE: f"Of the last {WIDTH} rows, summed over columns. No training, no "
    "support, no threshold; sees the whole test part, in time order.",
    DIFFERENCE: "To the row before, summed over columns. No training, no support, no "
    "threshold; sees the whole test part, in time order.",
}
TOO_FEW = {
    "LOF": (2, "LOF compares a row's neighbours with theirs and needs 2 support rows"),
    "PCA": (2, "PCA has no direction to find in one row and needs 2 support rows"),
    "INNE": (2, "INNE looks for each row's neighbour and needs 2 support rows"),
    "GMM": (2, "GMM needs 2 support rows"),
}


def make_pyod(name, n_support, seed):
    """Return one of PyOD's detectors, unfitted, made for so many support rows."""
    kind = KNN if name in NEIGHBOURS else name
    cls = getattr(importlib.import_module(f"pyod.models.{PYOD[kind]}"), kind)
    if kind in (KNN, "LOF"):
        wanted = NEIGHBOURS.get(name, 20)
        return cls(n_neighbors=max(1, min(wanted, n_support - 1)))
    return cls(random_state=seed) if kind in SEEDED else cls()


def pyod_scores(name, support, query, seed):
    """Return scores (higher = more abnormal), the threshold, and seconds.

    The seconds are those to fit and those to score.
    """
    start = time.perf_counter()
    model = make_pyod(name, len(support), seed)
    # PyOD scores the rows it is fitted on, without each row itself: one row alone has
    # no neighbour. Given twice it has, and query rows are scored just the same.
    twice = name in NEIGHBOURS and len(support) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.repeat(support, 2, axis=0) if twice else support)
        fitted = time.perf_counter()
        scores = model.decision_function(query)
    end = time.perf_counter()
    return scores, model.threshold_, fitted - start, end - fitted


def column_scale(train):
    """Return mean and standard deviation per column of the training inliers."""
    kept = [t.X if t.y is None else t.X[t.y != -1] for t in train]
    n_rows = sum(map(len, kept))
    mean = sum(X.sum(axis=0, dtype=np.float64) for X in kept) / n_rows
    square = sum(np.square(X - mean).sum(axis=0) for X in kept) / n_rows
    std = np.sqrt(square)
    # What does not vary in training is left as it is, as StandardScaler does.
    flat = std <= 1e-12 * (1 + np.abs(mean))
    return mean, np.where(flat, 1.0, std)
