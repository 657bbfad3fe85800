"""Tables of a data folder, which of them stay unseen, and the settings of a test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Made of the same tables as sets of ADBench: never trained on.
RELATED = {
    "ShuttleAnomaly",
    "SkinAnomaly",
    "Internet-Advertisements",
    "Satellite",
    "batch-3556_part-4_i2152",
    "batch-3731_part-7_i1791",
    "batch-4221_part-2_i3991",
    "spambase",
    "thyroid",
}
SETTINGS = ("one-class", "unsupervised", "K=10", "K=50", "one-class, 5 labels")
N_TRAIN, N_TEST, N_LABELLED = 2000, 2000, 5


def names(folder):
    """Return the names of a folder's sets, sorted."""
    return sorted(path.stem for path in Path(folder).glob("*.npz"))


def unseen(data, collection):
    """Return the sets that no training sees: all of adbench, two of five of others."""
    found = names(Path(data) / collection)
    if collection == "adbench":
        return found
    return [name for i, name in enumerate(found) if i % 5 in (0, 2)]


def seen(data, collection, *, validation=True):
    """Return the sets to train on; without `validation` one of five less."""
    rest = set(unseen(data, collection)) | RELATED
    return [
        name
        for i, name in enumerate(names(Path(data) / collection))
        if name not in rest and (validation or i % 5 != 4)
    ]


def load(data, collection, name):
    """Return inliers to train on, and test rows with 1 for outliers."""
    with np.load(Path(data) / collection / f"{name}.npz", allow_pickle=False) as file:
        if "X_train" in file.files:
            train, test, y = file["X_train"], file["X_test"], file["y_test"]
        else:
            X, y = file["X"], file["y"]
            inlier = np.random.default_rng(0).permutation(np.flatnonzero(y == 0))
            half = len(inlier) // 2
            rest = np.r_[inlier[half:], np.flatnonzero(y == 1)]
            train, test, y = X[inlier[:half]], X[rest], y[rest]
    return train.astype(np.float64), test.astype(np.float64), y.astype(np.int64)


@dataclass(frozen=True)
class Case:
    """What methods get: training rows, labelled outliers, rows to score, the truth."""

    train: np.ndarray
    outliers: np.ndarray
    test: np.ndarray
    y: np.ndarray


def case(train, test, y, setting):
    """Draw one setting, with a fixed seed."""
    rng = np.random.default_rng(0)
    train = train[rng.permutation(len(train))[:N_TRAIN]]
    kept = _stratified(y, N_TEST, rng)
    test, y = test[kept], y[kept]
    none = train[:0]
    if setting == "unsupervised":
        X = np.concatenate([train, test])
        y = np.r_[np.zeros(len(train), np.int64), y]
        kept = _stratified(y, N_TEST, rng)
        return Case(X[kept], none, X[kept], y[kept])
    if setting.startswith("K="):
        return Case(train[: int(setting[2:])], none, test, y)
    if setting == "one-class":
        return Case(train, none, test, y)
    marked = rng.permutation(np.flatnonzero(y == 1))[:N_LABELLED]
    if len(marked) == (y == 1).sum():
        marked = marked[: len(marked) // 2]
    rest = np.delete(np.arange(len(y)), marked)
    return Case(train, test[marked], test[rest], y[rest])


def _stratified(y, n, rng):
    """Return at most n places, with outliers in proportion but at least ten."""
    if len(y) <= n:
        return np.arange(len(y))
    outlier = rng.permutation(np.flatnonzero(y == 1))
    inlier = rng.permutation(np.flatnonzero(y == 0))
    n_out = min(len(outlier), max(10, round(n * len(outlier) / len(y))))
    return np.sort(np.r_[outlier[:n_out], inlier[: n - n_out]])
