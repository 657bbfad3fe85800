"""Drawing support and query rows as index arithmetic, numpy only."""

from dataclasses import dataclass

import numpy as np

__all__ = ["EpisodeSampler", "Episodes", "blocks", "draw_support_query"]

NEGATIVES = ("auto", "labels", "other_tasks", "synthetic")


@dataclass(frozen=True)
class Episodes:
    """A meta-batch of B episodes, as row numbers into stacked arrays.

    Attributes
    ----------
    task : ndarray of shape (B,)
        The task code of each episode.
    support : ndarray of shape (B, K)
        Row numbers of the support; -1 pads tasks that have fewer rows.
    support_y : ndarray of shape (B, K) of int8
        Labels of the support: +1, or -1 for labelled outliers; 0 on padding.
    query : ndarray of shape (B, Q)
        Row numbers of the query.
    query_y : ndarray of shape (B, Q) of int8
        +1 for inliers, -1 for outliers.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.episodes import EpisodeSampler
    >>> sampler = EpisodeSampler(None, np.repeat([0, 1], 20), n_support=5, n_query=4)
    >>> sampler.draw(3, np.random.default_rng(0)).query_y[0]
    array([ 1,  1, -1, -1], dtype=int8)
    """

    task: np.ndarray
    support: np.ndarray
    support_y: np.ndarray
    query: np.ndarray
    query_y: np.ndarray


