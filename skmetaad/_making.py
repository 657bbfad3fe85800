"""Checks and index arithmetic behind the makers of task collections, numpy only."""

from collections.abc import Mapping

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from skmetaad._ids import factorize

RULES = ("any", "last", "majority")


def numbers(X, name):
    """Return an array of real numbers with at least two axes."""
    X = np.asarray(X)
    if X.dtype.kind not in "biuf":
        try:
            if X.dtype.kind != "O":
                raise TypeError
            X = X.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} has dtype {X.dtype}: expected real numbers."
            ) from None
    if X.ndim < 2:
        raise ValueError(
            f"{name} has shape {X.shape}: expected (n_rows, n_features) or more axes."
        )
    return X


def outlier_labels(y, n_rows, name):
    """Return labels as int8 in {-1, 0, 1}."""
    y = np.asarray(y)
    if y.shape != (n_rows,):
        raise ValueError(
            f"{name} has shape {y.shape}: expected one label per row, ({n_rows},)."
        )
    expected = "-1 (outlier), +1 (inlier) and 0 (unlabelled)"
    if y.dtype.kind == "b":
        raise ValueError(f"{name} is boolean: expected {expected}.")
    if y.dtype == np.int8 and (not n_rows or (y.min() >= -1 and y.max() <= 1)):
        return y
    odd = ~np.isin(y, (-1, 0, 1))
    if odd.any():
        raise ValueError(
            f"{name} holds {y[odd].tolist()[0]!r}: expected only {expected}; "
            "skmetaad.from_pyod_labels converts 0/1."
        )
    return y.astype(np.int8)


def group(values, X, name):
    """Return ids in order of first appearance, and the row numbers of each."""
    if np.ndim(values) == 1 and len(values) != len(X):
        raise ValueError(
            f"{name} has {len(values)} entries, but X has {len(X)} rows: expected one "
            "per row."
        )
    code, ids = factorize(values, len(X))
    order = np.argsort(code, kind="stable")
    ends = np.cumsum(np.bincount(code, minlength=len(ids)))
    return ids, np.split(order, ends[:-1]) if ids else []


def id_array(ids, repeats):
    """Return each id as often as told, as text, integers or else objects."""
    kinds = {type(v) for v in ids}
    fits = kinds == {int} and all(-(2**63) <= v < 2**63 for v in ids)
    # Arrays of text cut off zero bytes at the end.
    if fits or (kinds == {str} and not any(v.endswith("\0") for v in ids)):
        return np.repeat(np.array(ids), repeats)
    values = np.empty(len(ids), object)
    values[:] = ids
    return np.repeat(values, repeats)


def places(index, n):
    """Return what a list, an array of ints or a boolean mask points at."""
    array = np.asarray(index)
    if array.shape == (0,) and array.dtype.kind == "f":  # an empty list
        return []
    if isinstance(index, tuple) or array.ndim != 1 or array.dtype.kind not in "biu":
        raise TypeError(
            f"index {index!r}: expected an int, a slice, a list or array of ints, or "
            "a boolean mask."
        )
    if array.dtype.kind != "b":
        return array.tolist()
    if len(array) != n:
        raise IndexError(
            f"boolean mask has {len(array)} entries: expected one per task, {n}."
        )
    return np.flatnonzero(array).tolist()


def one_against_rest(ids, members, max_outliers, rng):
    """Yield (class, rows, labels); rows ascend, the rest is thinned at random."""
    order = np.concatenate(members)
    start = 0
    for name, inliers in zip(ids, members, strict=True):
        n = len(order) - len(inliers)
        place = np.arange(n)
        if max_outliers is not None and max_outliers < n:
            place = rng.choice(n, max_outliers, replace=False)
        # `order` lists the rows class by class: step over this class.
        others = order[place + len(inliers) * (place >= start)]
        rows = np.concatenate([inliers, others])
        y = np.repeat(np.array([1, -1], np.int8), [len(inliers), len(others)])
        back = np.argsort(rows)
        yield name, rows[back], y[back]
        start += len(inliers)


def generator(random_state):
    """Return a Generator; a RandomState hands over a seed drawn from it."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)


def frame_columns(df, task, label):
    """Return features (n, d), labels or None, and the column of task ids."""
    if not hasattr(df, "columns") or not hasattr(df, "iloc"):
        raise TypeError(
            f"df is a {type(df).__name__}: expected a pandas DataFrame; for arrays use "
            "from_arrays."
        )
    from pandas.api.types import is_complex_dtype, is_numeric_dtype

    special = [task] if label is None else [task, label]
    for name, column in zip(("task", "label"), special, strict=False):
        if (found := list(df.columns).count(column)) != 1:
            raise ValueError(
                f"{name}={column!r} names {found} columns of df: expected one of "
                f"{list(df.columns)}."
            )
    if df[task].isna().any():
        row = int(np.argmax(df[task].isna().to_numpy()))
        raise ValueError(
            f"column {task!r} of df holds a missing id in row {row}: expected an id "
            "per row."
        )
    features = df.drop(columns=special)
    for column, dtype in zip(features.columns, features.dtypes, strict=True):
        if not is_numeric_dtype(dtype) or is_complex_dtype(dtype):
            raise TypeError(
                f"column {column!r} of df has dtype {dtype}: expected numbers; encode "
                "or drop it."
            )
    single = features.shape[1] and all(d == np.float32 for d in features.dtypes)
    dtype = np.float32 if single else np.float64
    X = features.to_numpy(dtype=dtype, na_value=np.nan)
    return X, None if label is None else df[label].to_numpy(), df[task].to_numpy()


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
    series = np.asarray(series)
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


def positive_int(value, name):
    """Refuse what is not a positive whole number."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: expected an int.")
    if value < 1:
        raise ValueError(f"{name}={value}: expected at least 1.")
