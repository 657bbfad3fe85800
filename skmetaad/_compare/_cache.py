"""Results of finished cells on disk, so that a run that was broken off goes on."""

import hashlib
import json
import os
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np

from skmetaad import __version__

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "pyod")


def versions():
    """Return the versions of the libraries that results depend on, by name."""
    return {"skmetaad": __version__} | {name: version(name) for name in LIBRARIES}


class Cache:
    """One JSON file per cell, named by a hash of all that its results follow from.

    These are the rows and labels, the draws, the method and its parameters, the seed,
    this package's source and weights, and the versions of the libraries below it.
    """

    def __init__(self, folder, *common):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        parts = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.npz")])
        source = [path.read_bytes() for path in parts]
        self._common = _digest(source, versions(), *common)
        self._folds = {}

    def path(self, fold, method, seed):
        """Return the file of a cell."""
        if fold.name not in self._folds:
            train = [(task.id, task.X, task.y) for task in fold.train]
            tasks = [vars(task) for task in fold.held_out]
            options = (fold.name, fold.in_order, fold.n_outliers, fold.contamination)
            self._folds[fold.name] = _digest(fold.X, train, tasks, options)
        what = (method.name, str(method.cls), method.params, seed)
        name = _digest(self._common, self._folds[fold.name], what)
        return self.folder / f"{name}.json"

    def get(self, path, *kinds):
        """Return the cell's lists of each kind, or None if it has not finished."""
        try:
            parts = json.loads(path.read_text("utf-8"))["results"]
            return [
                [kind(**item) for item in part]
                for kind, part in zip(kinds, parts, strict=True)
            ]
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, path, *parts):
        """Store the cell's results beside what they were made with, all or nothing."""
        results = [[asdict(item) for item in part] for part in parts]
        text = json.dumps({"versions": versions(), "results": results})
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(text, "utf-8")
        os.replace(partial, path)


def _digest(*values):
    found = hashlib.sha256()
    _add(found, values)
    return found.hexdigest()[:32]


def _add(found, value):
    """Add a value, with its kind and length, so that no two values look the same."""
    if isinstance(value, np.ndarray) and value.dtype != object:
        found.update(f"{value.dtype.str}{value.shape}".encode())
        found.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        _add(found, sorted(value.items()))
    elif isinstance(value, list | tuple | np.ndarray):
        found.update(f"[{len(value)}]".encode())
        for item in value:
            _add(found, item)
    else:
        text = value if isinstance(value, bytes) else repr(value).encode()
        found.update(f"{type(value).__name__}{len(text)}:".encode())
        found.update(text)
