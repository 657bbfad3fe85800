"""Measures which rows are copies of others across the splits."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Audit:
    """Counts of rows, and of those that are copies of a row on the other side."""

    n_query: int
    n_query_outliers: int
    n_query_copies: int
    n_test: int
    n_test_copies: int

    def lines(self):
        return [
            "Row overlap (equal values, by row hash): "
            f"{_share(self.n_query_copies, self.n_query)} query rows are copies of a "
            "support row of their task.",
            f"{_share(self.n_test_copies, self.n_test)} rows of held-out tasks are "
            "copies of a meta-training row.",
            f"{_share(self.n_query_outliers, self.n_query)} query rows are outliers.",
        ]


def audit(collection, shots, seeds, max_query):
    """Draw every episode of the comparison again and count the copies."""
    n_query = n_query_outliers = n_query_copies = n_test = n_test_copies = 0
    for fold in collection.folds:
        hashes = row_hashes(fold.X)
        used = np.zeros(len(hashes), bool)
        for seed in seeds:
            for k in shots:
                for task, support, query, y in fold.drawn(k, seed, max_query):
                    if np.isin(query, support).any():
                        raise RuntimeError(
                            f"task {task.id!r}: a row is in support and query."
                        )
                    used[support] = used[query] = True
                    n_query += len(query)
                    n_query_outliers += int((y == -1).sum())
                    copies = np.isin(hashes[query], hashes[support])
                    n_query_copies += int(copies.sum())
        trained = np.concatenate([row_hashes(t.X) for t in fold.train])
        n_test += int(used.sum())
        n_test_copies += int(np.isin(hashes[used], trained).sum())
    return Audit(n_query, n_query_outliers, n_query_copies, n_test, n_test_copies)


def row_hashes(X):
    """Return one 64-bit hash per row; equal numbers give equal hashes."""
    X = np.asarray(X, dtype=np.float64).reshape(len(X), -1) + 0.0  # -0.0 becomes 0.0
    rows = np.ascontiguousarray(X)
    return np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(rows))


def _share(count, total):
    percent = 100 * count / total if total else 0.0
    return f"{count:,} of {total:,} ({percent:.2g} %)"
