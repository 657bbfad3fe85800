"""Tasks and collections of tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skmetaad._ids import factorize


__all__ = ["Task", "TaskCollection", "as_collection"]

RULES = ("any", "last", "majority")


@dataclass(frozen=True, eq=False)
class Task:
    """One detection problem: an id, rows, and labels where there are any.

    Parameters
    ----------
    id : hashable
        The task id.
    X : array-like of shape (n_rows, n_features)
        The rows; further axes are allowed (images).
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled.

    Raises
    ------
    TypeError
        When `id` is not hashable.
    ValueError
        When `X` has no row or one axis only, or `y` does not fit it.

    Examples
    --------
    >>> from skmetaad import Task
    >>> Task("machine-1", [[0.0, 1.0], [2.0, 3.0]], [1, -1])
    Task(id='machine-1', n_rows=2, n_features=2, n_outliers=1)
    """

    id: Any
    X: np.ndarray
    y: np.ndarray | None = None

    def __post_init__(self):
        hash(self.id)
        X = np.asarray(self.X)
        if X.ndim < 2:
            raise ValueError(
                f"X of task {self.id!r} has shape {X.shape}: expected (n_rows, "
                "n_features)."
            )
        if not len(X):
            raise ValueError(f"X of task {self.id!r} has no rows: expected at least 1.")
        object.__setattr__(self, "X", X)
        if self.y is not None:
            object.__setattr__(self, "y", self._checked_labels())

    def _checked_labels(self):
        y, name = np.asarray(self.y), f"y of task {self.id!r}"
        if y.shape != (len(self.X),):
            raise ValueError(
                f"{name} has shape {y.shape}: expected ({len(self.X)},), one label "
                "per row."
            )
        odd = ~np.isin(y, (-1, 0, 1))
        if odd.any():
            raise ValueError(
                f"{name} holds {y[odd][0]!r}: expected -1 (outlier), +1 (inlier) or 0 "
                "(unlabelled)."
            )
        return y.astype(np.int8)

    def __len__(self):
        return len(self.X)

    def __repr__(self):
        n_features = int(np.prod(self.X.shape[1:]))
        text = f"Task(id={self.id!r}, n_rows={len(self.X)}, n_features={n_features}"
        if self.y is not None:
            text += f", n_outliers={int((self.y == -1).sum())}"
        return text + ")"


class TaskCollection(Sequence):
    """A sequence of tasks that indexes like an array.

    Tasks may differ in their number of rows, and of features as long as the rows are
    not to be stacked.

    Parameters
    ----------
    tasks : iterable of Task
        The tasks, with distinct ids.

    Raises
    ------
    TypeError
        When an element is not a `Task`.
    ValueError
        When two tasks have the same id, or there is none.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad import TaskCollection
    >>> X = np.arange(12.0).reshape(6, 2)
    >>> tasks = TaskCollection.from_arrays(X, task=["a", "a", "b", "b", "b", "c"])
    >>> tasks
    TaskCollection(n_tasks=3, n_rows=6 (1 to 3 per task), n_features=2)
    >>> tasks[1]
    Task(id='b', n_rows=3, n_features=2)
    >>> tasks[[0, 2]].ids
    ('a', 'c')
    >>> tasks[np.array([True, False, True])].ids
    ('a', 'c')
    """

    def __init__(self, tasks):
        tasks = tuple(tasks)
        for task in tasks:
            if not isinstance(task, Task):
                raise TypeError(
                    f"tasks holds a {type(task).__name__}: expected Task objects."
                )
        seen = set()
        for task in tasks:
            if task.id in seen:
                raise ValueError(
                    f"two tasks have the id {task.id!r}: expected distinct ids."
                )
            seen.add(task.id)
        self._tasks = tasks

    @property
    def ids(self):
        """The task ids, a tuple."""
        return tuple(task.id for task in self._tasks)

    def __len__(self):
        return len(self._tasks)

    def __getitem__(self, key):
        if isinstance(key, int | np.integer) and not isinstance(key, bool):
            return self._tasks[key]
        if isinstance(key, slice):
            return TaskCollection(self._tasks[key])
        index = np.asarray(key)
        if index.size == 0:
            index = index.astype(np.int64)
        if index.ndim != 1 or index.dtype.kind not in "biu":
            raise TypeError(
                f"a TaskCollection was indexed by {key!r}: expected an int, a slice, a "
                "list of ints or a boolean mask."
            )
        if index.dtype.kind == "b":
            if len(index) != len(self):
                raise IndexError(
                    f"the mask has {len(index)} elements: expected {len(self)}, one "
                    "per task."
                )
            index = np.flatnonzero(index)
        return TaskCollection(self._tasks[i] for i in index)

    def __eq__(self, other):
        return isinstance(other, TaskCollection) and self._tasks == other._tasks

    __hash__ = None

    def __repr__(self):
        if not self._tasks:
            return "TaskCollection(n_tasks=0)"
        rows = [len(task) for task in self]
        widths = sorted({int(np.prod(task.X.shape[1:])) for task in self})
        spread = f"{min(rows)}" + (f" to {max(rows)}" if min(rows) < max(rows) else "")
        width = f"{widths[0]}" + (f" to {widths[-1]}" if len(widths) > 1 else "")
        text = f"n_tasks={len(self)}, n_rows={sum(rows)} ({spread} per task), "
        text += f"n_features={width}"
        labelled = [task.y for task in self if task.y is not None]
        if labelled:
            outliers = sum(int((y == -1).sum()) for y in labelled)
            text += f", n_outliers={outliers}"
        return f"TaskCollection({text})"

    def arrays(self):
        """Stack the tasks.

        Returns
        -------
        X : ndarray of shape (n_rows, n_features)
            The rows of all tasks, in order.
        y : ndarray of shape (n_rows,) of int8, or None
            The labels; None when no task has labels. Rows of tasks without labels are
            unlabelled (0) when other tasks have some.
        task : ndarray of shape (n_rows,)
            The id of each row's task.

        Raises
        ------
        ValueError
            When tasks differ in width, or there is none.

        Examples
        --------
        >>> from skmetaad import Task, TaskCollection
        >>> X, y, task = TaskCollection([Task("a", [[1.0]]), Task("b", [[2.0]])]).arrays()
        >>> task
        array(['a', 'b'], dtype='<U1')
        """
        if not self._tasks:
            raise ValueError("the TaskCollection has no tasks: expected at least 1.")
        first = self._tasks[0]
        for task in self._tasks:
            if task.X.shape[1:] != first.X.shape[1:]:
                raise ValueError(
                    f"task {first.id!r} has rows of shape {first.X.shape[1:]} and task "
                    f"{task.id!r} of {task.X.shape[1:]}: expected the same in all "
                    "tasks."
                )
        X = np.concatenate([task.X for task in self])
        sizes = [len(task) for task in self]
        y = None
        if any(task.y is not None for task in self):
            y = np.concatenate(
                [np.zeros(len(t), np.int8) if t.y is None else t.y for t in self]
            )
        return X, y, np.repeat(_id_array(self.ids), sizes)

    @classmethod
    def from_arrays(cls, X, y=None, *, task):
        """Split stacked rows into tasks.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            The rows of all tasks.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.
        task : array-like of shape (n_rows,)
            The task id of each row.

        Returns
        -------
        tasks : TaskCollection
            One task per id, in order of first appearance.

        Raises
        ------
        ValueError
            When the arrays do not fit each other.

        Examples
        --------
        >>> from skmetaad import TaskCollection
        >>> TaskCollection.from_arrays([[1.0], [2.0], [3.0]], task=[7, 5, 7]).ids
        (7, 5)
        """
        X = np.asarray(X)
        code, ids = factorize(task, len(X))
        if y is not None and len(y) != len(X):
            raise ValueError(
                f"y has {len(y)} labels, but X has {len(X)} rows: expected one label "
                "per row."
            )
        y = None if y is None else np.asarray(y)
        order = np.argsort(code, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(code))[:-1])
        return cls(
            Task(name, X[rows], None if y is None else y[rows])
            for name, rows in zip(ids, parts, strict=True)
        )

    @classmethod
    def from_frame(cls, df, *, task, label=None):
        """Split a data frame into tasks.

        Parameters
        ----------
        df : pandas.DataFrame
            The rows; all columns but `task` and `label` are numeric features.
        task : str
            The column of task ids.
        label : str, default=None
            The column of labels (-1, +1, 0).

        Returns
        -------
        tasks : TaskCollection
            One task per id, in order of first appearance.

        Raises
        ------
        ValueError
            When a named column is missing.
        TypeError
            When a feature column is not numeric.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmetaad import TaskCollection
        >>> df = pd.DataFrame({"host": ["a", "a", "b"], "cpu": [0.1, 0.2, 0.9]})
        >>> TaskCollection.from_frame(df, task="host").ids
        ('a', 'b')
        """
        named = [task] if label is None else [task, label]
        for name in named:
            if name not in df.columns:
                raise ValueError(
                    f"df has no column {name!r}: expected one of {list(df.columns)}."
                )
        features = df.drop(columns=named)
        for name, kind in features.dtypes.items():
            if getattr(kind, "kind", "O") not in "biuf":
                raise TypeError(
                    f"column {name!r} of df has the type {kind}: expected numbers; "
                    "encode or drop it."
                )
        y = None if label is None else df[label].to_numpy()
        return cls.from_arrays(features.to_numpy(), y, task=df[task].to_numpy())

    @classmethod
    def from_classes(cls, X, classes, *, max_outliers=None, random_state=None):
        """Make one task per class: the class is normal, all others are outliers.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            The rows.
        classes : array-like of shape (n_rows,)
            The class of each row.
        max_outliers : int, default=None
            Largest number of outlier rows per task, drawn at random; None: all.
        random_state : int or None, default=None
            Seed of the draw.

        Returns
        -------
        tasks : TaskCollection
            One task per class, with the class as its id.

        Raises
        ------
        ValueError
            When there are fewer than two classes, or the arrays do not fit.

        Examples
        --------
        >>> from sklearn.datasets import load_digits
        >>> from skmetaad import TaskCollection
        >>> X, digit = load_digits(return_X_y=True)
        >>> tasks = TaskCollection.from_classes(X, digit, max_outliers=50)
        >>> tasks[3]
        Task(id=3, n_rows=233, n_features=64, n_outliers=50)
        """
        X = np.asarray(X)
        code, ids = factorize(classes, len(X))
        if len(ids) < 2:
            raise ValueError(f"classes holds {len(ids)} class: expected at least 2.")
        rng = np.random.default_rng(random_state)
        tasks = []
        for i, name in enumerate(ids):
            own, others = np.flatnonzero(code == i), np.flatnonzero(code != i)
            if max_outliers is not None and max_outliers < len(others):
                others = np.sort(rng.choice(others, max_outliers, replace=False))
            y = np.repeat(np.array([1, -1], np.int8), [len(own), len(others)])
            tasks.append(Task(name, X[np.concatenate([own, others])], y))
        return cls(tasks)

    @classmethod
    def from_windows(cls, series, width, step=1, *, labels=None, rule="any"):
        """Cut one or many time series into sliding windows, one task per series.

        Parameters
        ----------
        series : ndarray of shape (n_steps,) or (n_steps, n_channels), list or dict
            One series, or several; a dict gives the task ids, else they are numbered.
        width : int
            Time steps per window.
        step : int, default=1
            Time steps from one window to the next.
        labels : array-like of shape (n_steps,), list or dict, default=None
            Labels (-1, +1, 0) of the time steps, in the form of `series`.
        rule : {"any", "last", "majority"} or callable, default="any"
            When a window is an outlier: when any of its steps is, its last one is, or
            more than half of them are. A callable takes the labels (n_windows, width)
            and returns a boolean array (n_windows,). A window that is no outlier is
            an inlier unless all its steps are unlabelled.

        Returns
        -------
        tasks : TaskCollection
            Rows are windows flattened to (n_windows, width * n_channels), the oldest
            step first.

        Raises
        ------
        ValueError
            When a series is shorter than `width`, a number is not positive, `rule` is
            unknown or labels do not fit.

        Examples
        --------
        >>> import numpy as np
        >>> from skmetaad import TaskCollection
        >>> tasks = TaskCollection.from_windows(np.arange(6.0), width=3, step=2)
        >>> tasks[0].X
        array([[0., 1., 2.],
               [2., 3., 4.]])
        """
        for name, value in (("width", width), ("step", step)):
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name}={value!r}: expected a positive int.")
        if not callable(rule) and rule not in RULES:
            raise ValueError(f"rule={rule!r}: expected one of {RULES} or a callable.")
        series, labels = _as_mapping(series), _as_mapping(labels)
        if labels is not None and set(labels) != set(series):
            raise ValueError(
                f"labels are given for {sorted(map(str, labels))}: expected them for "
                f"{sorted(map(str, series))}."
            )
        return cls(
            _windows(name, x, None if labels is None else labels[name], width, step, rule)
            for name, x in series.items()
        )


def as_collection(X):
    """Return X as a TaskCollection when it is one, or a list or tuple of Task."""
    if isinstance(X, TaskCollection):
        return X
    if isinstance(X, Task):
        return TaskCollection([X])
    if isinstance(X, list | tuple) and X and all(isinstance(t, Task) for t in X):
        return TaskCollection(X)
    return None


def _id_array(ids):
    """Return ids as an array that gives them back unchanged."""
    if len({type(name) for name in ids}) == 1 and isinstance(ids[0], str | int):
        return np.array(ids)
    array = np.empty(len(ids), dtype=object)
    array[:] = ids
    return array


def _as_mapping(value):
    if value is None or isinstance(value, Mapping):
        return value
    if isinstance(value, list | tuple) and np.ndim(value[0]) > 0:
        # A list of lists of numbers is one series; a list of arrays is several.
        if not all(isinstance(row, list | tuple) for row in value):
            return dict(enumerate(value))
    return {0: value}


def _windows(name, x, labels, width, step, rule):
    x = np.asarray(x)
    x = x[:, None] if x.ndim == 1 else x
    if len(x) < width:
        raise ValueError(
            f"series {name!r} has {len(x)} steps: expected at least width={width}."
        )
    view = np.lib.stride_tricks.sliding_window_view(x, width, axis=0)[::step]
    X = view.transpose(0, 2, 1).reshape(len(view), -1)
    if labels is None:
        return Task(name, X)
    y = np.asarray(labels)
    if y.shape != (len(x),):
        raise ValueError(
            f"labels of series {name!r} have shape {y.shape}: expected ({len(x)},)."
        )
    steps = np.lib.stride_tricks.sliding_window_view(y, width)[::step]
    bad = steps == -1
    outlier = {
        "any": lambda: bad.any(axis=1),
        "last": lambda: bad[:, -1],
        "majority": lambda: bad.mean(axis=1) > 0.5,
    }[rule]() if not callable(rule) else np.asarray(rule(steps), dtype=bool)
    unlabelled = (steps == 0).all(axis=1)
    return Task(name, X, np.where(outlier, -1, np.where(unlabelled, 0, 1)))
