"""One task."""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np

from skmetaad._making import numbers, outlier_labels


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

    Raises
    ------
    TypeError
        When `id` is not hashable or `X` does not hold real numbers.
    ValueError
        When `X` has no row or less than two axes, or `y` another length or other
        values.

    Examples
    --------
    >>> from skmetaad import Task
    >>> Task("machine-1", [[0.0, 1.0], [0.1, 0.9], [5.0, 5.0]], [1, 1, -1])
    Task(id='machine-1', n_rows=3, n_features=2, n_outliers=1)
    """

    id: Hashable
    X: np.ndarray
    y: np.ndarray | None = None

    def __post_init__(self):
        try:
            hash(self.id)
        except TypeError:
            raise TypeError(f"id={self.id!r}: expected a hashable label.") from None
        where = f"of task {self.id!r}"
        X = numbers(self.X, f"X {where}")
        if not len(X):
            raise ValueError(f"X {where} has no rows: expected at least 1.")
        object.__setattr__(self, "X", X)
        if self.y is not None:
            y = outlier_labels(self.y, len(X), f"y {where}")
            object.__setattr__(self, "y", y)

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
