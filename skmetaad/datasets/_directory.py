"""Tasks from a folder of npz files."""

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from skmetaad.labels import from_pyod_labels
from skmetaad.tasks import Task, TaskCollection

PARTS = ("all", "train", "test")
# What a file that cannot be used raises.
UNREADABLE = (
    *(ValueError, TypeError, EOFError, OSError, BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError),  # compressed or encrypted in unknown ways
)


def load_directory(path, *, part="all", pattern="**/*.npz"):
    """Load a folder of npz files, one task per file.

    A file holds `X` and optionally `y`; or `X_train` (normal rows), `X_test` and
    `y_test`; or a univariate series `value` with `label`. Labels are 0 (normal) and 1
    (anomaly) and become +1 and -1.

    Parameters
    ----------
    path : str or Path
        The folder.
    part : {"all", "train", "test"}, default="all"
        For files with a train and a test part: which to take. "all" puts the train
        rows, as inliers, before the test rows. Files without parts count as "all" and
        are left out otherwise.
    pattern : str, default="**/*.npz"
        Which files to load, relative to `path`.

    Returns
    -------
    tasks : TaskCollection
        The tasks, sorted by path; ids are paths relative to the folder without suffix.

    Raises
    ------
    FileNotFoundError
        When there is no such folder, or no matching file in it.
    ValueError
        When `part` is unknown, no file has that part, or a file cannot be read, holds
        other arrays or other labels than 0 and 1; the message names the file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skmetaad.datasets import load_directory
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(f"{folder}/pump.npz", X=np.zeros((3, 2)), y=[0, 0, 1])
    ...     load_directory(folder)
    TaskCollection(n_tasks=1, n_rows=3 (3 per task), n_features=2, n_outliers=1)
    """
    if part not in PARTS:
        raise ValueError(f"part={part!r}: expected one of {PARTS}.")
    folder = Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(f"path={str(path)!r}: expected a folder of npz files.")
    try:
        files = sorted(file for file in folder.glob(pattern) if file.is_file())
    except (ValueError, IndexError, NotImplementedError) as error:
        raise ValueError(
            f"pattern={pattern!r}: expected one of files in the folder ({error})."
        ) from error
    if not files:
        raise FileNotFoundError(f"path={str(path)!r} holds no file like {pattern!r}.")
    tasks = []
    for file in files:
        name = file.relative_to(folder).with_suffix("").as_posix()
        try:
            with np.load(file, allow_pickle=False) as arrays:
                task = _task(name, arrays, part)
        except UNREADABLE as error:
            raise ValueError(f"{str(file)!r} cannot be used: {error}") from error
        if task is not None:
            tasks.append(task)
    if not tasks:
        raise ValueError(f"no file in {str(path)!r} has a part {part!r}.")
    return TaskCollection(tasks)


def _task(name, arrays, part):
    keys = set(arrays.files)
    if {"X_train", "X_test", "y_test"} <= keys:
        train, test = arrays["X_train"], arrays["X_test"]
        y = from_pyod_labels(arrays["y_test"])
        if part == "train":
            return Task(name, train, np.ones(len(train), np.int8))
        if part == "test":
            return Task(name, test, y)
        ones = np.ones(len(train), np.int8)
        return Task(name, np.concatenate([train, test]), np.concatenate([ones, y]))
    if part != "all":
        return None
    if {"value", "label"} <= keys:
        value = np.atleast_2d(arrays["value"].T).T
        return Task(name, value, from_pyod_labels(arrays["label"]))
    if "X" in keys:
        y = from_pyod_labels(arrays["y"]) if "y" in keys else None
        return Task(name, arrays["X"], y)
    raise ValueError(
        f"it holds the arrays {sorted(keys)}: expected X (and y), or X_train, X_test "
        "and y_test, or value and label."
    )
