"""Tasks and collections of them."""

from collections.abc import Sequence

import numpy as np

from skmetaad import _html, _making
from skmetaad._task import Task

__all__ = ["Task", "TaskCollection", "as_collection"]


class TaskCollection(Sequence):
    """An immutable sequence of tasks that indexes like a numpy array.

    An int gives a `Task`; a slice, a list or array of ints, or a boolean mask gives a
    `TaskCollection`. Detectors, splitters and scorers take it in place of `X`, `y`
    and `task`.

    Parameters
    ----------
    tasks : iterable of Task
        The tasks. Their ids are distinct; their widths may differ.

    Attributes
    ----------
    ids : tuple
        The ids of the tasks, in order.

    Raises
    ------
    TypeError
        When an element is not a `Task`.
    ValueError
        When two tasks have the same id.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import TaskCollection
    >>> X = np.arange(8.0).reshape(4, 2)
    >>> tasks = TaskCollection.from_arrays(X, task=["a", "b", "a", "c"])
    >>> tasks
    TaskCollection(n_tasks=3, n_rows=4 (1 to 2 per task), n_features=2)
    >>> tasks[0]
    Task(id='a', n_rows=2, n_features=2)
    >>> tasks[[2, 1]].ids
    ('c', 'b')
    """

    def __init__(self, tasks):
        tasks = tuple(tasks)
        seen = set()
        for place, task in enumerate(tasks):
            if not isinstance(task, Task):
                raise TypeError(
                    f"tasks[{place}] is a {type(task).__name__}: expected a Task."
                )
            if task.id in seen:
                raise ValueError(
                    f"tasks holds id {task.id!r} more than once: expected distinct ids."
                )
            seen.add(task.id)
        self._tasks = tasks

    @property
    def ids(self):
        """The ids of the tasks, in order."""
        return tuple(task.id for task in self._tasks)

    def __len__(self):
        return len(self._tasks)

    def __iter__(self):
        return iter(self._tasks)

    def __getitem__(self, index):
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            return self._tasks[index]
        if isinstance(index, slice):
            return TaskCollection(self._tasks[index])
        places = _making.places(index, len(self))
        return TaskCollection(self._tasks[i] for i in places)

    def __repr__(self):
        if not self._tasks:
            return "TaskCollection(n_tasks=0)"
        rows = [len(task) for task in self]
        text = f"n_tasks={len(self)}, n_rows={sum(rows)} ({_spread(rows)} per task), "
        text += f"n_features={_spread([task.n_features for task in self])}"
        if labelled := [task for task in self if task.y is not None]:
            text += f", n_outliers={sum(task.n_outliers for task in labelled)}"
        return f"TaskCollection({text})"

    _repr_html_ = _html.table_of

    def __eq__(self, other):
        return isinstance(other, TaskCollection) and self._tasks == other._tasks

    __hash__ = None

    def arrays(self):
        """Return all rows stacked, as `fit(X, y, task=task)` takes them.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            The rows of all tasks, task after task; rows with more axes are flattened.
        y : ndarray of shape (n_rows,) of int8, or None
            Labels: -1 outlier, +1 inlier, 0 unlabelled; 0 for the rows of tasks without
            labels. None when no task has labels.
        task : ndarray of shape (n_rows,)
            The task id of each row: text when all ids are `str`, int64 when all are
            `int`, else objects.

        Raises
        ------
        ValueError
            When there are no tasks, or their rows differ in shape.

        See Also
        --------
        TaskCollection.from_arrays : The inverse.

        Examples
        --------
        >>> from skmetaad import Task, TaskCollection
        >>> tasks = TaskCollection([Task("a", [[1.0]]), Task("b", [[2.0]], [-1])])
        >>> X, y, task = tasks.arrays()
        >>> y, task
        (array([ 0, -1], dtype=int8), array(['a', 'b'], dtype='<U1'))
        """
        if not len(self):
            raise ValueError("the collection is empty: expected at least one task.")
        first = self[0]
        for task in self:
            if task.X.shape[1:] != first.X.shape[1:]:
                raise ValueError(
                    f"tasks {first.id!r} and {task.id!r} have rows of different shape, "
                    f"{_width(first)} and {_width(task)}: expected one number of "
                    "features in all tasks."
                )
        X = np.concatenate(
            [task.X.reshape(len(task), task.n_features) for task in self]
        )
        y = None
        if any(task.y is not None for task in self):
            y = np.concatenate(
                [np.zeros(len(t), np.int8) if t.y is None else t.y for t in self]
            )
        return X, y, _making.id_array(self.ids, [len(task) for task in self])

    @classmethod
    def from_arrays(cls, X, y=None, *, task):
        """Make one task per distinct task id.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows of all tasks; more axes are allowed.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. A task whose rows are all
            unlabelled gets no labels.
        task : array-like of shape (n_rows,)
            The task id of each row.

        Returns
        -------
        tasks : TaskCollection
            Tasks in order of first appearance; rows keep their order.

        Raises
        ------
        ValueError
            When lengths differ, an id is missing, or `y` holds other values.
        TypeError
            When `X` does not hold real numbers, or an id is not hashable.

        Examples
        --------
        >>> from skmetaad import TaskCollection
        >>> TaskCollection.from_arrays([[1.0], [2.0], [3.0]], task=[7, 5, 7]).ids
        (7, 5)
        """
        X = _making.numbers(X, "X")
        y = None if y is None else _making.outlier_labels(y, len(X), "y")
        ids, rows = _making.group(task, X, "task")
        made = []
        for name, index in zip(ids, rows, strict=True):
            labels = None if y is None else y[index]
            if labels is not None and not labels.any():
                labels = None
            made.append(Task(name, X[index], labels))
        return cls(made)

    @classmethod
    def from_frame(cls, df, *, task, label=None):
        """Make tasks from a table.

        Parameters
        ----------
        df : pandas.DataFrame
            The table. Columns other than `task` and `label` are the features.
        task : hashable
            Name of the column of task ids.
        label : hashable, default=None
            Name of the column of labels: -1 outlier, +1 inlier, 0 unlabelled.

        Returns
        -------
        tasks : TaskCollection
            Tasks in order of first appearance. Features are float64, or float32 when
            all columns are; missing numbers are NaN.

        Raises
        ------
        TypeError
            When a feature column is not numeric; the message names it.
        ValueError
            When a column is not there, a task id is missing, or labels hold other
            values.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmetaad import TaskCollection
        >>> df = pd.DataFrame({"host": ["a", "a", "b"], "cpu": [0.1, 0.2, 0.9]})
        >>> TaskCollection.from_frame(df, task="host").ids
        ('a', 'b')
        """
        X, y, ids = _making.frame_columns(df, task, label)
        return cls.from_arrays(X, y, task=ids)

    @classmethod
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
        X = _making.numbers(X, "X")
        ids, members = _making.group(classes, X, "classes")
        if len(ids) < 2:
            raise ValueError(
                f"classes holds {len(ids)} class(es): expected at least 2."
            )
        if max_outliers is not None:
            _making.positive_int(max_outliers, "max_outliers")
        rng = _making.generator(random_state)
        made = []
        for name, rows, y in _making.one_against_rest(ids, members, max_outliers, rng):
            made.append(Task(name, X[rows], y))
        return cls(made)

    @classmethod
    def from_windows(cls, series, width, step=1, *, labels=None, ids=None, rule="any"):
        """Make one task per time series, with sliding windows as rows.

        Parameters
        ----------
        series : array-like of shape (n_times,) or (n_times, n_features), or several
            One series as an array, or several in a list or dict. A `TaskCollection`
            (or list of `Task`) brings its labels and ids.
        width : int
            Time steps per window.
        step : int, default=1
            Time steps from one window to the next. A rest that fills no window is left
            out.
        labels : array-like of shape (n_times,), or several, default=None
            Labels of the time steps, in the form of `series`: -1 outlier, +1 inlier, 0
            unlabelled. In a list, None stands for a series without labels.
        ids : iterable of hashable, default=None
            One task id per series; None: the keys of a dict, else 0, 1, ....
        rule : {"any", "last", "majority"} or callable, default="any"
            When a window is an outlier: any of its time steps is, the last is, more
            than half are, or `rule(labels of shape (width,))` is true. Where the answer
            hangs on unlabelled time steps the window is unlabelled: those are tried as
            0 and as -1.

        Returns
        -------
        tasks : TaskCollection
            Rows of width * n_features values, the oldest time step first.

        Raises
        ------
        ValueError
            When a series is shorter than `width`, or arguments do not fit together.
        TypeError
            When `width` or `step` is not an int.

        Examples
        --------
        >>> from skmetaad import TaskCollection
        >>> load = {"pump": [0, 1, 2, 3, 9]}
        >>> labels = {"pump": [1, 1, 1, 1, -1]}
        >>> tasks = TaskCollection.from_windows(load, 3, labels=labels)
        >>> tasks[0].X
        array([[0, 1, 2],
               [1, 2, 3],
               [2, 3, 9]])
        >>> tasks[0].y
        array([ 1,  1, -1], dtype=int8)
        """
        _making.positive_int(width, "width")
        _making.positive_int(step, "step")
        if not callable(rule) and rule not in _making.RULES:
            raise ValueError(
                f"rule={rule!r}: expected one of {_making.RULES} or a callable."
            )
        tasks = as_collection(series)
        if tasks is not None:
            if labels is not None or ids is not None:
                raise ValueError("labels or ids beside tasks, which bring their own.")
            series, ids = [t.X for t in tasks], tasks.ids
            labels = [t.y for t in tasks]
        made = []
        for name, values, y in _making.named_series(series, labels, ids):
            X = _making.window_rows(values, width, step, name)
            if y is not None:
                y = _making.outlier_labels(y, len(values), f"labels of series {name!r}")
                y = _making.window_labels(y, width, step, rule)
            made.append(Task(name, X, y))
        return cls(made)


def as_collection(X):
    """Return `X` as a collection if it holds tasks.

    Parameters
    ----------
    X : object
        Anything that a detector may be given.

    Returns
    -------
    tasks : TaskCollection or None
        None when `X` is no `TaskCollection`, no `Task`, and no list or tuple of `Task`.

    Raises
    ------
    TypeError
        When `X` is a list that begins with a `Task` and holds something else.
    ValueError
        When two tasks in a list have the same id.

    Examples
    --------
    >>> from skmetaad.tasks import Task, as_collection
    >>> as_collection([Task("a", [[0.0]]), Task("b", [[1.0]])]).ids
    ('a', 'b')
    >>> as_collection([[0.0], [1.0]]) is None
    True
    """
    if isinstance(X, TaskCollection):
        return X
    if isinstance(X, Task):
        return TaskCollection([X])
    if isinstance(X, list | tuple) and X and isinstance(X[0], Task):
        return TaskCollection(X)
    return None


def _width(task):
    shape = task.X.shape[1:]
    return shape[0] if len(shape) == 1 else shape


def _spread(counts):
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