class EpisodeSampler:
    """Draws meta-batches of episodes from stacked tasks.

    Parameters
    ----------
    y : ndarray of shape (n_rows,) or None
        Labels: -1 outlier, +1 inlier, 0 unlabelled (drawn as an inlier).
    code : ndarray of shape (n_rows,)
        Task codes 0..T-1.
    n_support : int or tuple of (int, int)
        Inlier support rows per episode. From a tuple one number per meta-batch is
        drawn, uniformly in its logarithm, bounds included.
    n_query : int
        Query rows per episode: half inliers, half outliers; inliers only when the
        negatives are synthetic.
    negatives : {"auto", "labels", "other_tasks", "synthetic"}, default="auto"
        Where outliers come from. "auto" takes labelled rows where a task has them, else
        inliers of other tasks, else ("synthetic") leaves them to the method.
    n_support_outliers : int, default=0
        Labelled outliers put into the support of tasks that have enough of them.
    contamination : float, default=0.0
        Share of the support's inlier rows replaced by outliers that keep the label +1.

    Attributes
    ----------
    negatives_ : str
        The source of outliers that `negatives` came to.
    n_tasks : int
        Number of tasks.

    Raises
    ------
    ValueError
        When no task has two rows to draw from, or `negatives` asks for outliers that
        the data does not have.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.episodes import EpisodeSampler
    >>> sampler = EpisodeSampler(None, np.repeat([0, 1], 20), n_support=5, n_query=4)
    >>> sampler.negatives_
    'other_tasks'
    >>> sampler.draw(3, np.random.default_rng(0)).support.shape
    (3, 5)
    """

    def __init__(
        self,
        y,
        code,
        *,
        n_support,
        n_query,
        negatives="auto",
        n_support_outliers=0,
        contamination=0.0,
    ):
        self.n_tasks = int(code.max()) + 1
        self.n_support = n_support
        self.n_query = n_query
        self.n_support_outliers = n_support_outliers
        self.contamination = contamination
        outlier = np.zeros(len(code), bool) if y is None else np.asarray(y) == -1
        self._inliers = _ByTask(np.flatnonzero(~outlier), code, self.n_tasks)
        self._outliers = _ByTask(np.flatnonzero(outlier), code, self.n_tasks)
        self.negatives_ = self._resolve(negatives)
        usable = self._inliers.count >= 2
        if negatives == "labels":
            usable &= self._outliers.count > 0
        self._usable = np.flatnonzero(usable)
        if not len(self._usable):
            raise ValueError(
                "no task has 2 rows that are not labelled as outliers: expected at "
                "least one support and one query row in some task."
            )

    def _resolve(self, negatives):
        labelled = (self._outliers.count > 0).any()
        if negatives == "auto":
            if labelled:
                return "labels"
            return "other_tasks" if self.n_tasks > 1 else "synthetic"
        if negatives == "labels" and not labelled:
            raise ValueError(
                "negatives='labels', but no row is labelled -1: expected labelled "
                "outliers, or negatives='auto'."
            )
        if negatives == "other_tasks" and self.n_tasks < 2:
            raise ValueError(
                "negatives='other_tasks' with 1 task: expected at least 2 tasks, or "
                "negatives='auto'."
            )
        return negatives

    def draw(self, n_episodes, rng, tasks=None):
        """Draw a meta-batch.

        Parameters
        ----------
        n_episodes : int
            Number of episodes.
        rng : numpy.random.Generator
            Source of randomness.
        tasks : array-like of int, default=None
            Task codes to draw from; outliers from other tasks come from these, too.

        Returns
        -------
        episodes : Episodes
            Row numbers and labels.

        Raises
        ------
        ValueError
            When none of `tasks` has two rows to draw from.
        """
        pool = self._usable if tasks is None else np.intersect1d(tasks, self._usable)
        if not len(pool):
            raise ValueError(f"tasks={tasks!r} have no task with 2 rows to draw from.")
        again = n_episodes > len(pool)
        task = rng.choice(pool, n_episodes, replace=again)
        n_support = self._draw_n_support(rng)
        n_out = 0 if self.negatives_ == "synthetic" else self.n_query // 2
        n_in = self.n_query - n_out
        support, query = self._draw_inliers(task, n_support, n_in, rng)
        support_y = np.where(support >= 0, 1, 0).astype(np.int8)
        n_extra = self.n_support_outliers
        n_hidden = round(self.contamination * n_support)
        outliers = self._draw_outliers(task, n_out + n_extra + n_hidden, pool, rng)
        if n_hidden:
            hidden = outliers[:, n_out + n_extra :]
            there = support[:, :n_hidden] >= 0
            support[:, :n_hidden] = np.where(there, hidden, -1)
        if n_extra:
            extra = outliers[:, n_out : n_out + n_extra].copy()
            # A task without labels of its own, or too few, gets none in its support.
            extra[self._outliers.count[task] < n_out + n_extra + n_hidden] = -1
            support = np.concatenate([support, extra], axis=1)
            extra_y = np.where(extra >= 0, -1, 0).astype(np.int8)
            support_y = np.concatenate([support_y, extra_y], axis=1)
        query = np.concatenate([query, outliers[:, :n_out]], axis=1)
        query_y = np.ones(query.shape, np.int8)
        query_y[:, n_in:] = -1
        return Episodes(task, support, support_y, query, query_y)

    def _draw_n_support(self, rng):
        if not isinstance(self.n_support, tuple):
            return self.n_support
        low, high = self.n_support
        return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))

    def _draw_inliers(self, task, n_support, n_query, rng):
        n = self._inliers.count[task]
        place = _distinct(n, n_support + n_query, rng)
        width = np.minimum(n_support, n - 1)
        column = np.arange(n_support)
        support = np.where(column < width[:, None], place[:, :n_support], -1)
        # The query takes the rows after the support, and again where they run out.
        left = np.minimum(n, n_support + n_query) - width
        after = width[:, None] + np.arange(n_query) % left[:, None]
        query = np.take_along_axis(place, after, axis=1)
        return self._inliers.rows(task, support), self._inliers.rows(task, query)

    def _draw_outliers(self, task, n, pool, rng):
        if not n:
            return np.empty((len(task), 0), np.int64)
        rows = np.empty((len(task), n), np.int64)
        own = self._outliers.count[task] > 0
        if self.negatives_ != "labels":
            own[:] = False
        if own.any():
            count = self._outliers.count[task[own]]
            place = _distinct(count, n, rng)
            place = np.take_along_axis(place, np.arange(n) % count[:, None], axis=1)
            rows[own] = self._outliers.rows(task[own], place)
        if not own.all():
            rows[~own] = self._draw_others(task[~own], n, pool, rng)
        return rows

    def _draw_others(self, task, n, pool, rng):
        if len(pool) < 2:
            pool = np.flatnonzero(self._inliers.count > 0)
        if len(pool) < 2:
            raise ValueError("one task alone has no rows of other tasks as outliers.")
        own = np.searchsorted(pool, task)[:, None]
        other = rng.integers(0, len(pool) - 1, (len(task), n))
        other = pool[other + (other >= own)]
        place = (rng.random(other.shape) * self._inliers.count[other]).astype(np.int64)
        return self._inliers.order[self._inliers.start[other] + place]


