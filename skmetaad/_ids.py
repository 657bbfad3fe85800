"""Task ids: one hashable label per row, turned into codes 0..T-1."""

from numbers import Integral

import numpy as np


def factorize(task, n_rows, name="task"):
    """Return codes 0..T-1 in order of first appearance, and the ids."""
    if task is None:
        return np.zeros(n_rows, dtype=np.int64), ()
    refuse_masked(task, name, "a label for every row")
    values = _as_ids(task, n_rows, name)
    if values.dtype == object:
        codes = {}
        try:
            code = np.fromiter(
                (codes.setdefault(v, len(codes)) for v in values), np.int64, n_rows
            )
        except TypeError as error:
            raise TypeError(f"{name}: {error}; expected hashable ids.") from None
        ids = tuple(codes)
    else:
        ids, first, code = np.unique(values, return_index=True, return_inverse=True)
        order = np.argsort(first)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        code, ids = rank[code], tuple(_scalars(ids[order]))
    missing = [i for i, value in enumerate(ids) if is_missing(value)]
    if missing:
        raise ValueError(
            f"{name} holds a missing id in row {int(np.argmax(code == missing[0]))}: "
            "expected a label for every row."
        )
    return code, ids


def lookup(task, n_rows, ids):
    """Return the position in `ids` of each row's task; unknown ids raise."""
    position = {name: i for i, name in enumerate(ids)}
    code, given = factorize(task, n_rows)
    unknown = [name for name in given if name not in position]
    if unknown:
        shown = ", ".join(map(repr, ids[:5])) + (", ..." if len(ids) > 5 else "")
        raise ValueError(
            f"task holds unknown id {unknown[0]!r}"
            + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
            + f": expected ids adapted before ({shown or 'none so far'}); use adapt "
            "for a new task."
        )
    return np.array([position[name] for name in given], dtype=np.int64)[code]


def rows_by_code(code):
    """Return the rows of each code that occurs, in the order of codes."""
    order = np.argsort(code, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(code[order])) + 1)


def refuse_masked(values, name, expected):
    """Refuse a masked array that hides values; turned into an array it shows them."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} masks some values: expected {expected}.")


def is_missing(value):
    """Tell None, NaN, NaT and pandas' NA from a value that is there."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except TypeError:  # NA is not even sure to differ from itself
        return True
    except ValueError:  # an array
        return False


def _as_ids(task, n_rows, name):
    values = _array(task)
    if values.ndim != 1:
        raise ValueError(
            f"{name} has shape {values.shape}: expected one id per row, ({n_rows},)."
        )
    if len(values) != n_rows:
        raise ValueError(
            f"{name} has {len(values)} ids, but X has {n_rows} rows: expected one per "
            "row."
        )
    return values


def _array(task):
    """Return an array; numpy would turn 1 beside "a" into text, and tuples into rows.

    So a list of ids that an array of their kind does not hold becomes one of objects.
    """
    if not isinstance(task, list | tuple):
        return np.asarray(task)
    kinds = set(map(type, task))
    if len(kinds) < 2 and not any(issubclass(kind, tuple) for kind in kinds):
        values = np.asarray(task)
        if values.ndim > 1 or _holds(values, task):
            return values
    values = np.empty(len(task), object)
    values[:] = task
    return values


def _holds(values, task):
    """Tell whether no large int was rounded, and no zero byte cut off from text."""
    if values.dtype.kind == "f":
        return not any(isinstance(value, Integral) for value in task[:1])
    zero = {"U": "\0", "S": b"\0"}.get(values.dtype.kind)
    return zero is None or not any(value.endswith(zero) for value in task)


def _scalars(ids):
    """Return Python scalars; times that equal, and hash as, pandas' Timestamp."""
    if ids.dtype.kind not in "mM":
        return ids.tolist()
    short = ids.astype(f"{ids.dtype.kind}8[us]")
    exact = short == ids  # all but NaT and parts of a microsecond
    return [
        a if same else b for a, b, same in zip(short.tolist(), ids, exact, strict=True)
    ]
