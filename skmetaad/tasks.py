"""Tasks and collections of them."""

from collections.abc import Hashable, Sequence
from numbers import Number

import numpy as np

from skmetaad import _html, _making
from skmetaad._classes import from_classes
from skmetaad._frame import frame_columns
from skmetaad._task import Task, listed
from skmetaad._windows import from_windows
from skmetaad.labels import warn_zero_one, warned_labels

__all__ = ["Task", "TaskCollection", "as_collection"]


class TaskCollection(Sequence):
    """An immutable sequence of tasks that indexes like a numpy array.

    An int gives the `Task` in that place, and an id that is no number the task of that
    id; a slice, a list or array of ints, or a boolean mask gives a `TaskCollection`,
    and so does `a + b`. Detectors, splitters and scorers take it in place of `X`, `y`
    and `task`.

    Parameters
    ----------
    tasks : iterable of Task
        The tasks. Their ids are distinct; their widths may differ.

    Attributes
    ----------
    ids : tuple
        The ids of the tasks, in order.
    feature_names : tuple of str, or None
        The names of the columns, when all tasks have the same.

    Raises
    ------
    TypeError
        When an element is not a `Task`.
    ValueError
        When two tasks have the same id.

    Warns
    -----
    LabelsIgnoredWarning
        When labels were given as 0 and 1 and no task has a -1.

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
    >>> tasks["b"]
    Task(id='b', n_rows=1, n_features=2)
    """

    def __init__(self, tasks):
        tasks = tuple(tasks)
        place = {}
        for i, task in enumerate(tasks):
            if not isinstance(task, Task):
                raise TypeError(
                    f"tasks[{i}] is a {type(task).__name__}: expected a Task."
                )
            if task.id in place:
                raise ValueError(
                    f"tasks holds id {task.id!r} more than once: expected distinct ids."
                )
            place[task.id] = i
        self._tasks, self._place = _settled(tasks), place

    @property
    def ids(self):
        """The ids of the tasks, in order."""
        return tuple(task.id for task in self._tasks)

    @property
    def feature_names(self):
        """The names of the columns, when all tasks have the same, else None."""
        first = self._tasks[0].feature_names if self._tasks else None
        same = all(_same(task.feature_names, first) for task in self._tasks)
        return first if same else None

    def __len__(self):
        return len(self._tasks)

    def __iter__(self):
        return iter(self._tasks)

    def __contains__(self, task):
        """Whether it is one of the tasks, or the id of one."""
        if isinstance(task, Task):
            return super().__contains__(task)
        return isinstance(task, Hashable) and task in self._place

    def __getitem__(self, index):
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            return self._tasks[index]
        if isinstance(index, slice):
            return TaskCollection(self._tasks[index])
        if isinstance(index, Hashable) and not isinstance(index, Number):
            if index in self._place:
                return self._tasks[self._place[index]]
            if isinstance(index, str):
                raise KeyError(
                    f"index {index!r}: expected the id of a task, as in ids."
                )
        places = _making.places(index, len(self))
        return TaskCollection(self._tasks[i] for i in places)

    def __add__(self, other):
        other = as_collection(other)
        if other is None:
            return NotImplemented
        return TaskCollection(self._tasks + other._tasks)

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "a TaskCollection is no array of rows: expected the arrays of "
            "`X, y, task = tasks.arrays()`; a pipeline takes them as "
            "fit(X, y, step__task=task)."
        )

    def __repr__(self):
        if not self._tasks:
            return "TaskCollection(n_tasks=0)"
        rows = [len(task) for task in self]
        text = f"n_tasks={len(self)}, n_rows={sum(rows)} ({_spread(rows)} per task), "
        text += f"n_features={_spread([task.n_features for task in self])}"
        if names := self.feature_names:
            text += f" ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
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
            Rows of all tasks; more axes are allowed. The columns of a DataFrame give
            `feature_names`.
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

        Warns
        -----
        LabelsIgnoredWarning
            When `y` holds 0 and 1 and no -1.

        Examples
        --------
        >>> from skmetaad import TaskCollection
        >>> TaskCollection.from_arrays([[1.0], [2.0], [3.0]], task=[7, 5, 7]).ids
        (7, 5)
        """
        names, X = _making.column_names(X), _making.numbers(X, "X")
        if y is not None:
            y = warned_labels(y, len(X), "y")
        return cls(_by_id(X, y, task, names))

    @classmethod
    def from_frame(cls, df, *, task, label=None):
        """Make tasks from a table.

        Parameters
        ----------
        df : pandas.DataFrame
            The table. Columns other than `task` and `label` are the features, and their
            names, when all are text, the `feature_names`.
        task : hashable
            Name of the column of task ids.
        label : hashable, default=None
            Name of the column of labels: -1 outlier, +1 inlier, 0 or missing:
            unlabelled.

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
            When a column is not there, a task id is missing, or labels are boolean or
            hold other values.

        Warns
        -----
        LabelsIgnoredWarning
            When labels hold 0 and 1 and no -1.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmetaad import TaskCollection
        >>> df = pd.DataFrame({"host": ["a", "a", "b"], "cpu": [0.1, 0.2, 0.9]})
        >>> TaskCollection.from_frame(df, task="host").ids
        ('a', 'b')
        """
        X, names, y, ids = frame_columns(df, task, label)
        if y is not None:
            warn_zero_one(y, f"column {label!r} of df")
        return cls(_by_id(X, y, ids, names))

    from_classes = classmethod(from_classes)
    from_windows = classmethod(from_windows)


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
    tasks = listed(X)
    return None if tasks is None else TaskCollection(tasks)


def _by_id(X, y, task, names):
    """Return one task per distinct id; none of them has labels that are all 0."""
    made = []
    for name, index in zip(*_making.group(task, X, "task"), strict=True):
        labels = None if y is None else y[index]
        if labels is not None and not labels.any():
            labels = None
        made.append(Task(name, X[index], labels, names))
    return made


def _settled(tasks):
    """Warn, once for all tasks, of labels of 0 and 1 where none is -1."""
    if not any(task._zero_one for task in tasks):
        return tasks
    warn_zero_one(
        np.concatenate([t.y for t in tasks if t.y is not None]), "y of the tasks"
    )
    return tuple(Task(t.id, t.X, t.y, t.feature_names) for t in tasks)


def _same(names, others):
    return names is others or names == others


def _width(task):
    shape = task.X.shape[1:]
    return shape[0] if len(shape) == 1 else shape


def _spread(counts):
    low, high = min(counts), max(counts)
    return f"{low}" if low == high else f"{low} to {high}"
