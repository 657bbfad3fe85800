"""Outliers for queries that have none: rows of other tasks, or departures."""

import numpy as np
from scipy import sparse

from skmetaad._as_given import by_column, is_frame
from skmetaad._compat import safe_indexing
from skmetaad._making import step_over


def with_outliers(X, y, query, rng):
    """Return stacked rows and each task's labels; tasks without outliers get some."""
    labels = [y[rows] for rows in query]
    lacking = [i for i, own in enumerate(labels) if not (own == -1).any()]
    if lacking and len(query) == 1:
        labels[0] = np.repeat(np.array([1, -1], np.int8), len(query[0]))
        return _with_departures(X, query[0], rng), labels
    inliers = [rows[own == 1] for rows, own in zip(query, labels, strict=True)]
    pool = np.concatenate(inliers)
    start = np.cumsum([0, *map(len, inliers)])
    query = list(query)
    for i in lacking:
        n_own = len(inliers[i])
        n_others = len(pool) - n_own
        place = rng.choice(n_others, min(n_own, n_others), replace=False)
        others = pool[step_over(place, start[i], n_own)]
        query[i] = np.concatenate([query[i], others])
        labels[i] = np.r_[labels[i], -np.ones(len(others), np.int8)]
    return safe_indexing(X, np.concatenate(query)), labels


def _with_departures(X, rows, rng):
    """Return rows, and as many made of them; text and gaps are shuffled only."""
    own = safe_indexing(X, rows)
    numbers = own.toarray() if sparse.issparse(own) else np.asarray(own)
    finite = numbers.dtype.kind in "biuf" and np.isfinite(numbers).all()
    if is_frame(X) and not finite:
        return by_column(X, [np.r_[rows, rng.permutation(rows)] for _ in X.columns])
    odd = _departures(numbers, rng) if finite else rng.permuted(numbers, axis=0)
    made = np.concatenate([numbers, odd])
    if is_frame(X):
        return type(X)(dict(zip(X.columns, made.T, strict=True)))
    return type(own)(made) if sparse.issparse(own) else made


def _departures(rows, rng):
    if rows.dtype.kind != "f":  # differences of small or unsigned ints wrap around
        rows = rows.astype(np.float64)
    shuffled = rng.permuted(rows, axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    half = (high - low) / 2
    uniform = rng.uniform(low - half, high + half, rows.shape)
    kept = rng.random(len(rows)).reshape(-1, *[1] * (rows.ndim - 1)) < 0.5
    return np.where(kept, shuffled, uniform)
