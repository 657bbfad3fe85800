"""Tasks of a classified data set: one class against the rest."""

import numpy as np

from skmetaad._checks import check_count
from skmetaad._making import (
    column_names,
    generator,
    group,
    numbers,
    step_over,
)
from skmetaad._task import Task


def from_classes(cls, X, classes, *, max_outliers=None, random_state=None):
    """Make one task per class: its rows are inliers, all others are outliers.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Rows of all classes; more axes are allowed.
    classes : array-like of shape (n_rows,)
        The class of each row, which becomes the task id.
    max_outliers : int, default=None
        Largest number of outlier rows per task, drawn at random; None keeps all.
    random_state : int, RandomState, Generator or None, default=None
        Seed of the draw.

    Returns
    -------
    tasks : TaskCollection
        Tasks in order of first appearance, labelled -1 and +1; rows keep their
        order.

    Raises
    ------
    ValueError
        When there are less than two classes, or lengths differ.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmetaad import TaskCollection
    >>> X, digit = load_digits(return_X_y=True)
    >>> tasks = TaskCollection.from_classes(X, digit, max_outliers=50)
    >>> tasks[3]
    Task(id=3, n_rows=233, n_features=64, n_outliers=50)
    """
    names, X = column_names(X), numbers(X, "X")
    ids, members = group(classes, X, "classes")
    if len(ids) < 2:
        raise ValueError(f"classes holds {len(ids)} class(es): expected at least 2.")
    if max_outliers is not None:
        check_count("max_outliers", max_outliers)
    rng = generator(random_state)
    made = []
    for name, rows, y in one_against_rest(ids, members, max_outliers, rng):
        made.append(Task(name, X[rows], y, names))
    return cls(made)


def one_against_rest(ids, members, max_outliers, rng):
    """Yield (class, rows, labels); rows ascend, the rest is thinned at random."""
    order = np.concatenate(members)
    start = 0
    for name, inliers in zip(ids, members, strict=True):
        n = len(order) - len(inliers)
        place = np.arange(n)
        if max_outliers is not None and max_outliers < n:
            place = rng.choice(n, max_outliers, replace=False)
        others = order[step_over(place, start, len(inliers))]
        rows = np.concatenate([inliers, others])
        y = np.repeat(np.array([1, -1], np.int8), [len(inliers), len(others)])
        back = np.argsort(rows)
        yield name, rows[back], y[back]
        start += len(inliers)
