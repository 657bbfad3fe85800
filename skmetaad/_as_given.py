"""Rows as they were given: arrays, or frames with their own types and dtypes."""

import numpy as np

from skmetaad._compat import safe_indexing
from skmetaad._making import group


def is_frame(X):
    """Tell a pandas or polars frame from what becomes an array."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def by_task(X, task):
    """Return rows as a frame or an array, task ids, and the row numbers of each."""
    X = X if is_frame(X) else np.asarray(X)
    if len(X.shape) < 2:
        raise ValueError(
            f"X has shape {X.shape}: expected (n_rows, n_features) or more axes."
        )
    if not len(X):
        raise ValueError("X has 0 rows: expected at least 2 per task.")
    ids, members = group(np.zeros(len(X), int) if task is None else task, X, "task")
    return X, ids, members


def by_column(X, rows):
    """Return a frame whose columns each take rows of their own."""
    columns = [
        safe_indexing(X[name], own) for name, own in zip(X.columns, rows, strict=True)
    ]
    # A pandas column without its index: rows of columns that differ are not aligned.
    values = [getattr(column, "array", column) for column in columns]
    return type(X)(dict(zip(X.columns, values, strict=True)))
