"""Drawing distinct rows of many tasks at once, numpy only."""

import numpy as np


class ByTask:
    """Row numbers grouped by task."""

    def __init__(self, rows, code, n_tasks):
        code = code[rows]
        self.order = rows[np.argsort(code, kind="stable")]
        self.count = np.bincount(code, minlength=n_tasks)
        self.start = np.cumsum(self.count) - self.count

    def draw_two(self, task, n_first, n_second, rng):
        """Draw disjoint row numbers (B, n_first) and (B, n_second).

        The first has no repetitions, is padded with -1 and leaves a row to the second,
        which repeats its own where rows run out; -1 in tasks without rows.
        """
        n = self.count[task]
        place = _distinct(n, n_first + n_second, rng)
        width = np.minimum(n_first, np.maximum(n - bool(n_second), 0))
        first = np.where(np.arange(n_first) < width[:, None], place[:, :n_first], -1)
        left = np.maximum(np.minimum(n, n_first + n_second) - width, 1)
        after = width[:, None] + np.arange(n_second) % left[:, None]
        second = np.take_along_axis(place, after, axis=1)
        return self.rows(task, first), self.rows(task, second)

    def rows(self, task, place):
        if not len(self.order):
            return place
        found = self.order[(self.start[task][:, None] + place).clip(0)]
        return np.where(place >= 0, found, -1)


def _distinct(n, m, rng):
    """Draw (B, m) distinct places below n (B,); -1 where a row has fewer than m."""
    places = np.full((len(n), m), -1, np.int64)
    few = n < 4 * m
    if few.any():
        width = int(n[few].max())
        key = rng.random((int(few.sum()), width))
        key[np.arange(width) >= n[few, None]] = 2.0
        order = np.argsort(key, axis=1)[:, :m]
        places[few, : order.shape[1]] = np.where(order < n[few, None], order, -1)
    many = ~few
    if many.any():
        places[many] = _distinct_of_many(n[many], m, rng)
    return places


def _distinct_of_many(n, m, rng):
    """Draw with replacement and redraw repetitions, cheap where m is far below n."""
    place = (rng.random((len(n), m)) * n[:, None]).astype(np.int64)
    while True:
        order = np.argsort(place, axis=1, kind="stable")
        ranked = np.take_along_axis(place, order, axis=1)
        row, column = np.nonzero(ranked[:, 1:] == ranked[:, :-1])
        if not len(row):
            return place
        column = order[row, column + 1]
        place[row, column] = (rng.random(len(row)) * n[row]).astype(np.int64)


def check_contamination(contamination):
    """Refuse a share outside [0, 1)."""
    if not 0 <= contamination < 1:
        raise ValueError(f"contamination={contamination!r}: expected [0, 1).")
