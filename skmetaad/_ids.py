"""Task ids: one hashable label per row, turned into codes 0..T-1."""

import numpy as np


def factorize(task, n_rows):
    """Return codes 0..T-1 in order of first appearance, and the ids."""
    if task is None:
        return np.zeros(n_rows, dtype=np.int64), ()
    values = _as_ids(task, n_rows)
    if values.dtype == object:
        codes = {}
        code = np.fromiter(
            (codes.setdefault(v, len(codes)) for v in values), np.int64, n_rows
        )
        return code, tuple(codes)
    ids, first, code = np.unique(values, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return rank[code], tuple(ids[order].tolist())


def lookup(task, n_rows, ids):
    """Return the position in `ids` of each row's task; unknown ids raise."""
    values = _as_ids(task, n_rows)
    position = {name: i for i, name in enumerate(ids)}
    code, given = factorize(values, n_rows)
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


def _as_ids(task, n_rows):
    values = np.asarray(task)
    if values.ndim != 1:
        raise ValueError(
            f"task has shape {values.shape}: expected one task id per row, ({n_rows},)."
        )
    if len(values) != n_rows:
        raise ValueError(
            f"task has {len(values)} ids, but X has {n_rows} rows: expected one task "
            "id per row."
        )
    missing = (
        np.isnan(values)
        if values.dtype.kind == "f"
        else np.array([v is None or v != v for v in values])
        if values.dtype == object
        else np.zeros(1, dtype=bool)
    )
    if missing.any():
        raise ValueError(
            f"task holds a missing id in row {int(np.argmax(missing))}: expected a "
            "label for every row."
        )
    return values
