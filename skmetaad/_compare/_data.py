"""What is compared on: folds of tasks, and drawing support and query from a task."""

import zlib
from dataclasses import dataclass, field, replace

import numpy as np


class InputError(ValueError):
    """Something the user gave is not usable; the message says what."""


IN_ORDER_NOTE = (
    "a task's support comes before its query in time: chronological=True is set for "
    "our detectors that have it."
)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """One held-out task, as row numbers of its fold's `X`.

    The support comes from `pool`. The query is `inliers` and `outliers`, or with
    `shared` also the rows of `pool` that are not in the support. With `balanced` the
    query takes as many outliers as inliers. `start` and `width` tell where windows
    lie in their series: query windows that overlap a support window are left out.
    """

    id: str
    pool: np.ndarray
    inliers: np.ndarray
    outliers: np.ndarray
    shared: bool = False
    balanced: bool = False
    start: np.ndarray | None = None
    width: int = 0

    @property
    def max_support(self):
        """The largest K that leaves an inlier for the query; 0 if none does."""
        if not len(self.outliers):
            return 0
        if not self.shared:
            return len(self.pool) if len(self.inliers) else 0
        return max(len(self.pool) - 1, 0)

    @property
    def test_part(self):
        """The first and the last of the rows that the query comes from."""
        rows = np.concatenate([self.inliers, self.outliers])
        return rows.min(), rows.max()

    def draw(
        self,
        n_support,
        seed,
        max_query,
        n_outliers=0,
        contamination=0.0,
        consecutive=False,
    ):
        """Return support rows, query rows and the query's labels (+1, -1).

        For one seed, the support rows of a small K are among those of a larger one. Of
        the K rows, the share `contamination` are outliers that nobody has noticed; the
        others follow each other if `consecutive`. At most `n_outliers` labelled ones
        follow the K rows; one outlier at least is left to the query.
        """
        rng = np.random.default_rng([seed, zlib.crc32(self.id.encode())])
        pool, inliers = rng.permutation(self.pool), rng.permutation(self.inliers)
        outliers = rng.permutation(self.outliers)
        n_hidden = min(round(contamination * n_support), len(outliers) - 1)
        n_taken = min(n_hidden + n_outliers, len(outliers) - 1)
        n_clean = n_support - n_hidden
        if consecutive:
            middle = rng.integers(len(pool))
            begin = np.clip(middle - n_clean // 2, 0, len(pool) - n_clean)
            pool = np.roll(np.sort(pool), -begin)
        support = np.concatenate([pool[:n_clean], outliers[:n_taken]])
        outliers = outliers[n_taken:]
        if self.shared:
            inliers = np.concatenate([inliers, pool[n_clean:]])
        if self.start is not None:
            inliers = self._apart(inliers, support)
            outliers = self._apart(outliers, support)
        if self.balanced:
            outliers = outliers[: len(inliers)]
        if len(inliers) + len(outliers) > max_query:
            room = max(max_query // 2, max_query - len(inliers))
            outliers = outliers[:room]
            inliers = inliers[: max_query - len(outliers)]
        y = np.repeat([1, -1], [len(inliers), len(outliers)])
        return support, np.concatenate([inliers, outliers]), y

    def _apart(self, rows, support):
        starts = np.sort(self.start[support])
        at = np.searchsorted(starts, self.start[rows])
        before = starts[np.maximum(at - 1, 0)]
        after = starts[np.minimum(at, len(starts) - 1)]
        near = np.minimum(
            np.abs(self.start[rows] - before), np.abs(self.start[rows] - after)
        )
        return rows[near >= self.width]


@dataclass(frozen=True, eq=False)
class Fold:
    """Training tasks, and the held-out tasks that go with them.

    `in_order`: the support comes before the query in time, in training tasks too;
    "consecutive": and its rows follow each other.
    `n_outliers`: labelled outliers in the support; `contamination`: the share of its
    other rows that are outliers as well.
    """

    name: str
    train: object
    X: np.ndarray
    held_out: tuple
    in_order: bool | str = False
    n_outliers: int = 0
    contamination: float = 0.0

    def drawn(self, n_support, seed, max_query):
        """Yield (task, support, query, y) for every task that K rows can be had from.

        A draw that leaves only one class in the query is passed over.
        """
        for task in self.held_out:
            if n_support > task.max_support:
                continue
            support, query, y = task.draw(
                n_support,
                seed,
                max_query,
                self.n_outliers,
                self.contamination,
                self.in_order == "consecutive",
            )
            if len(np.unique(y)) == 2:
                yield task, support, query, y


@dataclass(frozen=True, eq=False)
class Collection:
    """The folds of one collection of tasks, and remarks about what was left out."""

    name: str
    folds: tuple
    notes: list = field(default_factory=list)

    def with_outliers(self, n_outliers, contamination):
        """Return the collection with outliers, labelled or hidden, in each support."""
        folds = tuple(
            replace(fold, n_outliers=n_outliers, contamination=contamination)
            for fold in self.folds
        )
        notes = list(self.notes)
        if n_outliers:
            notes.append(
                f"supports hold {n_outliers} labelled outlier(s) beside the K rows, "
                "fewer where a task has no more; PyOD's detectors are fitted on the K "
                "rows."
            )
        if contamination:
            notes.append(
                f"of the K support rows, {contamination:.0%} (to whole rows) are "
                "outliers that no method is told of."
            )
        return replace(self, folds=folds, notes=notes)

    def with_consecutive(self):
        """Return the collection with supports of rows that follow each other."""
        if not self.in_order:
            raise InputError(
                "--consecutive needs series with a train part (X_train), from which "
                f"rows in a row can be had: {self.name} has none."
            )
        folds = tuple(replace(fold, in_order="consecutive") for fold in self.folds)
        note = (
            "a task's support are rows that follow each other, before its query in "
            "time: chronological='consecutive' is set for our detectors that have it."
        )
        notes = [note if n == IN_ORDER_NOTE else n for n in self.notes]
        return replace(self, folds=folds, notes=notes)

    @property
    def in_order(self):
        """Whether tasks are series, the support before the query."""
        return all(fold.in_order for fold in self.folds)

    @property
    def held_out(self):
        return [task for fold in self.folds for task in fold.held_out]


def limit_tasks(folds, max_tasks, seed):
    """Keep `max_tasks` held-out tasks in all, chosen at random."""
    n_tasks = sum(len(fold.held_out) for fold in folds)
    if max_tasks is None or n_tasks <= max_tasks:
        return tuple(folds), []
    chosen = np.random.default_rng(seed).permutation(n_tasks)[:max_tasks]
    kept, first = [], 0
    for fold in folds:
        held_out = tuple(
            task for i, task in enumerate(fold.held_out, first) if i in set(chosen)
        )
        first += len(fold.held_out)
        if held_out:
            kept.append(replace(fold, held_out=held_out))
    return tuple(kept), [
        f"{max_tasks} of {n_tasks} held-out tasks are compared on (--max-tasks)."
    ]
