"""Rows of arrays and frames by number, without a change of type or dtypes."""

from numbers import Integral, Real

import numpy as np


def is_frame(X):
    """Tell a pandas or polars frame from what becomes an array."""
    return hasattr(X, "columns") and hasattr(X, "dtypes")


def as_rows(X):
    """Leave a frame as it is, and make an array of anything else."""
    if is_frame(X):
        return X
    X = np.asarray(X)
    if X.ndim < 2:
        raise ValueError(
            f"X has shape {X.shape}: expected (n_rows, n_features) or more axes."
        )
    return X


def take(X, rows):
    """Return the rows with these numbers; of a column, the values."""
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def by_column(X, rows):
    """Return a frame whose columns each take rows of their own."""
    columns = [take(X[name], own) for name, own in zip(X.columns, rows, strict=True)]
    # A pandas column without its index: rows of columns that differ are not aligned.
    values = [getattr(column, "array", column) for column in columns]
    return type(X)(dict(zip(X.columns, values, strict=True)))


def check_count(name, value, least):
    """Refuse what is not a whole number, or too small a one."""
    expected = f"{name}={value!r}: expected an int, at least {least}."
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(expected)
    if value < least:
        raise ValueError(expected)


def check_share(name, value):
    """Refuse what is not a number in [0, 1)."""
    if not isinstance(value, Real):
        raise TypeError(f"{name}={value!r}: expected a number in [0, 1).")
    if not 0 <= value < 1:
        raise ValueError(f"{name}={value!r}: expected [0, 1).")
