"""Drawing support and query rows as index arithmetic, numpy only."""

from dataclasses import dataclass

import numpy as np

from skmetaad._checks import check_chronological, check_share
from skmetaad._drawing import ByTask, blocks

__all__ = ["EpisodeSampler", "Episodes", "blocks", "draw_support_query"]

NEGATIVES = ("auto", "labels", "other_tasks", "synthetic")


@dataclass(frozen=True)
class Episodes:
    """A meta-batch of B episodes, as row numbers into stacked arrays.

    Parameters
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


def _range(value):
    return tuple(value) if isinstance(value, list | tuple) else value


def _bounds(value):
    return value if isinstance(value, tuple) else (value, value)


class EpisodeSampler:
    """Draw meta-batches of episodes from stacked tasks.

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
    n_support_outliers : int or tuple of (int, int), default=0
        Labelled outliers of the task put into its support, fewer where it has fewer.
        From a tuple one number per meta-batch is drawn, uniformly, bounds included.
    contamination : float, default=0.0
        Share of the support's inlier rows, rounded to whole rows, replaced by outliers
        that keep the label +1, in [0, 1). They are labelled outliers of the task, or
        where it has none rows of other tasks; where these run out rows stay clean.
    chronological : bool or "consecutive", default=False
        Whether support inliers come from the first half of their task's, and query
        inliers from the second; "consecutive": and support inliers are neighbours.
        Outliers come from anywhere.

    Attributes
    ----------
    negatives_ : str
        The source of outliers that `negatives` came to.
    n_tasks : int
        Number of tasks.
    usable : ndarray of int
        The codes of the tasks that episodes can be drawn from.

    Raises
    ------
    ValueError
        When no task has two rows to draw from, `negatives` asks for outliers that the
        data does not have, or a number is out of range.
    TypeError
        When task codes are no ints.

    Notes
    -----
    No row is in both support and query of an episode. A task of n inliers gives at most
    n - 1 to the support; where rows run out, the query repeats its own. The cost of a
    draw does not depend on the number of rows per task.

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
        chronological=False,
    ):
        code = np.asarray(code)
        if code.dtype.kind not in "iu":
            raise TypeError(
                f"code has dtype {code.dtype}: expected task codes, ints from 0 on."
            )
        self.n_tasks = int(code.max(initial=-1)) + 1
        self.n_support = _range(n_support)
        check_chronological(chronological)
        self.chronological = chronological
        self.n_query = n_query
        self.n_support_outliers = _range(n_support_outliers)
        self.contamination = contamination
        self._check_numbers()
        if y is not None and len(y) != len(code):
            raise ValueError(
                f"y has {len(y)} labels, code has {len(code)}: expected as many."
            )
        outlier = np.zeros(len(code), bool) if y is None else np.asarray(y) == -1
        self._inliers = ByTask(np.flatnonzero(~outlier), code, self.n_tasks)
        self._outliers = ByTask(np.flatnonzero(outlier), code, self.n_tasks)
        self.negatives_ = self._resolve(negatives)
        usable = self._inliers.count >= 2
        if negatives == "labels":
            usable &= self._outliers.count > 0
        self.usable = np.flatnonzero(usable)
        if not len(self.usable):
            raise ValueError(
                "no task has 2 rows that are not labelled as outliers: expected one "
                "support and one query row in some task."
            )

    def _check_numbers(self):
        for name, least in (("n_support", 1), ("n_support_outliers", 0)):
            bounds = _bounds(getattr(self, name))
            if len(bounds) != 2 or not least <= bounds[0] <= bounds[1]:
                raise ValueError(
                    f"{name}={getattr(self, name)!r}: expected at least {least}, or "
                    "(low, high) ascending."
                )
        if self.n_query < 1:
            raise ValueError(f"n_query={self.n_query!r}: expected at least 1.")
        check_share("contamination", self.contamination)

    def _resolve(self, negatives):
        if negatives not in NEGATIVES:
            raise ValueError(f"negatives={negatives!r}: expected one of {NEGATIVES}.")
        labelled = (self._outliers.count > 0).any()
        if negatives == "auto":
            if labelled:
                return "labels"
            return "other_tasks" if self.n_tasks > 1 else "synthetic"
        if negatives == "labels" and not labelled:
            raise ValueError(
                "negatives='labels', but no row is labelled -1: expected some."
            )
        if negatives == "other_tasks" and self.n_tasks < 2:
            raise ValueError(
                "negatives='other_tasks' with 1 task: expected at least 2 tasks."
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
            Task codes to draw from. Outliers from other tasks come from these as well,
            unless there is only one.

        Returns
        -------
        episodes : Episodes
            Row numbers and labels.

        Raises
        ------
        ValueError
            When none of `tasks` has two rows to draw from.
        """
        pool = self._pool(tasks)
        task = rng.choice(pool, n_episodes, replace=n_episodes > len(pool))
        n_support = self._draw_n_support(rng)
        low, high = _bounds(self.n_support_outliers)
        n_extra = int(rng.integers(low, high + 1)) if low < high else low
        n_out = 0 if self.negatives_ == "synthetic" else self.n_query // 2
        own_out = n_out if self.negatives_ == "labels" else 0
        n_in = self.n_query - n_out
        support, query = self._inliers.draw_two(
            task, n_support, n_in, rng, chronological=self.chronological
        )
        support_y = (support >= 0).astype(np.int8)
        each = np.round(self.contamination * support_y.sum(axis=1)).astype(np.int64)
        n_hidden = int(each.max(initial=0))
        own, outliers = self._outliers.draw_two(task, n_extra + n_hidden, own_out, rng)
        unlabelled = self._outliers.count[task] == 0
        if not own_out:
            outliers = self._draw_others(task, n_out, pool, rng)
        elif unlabelled.any():
            outliers[unlabelled] = self._draw_others(task[unlabelled], n_out, pool, rng)
        if n_hidden:
            hidden = self._hidden(own[:, n_extra:], outliers, task, pool, rng)
            clean = support[:, :n_hidden]
            replaced = (hidden >= 0) & (np.arange(n_hidden) < each[:, None])
            support[:, :n_hidden] = np.where(replaced, hidden, clean)
        if n_extra:
            support = np.concatenate([support, own[:, :n_extra]], axis=1)
            extra_y = -(own[:, :n_extra] >= 0).astype(np.int8)
            support_y = np.concatenate([support_y, extra_y], axis=1)
        query_y = np.ones((n_episodes, self.n_query), np.int8)
        query_y[:, n_in:] = -1
        query = np.concatenate([query, outliers], axis=1)
        return Episodes(task, support, support_y, query, query_y)

    def _pool(self, tasks):
        if tasks is None:
            return self.usable
        pool = np.intersect1d(self.usable, np.asarray(tasks, np.int64))
        if not len(pool):
            raise ValueError(f"tasks={tasks!r} have no task with 2 rows to draw from.")
        return pool

    def _draw_n_support(self, rng):
        low, high = _bounds(self.n_support)
        if low == high:
            return low
        return int(np.exp(rng.uniform(np.log(low), np.log(high + 1))))

    def _hidden(self, hidden, outliers, task, pool, rng):
        """Fill up outliers hidden in the support of tasks without labelled ones."""
        if self.n_tasks < 2:
            return hidden
        none = self._outliers.count[task] == 0
        hidden[none] = self._draw_others(task[none], hidden.shape[1], pool, rng)
        # A row of another task that the query or the support has already is given up.
        taken = (hidden[:, :, None] == outliers[:, None]).any(axis=2)
        earlier = np.tri(hidden.shape[1], k=-1, dtype=bool)
        taken |= ((hidden[:, :, None] == hidden[:, None]) & earlier).any(axis=2)
        return np.where(taken, -1, hidden)

    def _draw_others(self, task, n, pool, rng):
        if not n or not len(task):
            return np.empty((len(task), n), np.int64)
        if len(pool) < 2:
            pool = np.flatnonzero(self._inliers.count > 0)
        if len(pool) < 2:
            raise ValueError("one task alone has no rows of other tasks as outliers.")
        own = np.searchsorted(pool, task)[:, None]
        other = rng.integers(0, len(pool) - 1, (len(task), n))
        other = pool[other + (other >= own)]
        place = (rng.random(other.shape) * self._inliers.count[other]).astype(np.int64)
        return self._inliers.order[self._inliers.start[other] + place]


def half_time(y):
    """Return the row at which half of a task's inliers have come."""
    inliers = np.flatnonzero(y != -1)
    return inliers[len(inliers) // 2] if len(inliers) else 0


def draw_support_query(
    y,
    n_support,
    *,
    n_query=None,
    n_outliers=0,
    contamination=0.0,
    chronological=False,
    rng,
):
    """Draw the support and query rows of one task.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels: -1 outlier, +1 inlier, 0 unlabelled (drawn as an inlier).
    n_support : int
        Support rows that are not labelled outliers.
    n_query : int, default=None
        Query rows, drawn with the shares of outliers and others kept, and at least one
        of each where there is one; None, or more than there are: all rows that are not
        in the support.
    n_outliers : int, default=0
        Labelled outliers in the support, beside the `n_support` rows.
    contamination : float, default=0.0
        Share of the `n_support` rows that are outliers in truth, in [0, 1).
    chronological : bool or "consecutive", default=False
        Whether rows are in time order: then the support is drawn from those before half
        of the inliers have come, and the query from the others. "consecutive": the
        support's inliers follow each other, too, but for outliers between them.
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
        When the task has too few inliers or outliers, or a number is out of range.
    TypeError
        When `rng` is no Generator.

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
    if y.ndim != 1:
        raise ValueError(
            f"y has shape {y.shape}: expected one label per row; 0 where unlabelled."
        )
    if n_outliers < 0:
        raise ValueError(f"n_outliers={n_outliers!r}: expected 0 or more.")
    if n_query is not None and n_query < 1:
        raise ValueError(f"n_query={n_query!r}: expected at least 1, or None.")
    check_share("contamination", contamination)
    check_chronological(chronological)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a numpy.random.Generator.")
    inliers = rng.permutation(np.flatnonzero(y != -1))
    outliers = rng.permutation(np.flatnonzero(y == -1))
    if chronological:
        cut = half_time(y)
        later = inliers[inliers >= cut], outliers[outliers >= cut]
        inliers, outliers = inliers[inliers < cut], outliers[outliers < cut]
    where = " before half of its inliers have come" if chronological else ""
    n_hidden = round(contamination * n_support)
    n_clean = n_support - n_hidden
    if n_support < 1 or n_clean > len(inliers):
        raise ValueError(
            f"n_support={n_support}, but the task has {len(inliers)} inlier rows"
            f"{where}: expected 1 to {len(inliers)}."
        )
    if n_hidden + n_outliers > len(outliers):
        raise ValueError(
            f"n_outliers={n_outliers} and contamination={contamination} ask for "
            f"{n_hidden + n_outliers} labelled outliers, but the task has "
            f"{len(outliers)}{where}."
        )
    if chronological == "consecutive":
        inliers = np.sort(inliers)[rng.integers(len(inliers) - n_clean + 1) :]
    support = np.concatenate([inliers[:n_clean], outliers[: n_hidden + n_outliers]])
    rest = inliers[n_clean:], outliers[n_hidden + n_outliers :]
    if chronological:
        rest = later
    total = len(rest[0]) + len(rest[1])
    if n_query is not None and n_query < total:
        n_out = round(n_query * len(rest[1]) / total)
        if n_query > 1 and len(rest[0]) and len(rest[1]):
            n_out = min(max(n_out, 1), n_query - 1)
        rest = (rest[0][: n_query - n_out], rest[1][:n_out])
    return support, np.sort(np.concatenate(rest))
