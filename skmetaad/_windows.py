"""Tasks of sliding windows over time series."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skmetaad._checks import check_count
from skmetaad._ids import refuse_masked
from skmetaad._making import as_array, column_names, shared_names
from skmetaad._task import Task, listed, refuse_beside
from skmetaad.labels import outlier_labels, warn_zero_one

RULES = ("any", "last", "majority")


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
        Rows of width * n_features values, the oldest time step first. Names of columns
        become such as "load[t-1]" and "load[t]".

    Raises
    ------
    ValueError
        When a series is shorter than `width`, arguments do not fit together, or series
        name their columns differently.
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
    check_count("width", width)
    check_count("step", step)
    if not callable(rule) and rule not in RULES:
        raise ValueError(f"rule={rule!r}: expected one of {RULES} or a callable.")
    tasks = series if isinstance(series, cls) else listed(series)
    if tasks is not None:
        refuse_beside(labels=labels, ids=ids)
        tasks = cls(tasks)
        series, ids = [t.X for t in tasks], tasks.ids
        labels = [t.y for t in tasks]
    parts = named_series(series, labels, ids)
    columns = [t.feature_names for t in tasks or ()]
    columns = shared_names(
        columns or [column_names(values) for _, values, _ in parts],
        [name for name, _, _ in parts],
        "series",
    )
    made, given = [], []
    for name, values, y in parts:
        X = window_rows(values, width, step, name)
        if y is not None:
            y = outlier_labels(y, len(values), f"labels of series {name!r}")
            given.append(y)
            y = window_labels(y, width, step, rule)
        made.append(Task(name, X, y, names_in_time(columns, width)))
    if given and tasks is None:
        warn_zero_one(np.concatenate(given), "argument labels")
    return cls(made)


def names_in_time(columns, width):
    """Return the names of a window's columns: load[t-1], load[t]."""
    if columns is None:
        return None
    steps = [f"t-{back}" if back else "t" for back in range(width - 1, -1, -1)]
    return tuple(f"{name}[{step}]" for step in steps for name in columns)


def named_series(series, labels, ids):
    """Return (id, series, labels) per series, whatever form they came in."""
    if isinstance(series, Mapping):
        if ids is not None:
            raise ValueError("ids was given beside a dict of series, which names them.")
        ids, series = list(series), list(series.values())
        if labels is not None:
            if not isinstance(labels, Mapping) or set(labels) != set(ids):
                raise ValueError(
                    "labels do not have the keys of series: expected a dict with the "
                    "same keys."
                )
            labels = [labels[name] for name in ids]
    elif not isinstance(series, list | tuple):
        series = [series]
        labels = None if labels is None else [labels]
    for name, value in (("ids", ids), ("labels", labels)):
        if value is not None and not isinstance(value, Iterable):
            raise TypeError(f"{name}={value!r}: expected one entry per series.")
    ids = list(range(len(series))) if ids is None else list(ids)
    labels = [None] * len(series) if labels is None else list(labels)
    for name, value in (("ids", ids), ("labels", labels)):
        if len(value) != len(series):
            raise ValueError(
                f"{name} has {len(value)} entries for {len(series)} series: expected "
                "one per series."
            )
    return list(zip(ids, series, labels, strict=True))


def window_rows(series, width, step, name):
    """Return windows (n_windows, width * d), the oldest time step first."""
    refuse_masked(series, f"series {name!r}", "NaN where a value is missing")
    series = as_array(series)
    if series.ndim == 1:
        series = series[:, None]
    if series.ndim != 2:
        raise ValueError(
            f"series {name!r} has shape {series.shape}: expected (n_rows,) or "
            "(n_rows, n_features)."
        )
    if len(series) < width:
        raise ValueError(
            f"series {name!r} has {len(series)} rows: expected at least width={width}."
        )
    windows = sliding_window_view(series, width, axis=0)[::step]
    return windows.transpose(0, 2, 1).reshape(len(windows), -1)


def window_labels(y, width, step, rule):
    """Return one label per window.

    A window is unlabelled where the rule's answer hangs on unlabelled rows.
    """
    windows = sliding_window_view(y, width)[::step]
    certain = _holds(windows, rule)
    if not (y == 0).any():
        return np.where(certain, -1, 1).astype(np.int8)
    possible = _holds(np.where(windows == 0, np.int8(-1), windows), rule)
    return np.where(certain, -1, np.where(possible, 0, 1)).astype(np.int8)


def _holds(windows, rule):
    if callable(rule):
        return np.fromiter((bool(rule(w)) for w in windows), bool, len(windows))
    if rule == "last":
        return windows[:, -1] == -1
    n_outliers = (windows == -1).sum(axis=1)
    return n_outliers > (windows.shape[1] / 2 if rule == "majority" else 0)
