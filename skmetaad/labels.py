"""Outlier labels: -1 outlier, +1 inlier, 0 unlabelled."""

import sys
import warnings

import numpy as np
from sklearn.utils import column_or_1d

from skmetaad._ids import is_missing, refuse_masked
from skmetaad.exceptions import LabelsIgnoredWarning

__all__ = ["check_labels", "from_pyod_labels", "to_pyod_labels"]

EXPECTED = "-1 (outlier), +1 (inlier) and 0 (unlabelled)"
# The packages between a line of the user's and ours.
BETWEEN = ("skmetaad", "sklearn", "joblib")


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
        labels, PyOD's 0/1, text) says nothing about outliers and is ignored.

    Raises
    ------
    ValueError
        When `y` has another number of rows than `n_rows`, or holds -1 beside values
        other than -1, 0 and +1.

    Warns
    -----
    LabelsIgnoredWarning
        When `y` is given and holds no -1, unless it is all +1 or all 0, which labels
        no outlier on purpose.

    Examples
    --------
    >>> from skmetaad.labels import check_labels
    >>> check_labels([1, -1, 0])
    array([ 1, -1,  0], dtype=int8)
    """
    if y is None:
        return None
    refuse_masked(y, name, "0 where a label is missing")
    y = as_numbers(column_or_1d(np.asarray(y), warn=True))
    if n_rows is not None and len(y) != n_rows:
        raise ValueError(
            f"{name} has {len(y)} labels, but X has {n_rows} rows: expected one label "
            "per row."
        )
    if y.dtype.kind not in "iufb":
        _warn_not_numbers(y, name)
        return None
    if not np.any(y == -1):
        plain = y.dtype.kind != "b" and (np.all(y == 1) or np.all(y == 0))
        if not plain:
            _warn(
                f"{name} holds no -1 and so labels no outlier; it is ignored.{_hint(y)}"
            )
        return None
    return _only(y, (-1, 0, 1), EXPECTED, name).astype(np.int8)


def warned_labels(y, n_rows, name):
    """Return labels as `outlier_labels`; warn where they may be PyOD's."""
    y = outlier_labels(y, n_rows, name)
    warn_zero_one(y, name)
    return y


def outlier_labels(y, n_rows, name):
    """Return labels as int8 in {-1, 0, 1}."""
    refuse_masked(y, name, "0 where a label is missing")
    y = np.asarray(y)
    if y.shape != (n_rows,):
        raise ValueError(
            f"{name} has shape {y.shape}: expected one label per row, ({n_rows},)."
        )
    y = as_numbers(y)
    _refuse_booleans(y, name)
    if y.dtype == np.int8 and (not n_rows or (y.min() >= -1 and y.max() <= 1)):
        return y
    words = f"{EXPECTED}; skmetaad.from_pyod_labels converts 0/1"
    return _only(y, (-1, 0, 1), words, name).astype(np.int8)


def as_numbers(y):
    """Turn an array of objects into numbers if all are; a missing one becomes NaN.

    Booleans alone stay what they are, and so does all that holds text.
    """
    if y.dtype.kind != "O" or any(isinstance(v, str | bytes) for v in y):
        return y
    if len(y) and all(isinstance(v, bool | np.bool_) for v in y):
        return y.astype(bool)
    try:
        return np.array([np.nan if is_missing(v) else float(v) for v in y], float)
    except (TypeError, ValueError, OverflowError):
        return y


def warn_zero_one(y, name):
    """Warn of labels of 0 and 1 alone, which may have been meant as PyOD's."""
    if holds_zero_one(y):
        _warn(
            f"{name} holds no -1 and so labels no outlier: 0 is taken as unlabelled, 1 "
            f"as inlier.{_hint(y)}"
        )


def holds_zero_one(y):
    """Tell whether there are 0 and 1 among valid labels, and no -1."""
    return bool((y == 0).any() and (y == 1).any() and not (y == -1).any())


def _hint(y):
    values = set(np.unique(y).tolist())
    if y.dtype.kind != "b" and not {0} <= values <= {0, 1}:
        return ""
    return (
        " It looks like PyOD's labels (0 inlier, 1 outlier): convert with "
        "skmetaad.from_pyod_labels (and back with skmetaad.to_pyod_labels)."
    )


def _warn_not_numbers(y, name):
    text = [v for v in y.tolist() if isinstance(v, str | bytes)]
    what = f"text such as {text[0]!r}" if text else f"values of dtype {y.dtype}"
    _warn(
        f"{name} holds {what} and so labels no outlier; it is ignored: expected the "
        f"numbers {EXPECTED}."
    )


def _warn(message):
    warnings.warn(message, LabelsIgnoredWarning, stacklevel=_level_of_the_user())


def _level_of_the_user():
    """Return the stacklevel, seen from the caller, of the line that called us all."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and _package(frame) in BETWEEN:
        frame, level = frame.f_back, level + 1
    return level


def _package(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]


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
    refuse_masked(y, "y", "0 or 1 for every row")
    y = _only(column_or_1d(np.asarray(y)), (0, 1), "0 (inlier) and 1 (outlier)")
    return (1 - 2 * y.astype(np.int64)).astype(np.int8)


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
        When `y` is boolean or holds anything but -1, 0 and +1.

    See Also
    --------
    from_pyod_labels : The inverse.

    Examples
    --------
    >>> from skmetaad import to_pyod_labels
    >>> to_pyod_labels([1, -1, 1])
    array([0, 1, 0])
    """
    refuse_masked(y, "y", "0 where a label is missing")
    y = column_or_1d(np.asarray(y))
    _refuse_booleans(y, "y")
    return (_only(y, (-1, 0, 1), EXPECTED) == -1).astype(np.int64)


def _refuse_booleans(y, name):
    if y.dtype.kind == "b":
        raise ValueError(
            f"{name} is boolean: expected {EXPECTED}; skmetaad.from_pyod_labels "
            "converts it where True marks outliers."
        )


def _only(y, values, words, name="y"):
    odd = ~np.isin(y, values)
    if odd.any():
        raise ValueError(f"{name} holds {y[odd].tolist()[0]!r}: expected only {words}.")
    return y
