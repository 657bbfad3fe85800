"""Collections made of classes: scikit-learn's digits, and Omniglot."""

import numpy as np

from skmetaad._compare._data import Collection, Fold, HeldOut, InputError, limit_tasks
from skmetaad.tasks import Task, TaskCollection

OMNIGLOT_FILES = ("background.npz", "test.npz")


def digits(*, n_folds, max_tasks, seed):
    """Split the ten digits by class; each held-out class is one task."""
    from sklearn.datasets import load_digits

    X, classes = load_digits(return_X_y=True)
    names = np.unique(classes)
    if n_folds > len(names) // 2:
        raise InputError(
            f"--folds {n_folds}: digits has {len(names)} classes, and a fold needs 2 "
            f"to hold out: expected at most {len(names) // 2}."
        )
    folds = []
    parts = np.array_split(np.random.default_rng(seed).permutation(names), n_folds)
    for number, part in enumerate(parts, 1):
        test = np.isin(classes, part)
        rows, labels = X[test], classes[test]
        held_out = [
            HeldOut(
                id=f"digit {name}",
                pool=np.flatnonzero(labels == name),
                inliers=np.empty(0, np.int64),
                outliers=np.flatnonzero(labels != name),
                shared=True,
            )
            for name in np.sort(part)
        ]
        train = TaskCollection.from_classes(X[~test], classes[~test])
        folds.append(Fold(f"{number}", train, rows, tuple(held_out)))
    folds, notes = limit_tasks(folds, max_tasks, seed)
    return Collection("digits", folds, notes)


def is_omniglot(path):
    if not all((path / name).is_file() for name in OMNIGLOT_FILES):
        return False
    with np.load(path / OMNIGLOT_FILES[0], allow_pickle=False) as file:
        return "class_id" in file.files


def omniglot(path, *, hard, max_tasks, seed):
    """Train on background characters; each held-out test character is one task."""
    train_X, train_id, _ = _read(path / OMNIGLOT_FILES[0])
    X, class_id, alphabet = _read(path / OMNIGLOT_FILES[1])
    # Without labels, other characters serve as outliers in meta-training.
    train = TaskCollection(
        [Task(f"character {c}", train_X[train_id == c]) for c in np.unique(train_id)]
    )
    held_out = []
    for name in np.unique(class_id):
        own = class_id == name
        others = ~own
        if hard:
            others = others & (alphabet == alphabet[np.argmax(own)])
        held_out.append(
            HeldOut(
                id=f"character {name}",
                pool=np.flatnonzero(own),
                inliers=np.empty(0, np.int64),
                outliers=np.flatnonzero(others),
                shared=True,
                balanced=True,
            )
        )
    folds = [Fold("1", train, X, tuple(held_out))]
    folds, notes = limit_tasks(folds, max_tasks, seed)
    return Collection(f"{path.name}{' (hard)' if hard else ''}", folds, notes)


def _read(path):
    with np.load(path, allow_pickle=False) as file:
        missing = [k for k in ("X", "class_id", "alphabet") if k not in file.files]
        if missing:
            raise InputError(
                f"{path} holds {', '.join(file.files)}: expected also "
                f"{', '.join(missing)}."
            )
        X = file["X"]
        ink = X.reshape(len(X), -1).astype(np.float32)
        if np.issubdtype(X.dtype, np.integer):
            ink /= np.iinfo(X.dtype).max
        return ink, file["class_id"], file["alphabet"]
