"""Drawing distinct rows of many tasks at once, numpy only."""

import numpy as np


class ByTask:
    """Row numbers grouped by task."""

    def __init__(self, rows, code, n_tasks):
        code = code[rows]
        self.order = rows[np.argsort(code, kind="stable")]
        self.count = np.bincount(code, minlength=n_tasks)
        self.start = np.cumsum(self.count) - self.count

    def draw_two(self, task, n_first, n_second, rng, *, chronological=False):
        """Draw disjoint row numbers (B, n_first) and (B, n_second).

        The first has no repetitions, is padded with -1 and leaves a row to the second,
        which repeats its own where rows run out; -1 in tasks without rows. What is
        `chronological` takes the first from the first half of a task's rows, neighbours
        if "consecutive", and the second from the rest.
        """
        n = self.count[task]
        if chronological:
            half = np.maximum(n // 2, np.minimum(n, 1))
            draw = _neighbours if chronological == "consecutive" else _distinct
            first = draw(half, n_first, rng)
            place = _distinct(n - half, n_second, rng)
            left, skipped = np.minimum(n - half, n_second), half
        else:
            place = _distinct(n, n_first + n_second, rng)
            width = np.minimum(n_first, np.maximum(n - bool(n_second), 0))
            columns = np.arange(n_first) < width[:, None]
            first = np.where(columns, place[:, :n_first], -1)
            left, skipped = np.minimum(n, n_first + n_second) - width, width * 0
        start = 0 if chronological else width[:, None]
        after = start + np.arange(n_second) % np.maximum(left, 1)[:, None]
        second = np.take_along_axis(place, after, axis=1)
        second = np.where(second >= 0, second + skipped[:, None], -1)
        return self.rows(task, first), self.rows(task, second)

    def rows(self, task, place):
        if not len(self.order):
            return place
        found = self.order[(self.start[task][:, None] + place).clip(0)]
        return np.where(place >= 0, found, -1)


def _neighbours(n, m, rng):
    """Draw (B, m) places below n (B,) in a row; -1 where a row has fewer than m."""
    begin = rng.integers(np.maximum(n - m, 0) + 1)
    places = begin[:, None] + np.arange(m)
    return np.where(places < n[:, None], places, -1)


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


def blocks(code, n_tasks, *, max_rows, split=True):
    """Group rows by task into padded rectangles.

    Parameters
    ----------
    code : ndarray of shape (n_rows,)
        Task codes 0..n_tasks-1.
    n_tasks : int
        Number of tasks.
    max_rows : int
        Rows per rectangle, padding included.
    split : bool, default=True
        Whether a task with more rows than `max_rows` is split over rectangles; else it
        gets one of its own.

    Yields
    ------
    tasks : ndarray of shape (T,)
        Task codes.
    rows : ndarray of shape (T, R)
        Row numbers in their order, padded with -1. Padding is less than half.

    Raises
    ------
    ValueError
        When `max_rows` is less than 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.episodes import blocks
    >>> for tasks, rows in blocks(np.array([1, 0, 1]), 2, max_rows=10):
    ...     print(tasks.tolist(), rows.tolist())
    [0, 1] [[1, -1], [0, 2]]
    """
    if max_rows < 1:
        raise ValueError(f"max_rows={max_rows!r}: expected at least 1.")
    if n_tasks == 1 and len(code) <= max_rows:
        yield np.zeros(1, np.int64), np.arange(len(code))[None]
        return
    by_task = ByTask(np.arange(len(code)), code, n_tasks)
    tasks = np.argsort(by_task.count, kind="stable")
    count = by_task.count[tasks]
    first = int(np.searchsorted(count, 1))
    while first < len(tasks):
        n = int(count[first])
        if n > max_rows and split:
            task, start = tasks[first : first + 1], by_task.start[tasks[first]]
            for low in range(0, n, max_rows):
                high = min(n, low + max_rows)
                yield task, by_task.order[None, start + low : start + high]
            first += 1
            continue
        last = int(np.searchsorted(count, 2 * n, side="right"))
        last = min(last, first + max(1, max_rows // (2 * n)))
        group = tasks[first:last]
        place = np.arange(count[last - 1])
        place = np.where(place < by_task.count[group][:, None], place, -1)
        yield group, by_task.rows(group, place)
        first = last
