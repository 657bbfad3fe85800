"""Collections read from a directory of npz files, one task per file."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from skmetaad._compare._data import (
    IN_ORDER_NOTE,
    Collection,
    Fold,
    HeldOut,
    InputError,
    limit_tasks,
)
from skmetaad._compare._images import is_omniglot, omniglot
from skmetaad.datasets import load_directory
from skmetaad.datasets._directory import UNREADABLE
from skmetaad.tasks import Task, TaskCollection

# Tasks that a note names.
N_NAMED = 5


def load(path, *, n_folds, max_tasks, seed, window, hard, related=None):
    """Return the `Collection` of a directory.

    Tasks in whose names the pattern `related` finds the same text share a fold.
    """
    path = Path(path)
    if not path.is_dir():
        kind = "is a file" if path.exists() else "no such directory"
        raise InputError(
            f"--tasks {path}: {kind}: expected 'digits' or a directory of npz files."
        )
    if is_omniglot(path):
        if window:
            raise InputError(f"--window needs series, but {path} holds drawings.")
        for option, value in (("--folds", n_folds), ("--related", related)):
            if value is not None:
                raise InputError(
                    f"{option}: {path} comes with its own split into background and "
                    "test."
                )
        max_tasks = 200 if max_tasks is None else max_tasks
        return omniglot(path, hard=hard, max_tasks=max_tasks, seed=seed)
    if hard:
        raise InputError(
            f"--hard needs an omniglot directory (background.npz and test.npz with "
            f"class_id), but {path} is none."
        )
    family = _families(related)
    tasks, left_out = _read(path, window)
    n_folds = 4 if n_folds is None else n_folds
    found = _folded(path.name, tasks, n_folds, max_tasks, seed, family)
    if left_out:
        note = (
            f"{len(left_out)} series are left out, as a part is shorter than --window: "
            f"{_shortened(left_out)}."
        )
        found = replace(found, notes=[note, *found.notes])
    return found


def _families(pattern):
    """Return what tells a task's family by its name; without a pattern, its name."""
    if pattern is None:
        return lambda name: name
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--related {pattern!r}: expected a regular expression: {error}."
        ) from error

    def family(name):
        match = found.search(name)
        return name if match is None else match[0]

    return family


class _Parts:
    """One task: its rows and labels, and how to split them when it is held out."""

    def __init__(self, id, train, test, window):
        self.id = str(id)
        parts = [test] if train is None else [train, test]
        self.X = np.concatenate([_flat(part.X) for part in parts])
        self.y = np.concatenate([_labels(part) for part in parts])
        self.n_train = 0 if train is None else len(train.X)
        self.window = window if train is None else None

    def held_out(self, first):
        rows = np.arange(len(self.X))
        query = rows >= self.n_train
        shared = not self.n_train
        inlier, outlier = self.y != -1, self.y == -1
        starts = {}
        if self.window:
            width, step = self.window
            starts = {"start": _placed(rows * step, first), "width": width}
        return HeldOut(
            id=self.id,
            pool=first + rows[inlier & (query == shared)],
            inliers=first + (rows[:0] if shared else rows[inlier & query]),
            outliers=first + rows[outlier & query],
            shared=shared,
            **starts,
        )


def _placed(start, first):
    # Indexed by the row of the fold; rows before `first` belong to other tasks.
    return np.concatenate([np.zeros(first, start.dtype), start])


def _flat(X):
    X = np.asarray(X)
    X = X.reshape(len(X), -1)
    return X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)


def _labels(task):
    return np.ones(len(task.X), np.int8) if task.y is None else task.y


def _read(path, window):
    whole = {name: _is_split(path, name) for name in _names(path)}
    if len(set(whole.values())) > 1:
        split = next(name for name, is_split in whole.items() if is_split)
        single = next(name for name, is_split in whole.items() if not is_split)
        raise InputError(
            f"{path} mixes tasks with a train part ({split}.npz) and without "
            f"({single}.npz): expected one kind; name a folder that holds one."
        )
    if any(whole.values()):
        train = _windowed(load_directory(path, part="train"), window)
        test = _windowed(load_directory(path, part="test"), window)
        by_id = {task.id: task for task in train}
        pairs = [(by_id[task.id], task) for task in test if task.id in by_id]
    else:
        pairs = [(None, task) for task in _windowed(load_directory(path), window)]
    tasks = [_Parts(test.id, train, test, window) for train, test in pairs]
    left_out = sorted(set(whole) - {task.id for task in tasks})
    for task in tasks:
        if not np.isfinite(task.X).all():
            raise InputError(
                f"task {task.id!r} of {path} holds NaN or infinite values: expected "
                "finite numbers."
            )
    return tasks, left_out


