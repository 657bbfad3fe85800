"""Outlier labels: -1 outlier, +1 inlier, 0 unlabelled."""

import warnings

import numpy as np
from sklearn.utils import column_or_1d

from skmetaad.exceptions import LabelsIgnoredWarning

__all__ = ["check_labels", "from_pyod_labels", "to_pyod_labels"]


def check_labels(y, *, n_rows=None, name="y"):
    """Validate outlier labels, or set aside a `y` that carries none.

    Parameters
    ----------
    y : array-like of shape (n_rows,) or None
        Labels: -1 outlier, +1 inlier, 0 unlabelled.
    n_rows : int, default=None
        The number of rows `y` has to have; not checked when None.
    name : str, default="y"
        The name of the argument in messages.

    Returns
    -------
    labels : ndarray of shape (n_rows,) of int8, or None
        None when `y` is None or holds not a single -1. Such a `y` (all ones, class
        labels, PyOD's 0/1) says nothing about outliers and is ignored.

    Raises
    ------
    ValueError
        When `y` has another number of rows than `n_rows`, or holds -1 beside values
        other than -1, 0 and +1.

    Warns
    -----
    LabelsIgnoredWarning
        When `y` is given and holds no -1.

    Examples
    --------
    >>> from skmetaad.labels import check_labels
    >>> check_labels([1, -1, 0])
    array([ 1, -1,  0], dtype=int8)
    """
    if y is None:
        return None
    y = column_or_1d(np.asarray(y), warn=True)
    if n_rows is not None and len(y) != n_rows:
        raise ValueError(
            f"{name} has {len(y)} labels, but X has {n_rows} rows: expected one label "
            "per row."
        )
    numeric = y.dtype.kind in "iufb"
    if not numeric or not np.any(y == -1):
        _warn_ignored(y, name, numeric)
        return None
    odd = ~np.isin(y, (-1, 0, 1))
    if odd.any():
        raise ValueError(
            f"{name} holds {y[odd][0]!r}: expected only -1 (outlier), +1 (inlier) and "
            "0 (unlabelled)."
        )
    return y.astype(np.int8)


def _warn_ignored(y, name, numeric):
    values = set(np.unique(y).tolist()) if numeric else set()
    hint = ""
    if values and values <= {0, 1} and 0 in values:
        hint = (
            " It looks like PyOD's labels (0 inlier, 1 outlier): convert with "
            "skmetaad.from_pyod_labels (and back with skmetaad.to_pyod_labels)."
        )
    warnings.warn(
        f"{name} holds no -1 and so labels no outlier; it is ignored.{hint}",
        LabelsIgnoredWarning,
        stacklevel=4,
    )


def from_pyod_labels(y):
    """Convert PyOD's labels (0 inlier, 1 outlier) to +1 and -1.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels of 0 and 1.

    Returns
    -------
    labels : ndarray of shape (n_rows,) of int8
        +1 for inliers, -1 for outliers.

    Raises
    ------
    ValueError
        When `y` holds anything but 0 and 1.

    See Also
    --------
    to_pyod_labels : The inverse.

    Examples
    --------
    >>> from skmetaad import from_pyod_labels
    >>> from_pyod_labels([0, 1, 0])
    array([ 1, -1,  1], dtype=int8)
    """
    y = _only(y, (0, 1), "0 (inlier) and 1 (outlier)")
    return (1 - 2 * y).astype(np.int8)


def to_pyod_labels(y):
    """Convert labels of +1 and -1 to PyOD's (0 inlier, 1 outlier).

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels of +1 (inlier), -1 (outlier) and 0 (unlabelled, taken as inlier as PyOD
        has no third value).

    Returns
    -------
    labels : ndarray of shape (n_rows,) of int64
        1 for outliers, 0 for all others.

    Raises
    ------
    ValueError
        When `y` holds anything but -1, 0 and +1.

    See Also
    --------
    from_pyod_labels : The inverse.

    Examples
    --------
    >>> from skmetaad import to_pyod_labels
    >>> to_pyod_labels([1, -1, 1])
    array([0, 1, 0])
    """
    y = _only(y, (-1, 0, 1), "-1 (outlier), +1 (inlier) and 0 (unlabelled)")
    return (y == -1).astype(np.int64)


def _only(y, values, words):
    y = column_or_1d(np.asarray(y))
    odd = ~np.isin(y, values)
    if odd.any():
        raise ValueError(f"y holds {y[odd][0]!r}: expected only {words}.")
    return y.astype(np.int64)
