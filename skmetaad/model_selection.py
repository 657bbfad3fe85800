"""Splitting by task: whole tasks to either side, or support from query."""

import numpy as np
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, LeaveOneGroupOut

from skmetaad._as_given import by_task
from skmetaad._checks import check_draws
from skmetaad._compat import safe_indexing
from skmetaad._ids import factorize
from skmetaad._making import id_array
from skmetaad._task import refuse_beside
from skmetaad.episodes import draw_support_query
from skmetaad.labels import warned_labels
from skmetaad.tasks import Task, TaskCollection, as_collection

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
        groups : array-like of shape (n_rows,) or (n_tasks,), default=None
            Another name for `task`, which scikit-learn passes without metadata routing.
            For a collection a label per task: tasks of one label stay together.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; not for a collection.

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
        groups : array-like of shape (n_rows,) or (n_tasks,), default=None
            As in `split`.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        n_splits : int
            The number of splits.
        """
        if not isinstance(self, LeaveOneGroupOut):
            return super().get_n_splits()
        return int(_task_codes(X, groups, task).max(initial=-1)) + 1


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
        refuse_beside(task=task)
        if groups is None:
            return np.arange(len(tasks))
        groups = groups if hasattr(groups, "__len__") else list(groups)
        if len(groups) != len(tasks):
            raise ValueError(
                f"groups has {len(groups)} labels, X {len(tasks)} tasks: expected one "
                "per task."
            )
        return factorize(groups, len(tasks), "groups")[0]
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
    chronological=False,
    random_state=None,
):
    """Split each task's rows into a support and a query.

    Parameters
    ----------
    X : array-like or frame of shape (n_rows, n_features), or TaskCollection
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
    chronological : bool or "consecutive", default=False
        Whether each task's rows are in time order: then the support is drawn from those
        before half of its inliers have come, and the query is all later ones.
        "consecutive": the support's rows follow each other, too.
    random_state : int or None, default=None
        Seed.

    Returns
    -------
    split : tuple
        `X_support, X_query, y_support, y_query, task_support, task_query`, task after
        task; frames where `X` is one, labels and ids None where they were not given.
        For a collection two `TaskCollection`: support and query.

    Raises
    ------
    ValueError
        When a task has too few rows, the message names it, or a number is out of range.
    TypeError
        When a count is not an int.

    Examples
    --------
    >>> from skmetaad import support_query_split
    >>> from skmetaad.datasets import make_fleet
    >>> support, query = support_query_split(make_fleet(3, 50), n_support=5)
    >>> support
    TaskCollection(n_tasks=3, n_rows=15 (5 per task), n_features=8, n_outliers=0)
    """
    check_draws(n_support, n_outliers, contamination, chronological)
    options = {"n_outliers": n_outliers, "contamination": contamination}
    options["chronological"] = chronological
    options["rng"] = np.random.default_rng(random_state)
    tasks = as_collection(X)
    if tasks is None:
        return _split_rows(X, y, task, n_support, options)
    refuse_beside(y=y, task=task)
    support, query = [], []
    for one in tasks:
        labels = np.ones(len(one), np.int8) if one.y is None else one.y
        kept, rest, told = _split_task(one.id, labels, n_support, options)
        for part, index, y_part in ((support, kept, told), (query, rest, labels[rest])):
            y_part = None if one.y is None else y_part
            part.append(Task(one.id, one.X[index], y_part, one.feature_names))
    return TaskCollection(support), TaskCollection(query)


def _split_rows(X, y, task, n_support, options):
    X, ids, members = by_task(X, task)
    n = X.shape[0]
    labels = np.ones(n, np.int8) if y is None else warned_labels(y, n, "y")
    support, query, known = [], [], []
    for name, rows in zip(ids, members, strict=True):
        kept, rest, told = _split_task(name, labels[rows], n_support, options)
        support.append(rows[kept])
        query.append(rows[rest])
        known.append(told)
    kept, rest = np.concatenate(support), np.concatenate(query)
    ys = yq = ts = tq = None
    if y is not None:
        ys, yq = np.concatenate(known), labels[rest]
    if task is not None:
        ts, tq = (id_array(ids, [len(r) for r in part]) for part in (support, query))
    return safe_indexing(X, kept), safe_indexing(X, rest), ys, yq, ts, tq


def _split_task(name, labels, n_support, options):
    """Return support and query rows of a task, and the labels that it is told."""
    try:
        kept, rest = draw_support_query(labels, n_support, **options)
    except ValueError as error:
        raise ValueError(f"task {name!r}: {error}") from error
    if not len(rest):
        raise ValueError(
            f"n_support={n_support} takes all {len(labels)} rows of task {name!r}: "
            "expected at least one row left for the query."
        )
    told = labels[kept].copy()
    drawn = told[: len(kept) - options["n_outliers"]]
    drawn[drawn == -1] = 0
    return kept, rest, told