def _names(path):
    names = [f.relative_to(path).with_suffix("") for f in sorted(path.rglob("*.npz"))]
    if not names:
        raise InputError(f"--tasks {path}: no .npz file in it or below it.")
    return [name.as_posix() for name in names]


def _is_split(path, name):
    try:
        with np.load(path / f"{name}.npz", allow_pickle=False) as file:
            return "X_train" in file.files
    except UNREADABLE as error:
        raise InputError(
            f"--tasks {path}: {name}.npz is no archive of arrays ({error}): expected "
            "what numpy.savez writes."
        ) from error


def _windowed(tasks, window):
    if not window:
        return tasks
    width, step = window
    long = [task for task in tasks if len(task.X) >= width]
    if not long:
        raise InputError(f"--window {width}: no series has as many as {width} rows.")
    labels = None
    if any(task.y is not None for task in long):
        labels = {task.id: _labels(task) for task in long}
    series = {task.id: _flat(task.X) for task in long}
    return TaskCollection.from_windows(series, width, step, labels=labels, rule="any")


def _folded(name, tasks, n_folds, max_tasks, seed, family):
    """Leave families out by folds, among tasks with the same number of columns."""
    groups, notes, folds = {}, [], []
    for task in tasks:
        groups.setdefault(task.X.shape[1], []).append(task)
    families = {
        w: list(dict.fromkeys(family(t.id) for t in g)) for w, g in groups.items()
    }
    lonely = [t.id for w, g in groups.items() if len(families[w]) < 2 for t in g]
    if lonely:
        notes.append(
            f"{len(lonely)} of {len(tasks)} tasks are left out, as no unrelated task "
            f"has their number of columns: {_shortened(lonely)}."
        )
    groups = {w: g for w, g in sorted(groups.items()) if len(families[w]) > 1}
    if not groups:
        raise InputError(
            f"{name} has no two tasks with the same number of columns, or --related "
            "joins them all: a detector needs other tasks to learn from."
        )
    for width, group in groups.items():
        order = np.random.default_rng(seed).permutation(len(families[width]))
        prefix = f"{width} columns, " if len(groups) > 1 else ""
        parts = np.array_split(order, min(n_folds, len(order)))
        for number, part in enumerate(parts, 1):
            out = {families[width][i] for i in part}
            train = [t for t in group if family(t.id) not in out]
            test = [t for t in group if family(t.id) in out]
            folds.append(_fold(f"{prefix}{number}", train, test))
    if any(len(families[w]) < len(g) for w, g in groups.items()):
        n_families = sum(len(families[w]) for w in groups)
        notes.append(
            f"related tasks are held out together (--related): {n_families} families."
        )
    unlabelled = [h.id for f in folds for h in f.held_out if not len(h.outliers)]
    if unlabelled:
        notes.append(
            f"{len(unlabelled)} tasks have no outlier and are only trained on: "
            f"{_shortened(unlabelled)}."
        )
    usable = []
    for fold in folds:
        if not len(fold.train):
            notes.append(
                f"{len(fold.held_out)} tasks are left out, as all others label every "
                f"row as an outlier: {_shortened([h.id for h in fold.held_out])}."
            )
            continue
        held_out = tuple(task for task in fold.held_out if task.max_support)
        if held_out:
            usable.append(replace(fold, held_out=held_out))
    if usable and usable[0].in_order:
        notes.append(IN_ORDER_NOTE)
    folds, limited = limit_tasks(usable, max_tasks, seed)
    return Collection(name, folds, notes + limited)


def _fold(name, train, test):
    first = np.cumsum([0, *(len(t.X) for t in test)])
    held_out = tuple(t.held_out(int(at)) for t, at in zip(test, first, strict=False))
    usable = [Task(t.id, t.X, t.y) for t in train if (t.y != -1).any()]
    X = np.concatenate([t.X for t in test])
    in_order = test[0].n_train > 0
    return Fold(name, TaskCollection(usable), X, held_out, in_order)


def _shortened(names):
    more = f" and {len(names) - N_NAMED} more" if len(names) > N_NAMED else ""
    return ", ".join(names[:N_NAMED]) + more
