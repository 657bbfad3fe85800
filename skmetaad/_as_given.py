"""Rows as they were given: arrays, sparse ones too, or frames with their own dtypes."""

import numpy as np
from scipy import sparse

from skmetaad._compat import safe_indexing
from skmetaad._ids import refuse_masked
from skmetaad._making import group


def is_frame(X):
    """Tell a pandas or polars frame from what becomes an array."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def by_task(X, task):
    """Return rows as a frame, a sparse or other array, ids, and the rows of each."""
    if sparse.issparse(X):
        X = X.tocsr()
    elif not is_frame(X):
        refuse_masked(X, "X", "NaN where a value is missing")
        X = np.asarray(X)
    if len(X.shape) < 2:
        raise ValueError(
            f"X has shape {X.shape}: expected (n_rows, n_features) or more axes."
        )
    if not X.shape[0]:
        raise ValueError("X has 0 rows: expected at least 2 per task.")
    task = np.zeros(X.shape[0], int) if task is None else task
    ids, members = group(task, X, "task")
    return X, ids, members


def by_column(X, rows):
    """Return a frame whose columns each take rows of their own."""
    columns = [
        safe_indexing(X[name], own) for name, own in zip(X.columns, rows, strict=True)
    ]
    # A pandas column without its index: rows of columns that differ are not aligned.
    values = [getattr(column, "array", column) for column in columns]
    return type(X)(dict(zip(X.columns, values, strict=True)))