class _ByTask:
    """Row numbers grouped by task."""

    def __init__(self, rows, code, n_tasks):
        code = code[rows]
        self.order = rows[np.argsort(code, kind="stable")]
        self.count = np.bincount(code, minlength=n_tasks)
        self.start = np.cumsum(self.count) - self.count

    def rows(self, task, place):
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


def draw_support_query(
    y, n_support, *, n_query=None, n_outliers=0, contamination=0.0, rng
):
    """Draw the support and query rows of one task.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels: -1 outlier, +1 inlier, 0 unlabelled (drawn as an inlier).
    n_support : int
        Support rows that are not labelled outliers.
    n_query : int, default=None
        Query rows, drawn with the shares of outliers and others kept; None: all rows
        that are not in the support.
    n_outliers : int, default=0
        Labelled outliers in the support, beside the `n_support` rows.
    contamination : float, default=0.0
        Share of the `n_support` rows that are outliers in truth, in [0, 1).
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    support : ndarray of shape (n_support + n_outliers,)
        Row numbers; first the `n_support` rows, then the labelled outliers.
    query : ndarray of shape (n_query,)
        Row numbers, ascending.

    Raises
    ------
    ValueError
        When the task has too few inliers or outliers.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.episodes import draw_support_query
    >>> y = np.array([1, 1, 1, 1, -1])
    >>> support, query = draw_support_query(y, 2, rng=np.random.default_rng(0))
    >>> len(support), len(query)
    (2, 3)
    """
    y = np.asarray(y)
    inliers = rng.permutation(np.flatnonzero(y != -1))
    outliers = rng.permutation(np.flatnonzero(y == -1))
    n_hidden = round(contamination * n_support)
    n_clean = n_support - n_hidden
    if n_support < 1 or n_clean > len(inliers):
        raise ValueError(
            f"n_support={n_support}, but the task has {len(inliers)} inlier rows: "
            f"expected 1 to {len(inliers)}."
        )
    if n_hidden + n_outliers > len(outliers):
        raise ValueError(
            f"n_outliers={n_outliers} and contamination={contamination} ask for "
            f"{n_hidden + n_outliers} outliers, but the task has {len(outliers)}."
        )
    support = np.concatenate(
        [inliers[:n_clean], outliers[: n_hidden + n_outliers]]
    )
    rest = (inliers[n_clean:], outliers[n_hidden + n_outliers :])
    total = len(rest[0]) + len(rest[1])
    if n_query is not None and n_query < total:
        n_out = min(round(n_query * len(rest[1]) / total), len(rest[1]))
        rest = (rest[0][: n_query - n_out], rest[1][:n_out])
    return support, np.sort(np.concatenate(rest))


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

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.episodes import blocks
    >>> for tasks, rows in blocks(np.array([1, 0, 1]), 2, max_rows=10):
    ...     print(tasks.tolist(), rows.tolist())
    [0, 1] [[1, -1], [0, 2]]
    """
    by_task = _ByTask(np.arange(len(code)), code, n_tasks)
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
