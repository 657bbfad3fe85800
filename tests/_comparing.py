"""Runs the comparison on small folders of tasks."""

import csv

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from skmetaad.__main__ import main
from skmetaad._compare._folders import load
from skmetaad.utils import all_detectors

FAST = ["--seeds", "1", "--n-jobs", "1", "--set", "n_iter=5", "--quiet"]
OURS = [name for name, _ in all_detectors()]


def compare(*args):
    return main(["compare", *FAST, *map(str, args)])


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save_split(folder, n_tasks=4, n_features=3, n_rows=60, seed=0):
    """Write tasks with a train and a test part; outliers lie far away."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_tasks):
        X_train = rng.normal(i, 1, (n_rows, n_features))
        X_test = rng.normal(i, 1, (n_rows, n_features))
        y_test = np.zeros(n_rows, np.int64)
        y_test[20:30] = 1
        X_test[20:30] += 6
        np.savez(folder / f"m{i}.npz", X_train=X_train, X_test=X_test, y_test=y_test)
    return folder


def save_single(folder, n_tasks=3, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_tasks):
        y = (np.arange(40) % 4 == 0).astype(np.int64)
        X = rng.normal(i, 1, (40, n_features)) + 5 * y[:, None]
        np.savez(folder / f"t{i}.npz", X=X, y=y)
    return folder


def save_omniglot(folder, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, n in (("background", 5), ("test", 4)):
        class_id = np.repeat(np.arange(n), 6)
        np.savez(
            folder / f"{name}.npz",
            X=rng.integers(0, 256, (6 * n, 4, 4), dtype=np.uint8),
            class_id=class_id,
            alphabet=np.where(class_id < 2, "a", "b"),
        )
    return folder


def load_folder(folder, **options):
    options = {"window": None, "hard": False, **options}
    return load(folder, n_folds=None, max_tasks=None, seed=0, **options)
