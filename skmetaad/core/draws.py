"""Draws of supports and queries from tables, for the training of the ranking."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skmetaad.core.state import to_tensor

# Columns and rows of a draw, at most.
N_COLUMNS, N_ROWS, N_QUERY = 200, 2000, 100

Table = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Draw:
    """A support, its labels, and query rows with 1 for outliers."""

    support: np.ndarray
    support_y: np.ndarray
    query: np.ndarray
    outlier: np.ndarray


def tensors(draw: Draw) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return a draw as `ranking.observed` takes it."""
    support = to_tensor(draw.support)[None]
    outlier = torch.as_tensor(draw.support_y == -1)[None]
    return support, outlier, to_tensor(draw.query)[None], torch.as_tensor(draw.outlier)


def draws(table: Table, n_draws: int, rng: np.random.Generator) -> Iterator[Draw]:
    """Draw from a table of inliers and outliers; every second draw makes a new task."""
    for i in range(n_draws):
        made = rare_values(table[0], rng) if i % 2 else None
        yield draw_episode(*(made or table), rng)


def rare_values(X: np.ndarray, rng: np.random.Generator) -> Table | None:
    """Make a task of inliers: rows with rare values of a column, which is removed.

    Returns None where no column has such values.
    """
    if X.shape[1] < 4:
        return None
    for j in rng.permutation(X.shape[1]):
        inlier, outlier = _split(X[:, j], rng)
        if inlier.sum() >= 60 and 15 <= outlier.sum() <= 0.4 * len(X):
            rest = np.delete(X, j, axis=1)
            return rest[inlier], rest[outlier]
    return None


def _split(value: np.ndarray, rng: np.random.Generator) -> Table:
    """Return masks of inliers and outliers by the values of one column."""
    levels, code, counts = np.unique(value, return_inverse=True, return_counts=True)
    if len(levels) > 20:
        q = rng.uniform(0.03, 0.25)
        high = rng.random() < 0.5
        cut = np.nanquantile(value, 1 - q if high else q)
        outlier = value > cut if high else value < cut
        return ~outlier, outlier
    order = np.argsort(counts)
    order = order[counts[order] >= 15]
    none = np.zeros(len(value), bool)
    if len(order) < 2:
        return none, none
    rare = order[: rng.integers(1, len(order))]
    if counts[rare].sum() > 0.4 * len(value):
        rare = order[:1]
    outlier = np.isin(code, rare)
    return (~outlier if rng.random() < 0.5 else code == order[-1]), outlier


def draw_episode(
    inliers: np.ndarray, outliers: np.ndarray, rng: np.random.Generator
) -> Draw:
    """Draw a support and a query: clean, contaminated, or with labelled outliers."""
    d = inliers.shape[1]
    if d > N_COLUMNS or (d >= 6 and rng.random() < 0.4):
        n = min(N_COLUMNS, int(rng.integers(max(3, d // 3), d + 1)))
        kept = rng.permutation(d)[:n]
        inliers, outliers = inliers[:, kept], outliers[:, kept]
    most = max(1, min(N_ROWS, int(len(inliers) * 0.6)))
    kind = rng.choice(["clean", "unlabelled", "labelled"], p=[0.5, 0.3, 0.2])
    least = min(most, 50 if kind == "unlabelled" else 5)
    K = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    if kind != "unlabelled" and rng.random() < 0.4:
        K = most
    inliers, outliers = rng.permutation(inliers), rng.permutation(outliers)
    support, query = inliers[:K], inliers[K : K + N_QUERY]
    y = np.ones(K, np.int8)
    n = 0
    if kind == "labelled":
        n = int(min(rng.integers(1, 11), len(outliers) // 2))
        y = np.r_[y, -np.ones(n, np.int8)]
        against = outliers[n : n + N_QUERY]
    elif kind == "unlabelled":
        n = int(np.clip(rng.uniform(0.01, 0.25) * K, 1, len(outliers)))
        y = np.r_[y, np.ones(n, np.int8)]
        query, against = rng.permutation(support)[:N_QUERY], outliers[:n][:N_QUERY]
    else:
        against = outliers[:N_QUERY]
    support = np.concatenate([support, outliers[:n]])
    outlier = np.r_[np.zeros(len(query), bool), np.ones(len(against), bool)]
    return Draw(support, y, np.concatenate([query, against]), outlier)
