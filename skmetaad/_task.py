"""One task."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from skmetaad._making import checked_names, column_names, numbers
from skmetaad.labels import holds_zero_one, outlier_labels


@dataclass(frozen=True, eq=False, repr=False)
class Task:
    """One detection problem: an id, rows, and labels if there are any.

    Parameters
    ----------
    id : hashable
        Name of the task, unique in its collection.
    X : array-like of shape (n_rows, n_features)
        Rows. More axes are allowed, for example images of shape (n_rows, h, w).
        An array is kept as it is, without a copy.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled. Kept as int8.
    feature_names : tuple of str, default=None
        Names of the columns. None: those of `X`, when it is a table whose columns all
        have names that are text.

    Raises
    ------
    TypeError
        When `id` is not hashable, `X` does not hold real numbers, or a name is no text.
    ValueError
        When `X` has no row or less than two axes, `y` another length or other values,
        or there is not one name per column.

    Notes
    -----
    Tasks are equal when their ids, rows, labels and names are; NaN equals NaN.

    Examples
    --------
    >>> from skmetaad import Task
    >>> Task("machine-1", [[0.0, 1.0], [0.1, 0.9], [5.0, 5.0]], [1, 1, -1])
    Task(id='machine-1', n_rows=3, n_features=2, n_outliers=1)
    """

    id: Hashable
    X: np.ndarray
    y: np.ndarray | None = None
    feature_names: tuple | None = None

    # Whether the labels came as 0 and 1 alone: a collection warns if no task has -1.
    _zero_one = False

    def __post_init__(self):
        try:
            hash(self.id)
        except TypeError:
            raise TypeError(f"id={self.id!r}: expected a hashable label.") from None
        where = f"of task {self.id!r}"
        names, X = self.feature_names, numbers(self.X, f"X {where}")
        if not len(X):
            raise ValueError(f"X {where} has no rows: expected at least 1.")
        if names is None:
            names = column_names(self.X)
        else:
            names = checked_names(names, X, f"feature_names {where}")
        object.__setattr__(self, "feature_names", names)
        object.__setattr__(self, "X", X)
        if self.y is not None:
            y = outlier_labels(self.y, len(X), f"y {where}")
            # int8 is what we make of labels: those were looked at before.
            if y is not self.y and holds_zero_one(y):
                object.__setattr__(self, "_zero_one", True)
            object.__setattr__(self, "y", y)

    def __eq__(self, other):
        if not isinstance(other, Task):
            return NotImplemented
        return self is other or (
            self.id == other.id
            and self.feature_names == other.feature_names
            and np.array_equal(self.X, other.X, equal_nan=True)
            and (self.y is None) == (other.y is None)
            and np.array_equal(self.y, other.y)
        )

    def __hash__(self):
        return hash(self.id)

    def __len__(self):
        return len(self.X)

    @property
    def n_features(self):
        """The number of values per row."""
        return int(np.prod(self.X.shape[1:]))

    @property
    def n_outliers(self):
        """The number of rows labelled -1; None when the task has no labels."""
        return None if self.y is None else int(np.count_nonzero(self.y == -1))

    def __repr__(self):
        labels = "" if self.y is None else f", n_outliers={self.n_outliers}"
        return (
            f"Task(id={self.id!r}, n_rows={len(self)}, "
            f"n_features={self.n_features}{labels})"
        )


def listed(X):
    """Return the task or the list or tuple of tasks that X is as a list, else None."""
    if isinstance(X, Task):
        return [X]
    if isinstance(X, list | tuple) and X and isinstance(X[0], Task):
        return list(X)
    return None


def refuse_beside(**given):
    """Refuse what is given beside tasks."""
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{name} was given beside tasks, which bring their own: expected "
                f"{name}=None."
            )
