"""Splitting by task: whole tasks to either side, or support from query."""

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, LeaveOneGroupOut

from skmetaad._ids import factorize
from skmetaad.episodes import draw_support_query
from skmetaad.tasks import TaskCollection, as_collection

__all__ = ["LeaveOneTaskOut", "TaskKFold", "TaskShuffleSplit", "support_query_split"]


class _ByTaskMixin:
    """Takes `task`, `groups` or a collection of tasks for scikit-learn's `groups`."""

    __metadata_request__split = {"task": True, "groups": True}

    def split(self, X, y=None, groups=None, *, task=None):
        """Yield training and test indices such that no task is on both sides.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            The rows to split; a collection (or list of `Task`) is split into tasks.
        y : object, default=None
            Ignored.
        groups : array-like of shape (n_rows,), default=None
            Another name for `task`, which scikit-learn passes without metadata routing.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; not needed for a collection.

        Yields
        ------
        train : ndarray of int
            Row numbers (of a collection: task numbers) of the training side.
        test : ndarray of int
            Those of the test side.

        Raises
        ------
        ValueError
            When no task ids are given, they do not fit `X` or differ from `groups`, or
            there are fewer tasks than splits.
        """
        code = _task_codes(X, groups, task)
        yield from super().split(np.empty((len(code), 1)), None, code)

    def get_n_splits(self, X=None, y=None, groups=None, *, task=None):
        """Return the number of splits.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection, default=None
            The rows to split.
        y : object, default=None
            Ignored.
        groups : array-like of shape (n_rows,), default=None
            Another name for `task`.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        if not isinstance(self, LeaveOneGroupOut):
            return super().get_n_splits()
        return int(_task_codes(X, groups, task).max()) + 1


class TaskKFold(_ByTaskMixin, GroupKFold):
    """K folds of whole tasks.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to deal tasks out at random instead of balancing the folds' rows.
    random_state : int, RandomState instance or None, default=None
        Seed of `shuffle`.

    See Also
    --------
    sklearn.model_selection.GroupKFold : The splitter this one gives tasks to.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import TaskKFold
    >>> task = ["a", "a", "b", "b", "c", "c"]
    >>> for train, test in TaskKFold(3).split(np.zeros((6, 2)), task=task):
    ...     print(test)
    [4 5]
    [2 3]
    [0 1]
    """


class LeaveOneTaskOut(_ByTaskMixin, LeaveOneGroupOut):
    """Each task in turn is the test side.

    See Also
    --------
    sklearn.model_selection.LeaveOneGroupOut : The splitter this one gives tasks to.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import LeaveOneTaskOut
    >>> task = ["a", "a", "b"]
    >>> splits = LeaveOneTaskOut().split(np.zeros((3, 2)), task=task)
    >>> [test.tolist() for _, test in splits]
    [[0, 1], [2]]
    """


class TaskShuffleSplit(_ByTaskMixin, GroupShuffleSplit):
    """Random splits of whole tasks.

    Parameters
    ----------
    n_splits : int, default=5
        Number of random splits.
    test_size : float, int or None, default=None
        Share or number of tasks on the test side; None: what `train_size` leaves, or
        0.2.
    train_size : float, int or None, default=None
        Share or number of tasks on the training side; None: the rest.
    random_state : int, RandomState instance or None, default=None
        Seed.

    See Also
    --------
    sklearn.model_selection.GroupShuffleSplit : The splitter this one gives tasks to.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import TaskShuffleSplit
    >>> splitter = TaskShuffleSplit(1, test_size=1, random_state=0)
    >>> train, test = next(splitter.split(np.zeros((3, 2)), task=["a", "b", "c"]))
    >>> len(train), len(test)
    (2, 1)
    """


def _task_codes(X, groups, task):
    tasks = as_collection(X)
    if tasks is not None:
        return np.arange(len(tasks))
    if task is None and groups is None:
        raise ValueError(
            "task=None: expected the task id of each row (task=..., or groups=... "
            "without metadata routing), or X as a TaskCollection."
        )
    n_rows = len(groups if task is None else task) if X is None else _n_rows(X)
    code = factorize(groups if task is None else task, n_rows)[0]
    if task is not None and groups is not None:
        if not np.array_equal(code, factorize(groups, n_rows)[0]):
            raise ValueError(
                "groups and task are both given and differ: expected one of them."
            )
    return code


def _n_rows(X):
    return X.shape[0] if hasattr(X, "shape") else len(X)


def support_query_split(
    X,
    y=None,
    *,
    task=None,
    n_support=10,
    n_outliers=0,
    contamination=0.0,
    random_state=None,
):
    """Split each task's rows into a support and a query.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features), or TaskCollection
        The rows. A collection brings its own labels and task ids.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled. None: support rows are drawn from
        all.
    task : array-like of shape (n_rows,), default=None
        The task id of each row; None: all rows are one task.
    n_support : int, default=10
        Rows per task, not labelled as outliers, that go to the support.
    n_outliers : int, default=0
        Labelled outliers per task that go to the support as well.
    contamination : float, default=0.0
        Share of the `n_support` rows that are outliers in truth and appear in the
        support unlabelled (0).
    random_state : int or None, default=None
        Seed.

    Returns
    -------
    split : tuple
        `X_support, X_query, y_support, y_query, task_support, task_query`, labels and
        ids None where they were not given; for a collection two `TaskCollection`:
        support and query.

    Raises
    ------
    ValueError
        When a task has too few rows; the message names it.

    Examples
    --------
    >>> from skmetaad import support_query_split
    >>> from skmetaad.datasets import make_fleet
    >>> support, query = support_query_split(make_fleet(3, 50), n_support=5)
    >>> support
    TaskCollection(n_tasks=3, n_rows=15 (5 per task), n_features=8, n_outliers=0)
    """
    tasks = as_collection(X)
    if tasks is not None:
        if y is not None or task is not None:
            raise ValueError("y and task come from the TaskCollection: expected None.")
    else:
        ids = np.zeros(_n_rows(X), np.int64) if task is None else task
        tasks = TaskCollection.from_arrays(X, y, task=ids)
    rng = np.random.default_rng(random_state)
    support, query = [], []
    for one in tasks:
        labels = np.ones(len(one), np.int8) if one.y is None else one.y
        try:
            kept, rest = draw_support_query(
                labels,
                n_support,
                n_outliers=n_outliers,
                contamination=contamination,
                rng=rng,
            )
        except ValueError as error:
            raise ValueError(f"task {one.id!r}: {error}") from error
        if not len(rest):
            raise ValueError(
                f"n_support={n_support} takes all {len(one)} rows of task {one.id!r}: "
                "expected at least one row left for the query."
            )
        own = labels[kept].copy()
        own[: len(kept) - n_outliers][own[: len(kept) - n_outliers] == -1] = 0
        known = one.y is not None
        support.append(type(one)(one.id, one.X[kept], own if known else None))
        query.append(type(one)(one.id, one.X[rest], labels[rest] if known else None))
    support, query = TaskCollection(support), TaskCollection(query)
    if as_collection(X) is not None:
        return support, query
    (Xs, ys, ts), (Xq, yq, tq) = support.arrays(), query.arrays()
    if y is None:
        ys = yq = None
    return (Xs, Xq, ys, yq, *((None, None) if task is None else (ts, tq)))
