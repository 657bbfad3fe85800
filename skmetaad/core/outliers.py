"""Outliers of queries that are no rows of the data: made at random, or transferred."""

import torch
from torch import Tensor

from skmetaad.core.train import Batch

# How much of an outlier's departure is transferred.
LEAST, MOST = 0.5, 1.5


def with_made(
    batch: Batch,
    generator: torch.Generator,
    how: str | None = None,
    share: float = 0.5,
) -> Batch:
    """Append synthetic outliers where the query holds inliers only.

    Where it holds outliers, that share of them gives way to those made as told:
    "synthetic", "transferred", or None.
    """
    y = batch.query_y[0]
    n_outliers = int((y == -1).sum())
    n = int(share * n_outliers) if how else 0
    if n_outliers and not n:
        return batch
    inliers, outliers = batch.query[:, y == 1], batch.query[:, y == -1]
    if how == "transferred" and n:
        made = transferred(inliers, outliers, n, generator)
    else:
        support, _, mask = batch.given
        made = departures(support, mask, inliers, generator)[:, : n or None]
    kept = outliers[:, : max(0, n_outliers - made.shape[1])]
    query = torch.cat([inliers, kept, made], dim=1)
    y = torch.full(query.shape[:2], -1, dtype=y.dtype)
    y[:, : inliers.shape[1]] = 1
    return batch._replace(query=query, query_y=y)


def transferred(
    inliers: Tensor, outliers: Tensor, n: int, generator: torch.Generator
) -> Tensor:
    """Return outliers (B, n, d) that depart from inliers as those of other episodes do.

    Each is :math:`x + u (o - m)`, where x is an inlier of the episode, o an outlier of
    another one, m the mean of that one's inliers, and u uniform in [0.5, 1.5).
    """
    away = outliers - inliers.mean(dim=1, keepdim=True)
    B, n_inliers, n_outliers = len(inliers), inliers.shape[1], outliers.shape[1]

    def drawn(low: int, high: int) -> Tensor:
        return torch.randint(low, max(low + 1, high), (B, n), generator=generator)

    episode = torch.arange(B)[:, None]
    other = (episode + drawn(1, B)) % B
    u = torch.rand(B, n, 1, generator=generator, dtype=inliers.dtype)
    u = LEAST + (MOST - LEAST) * u
    base = inliers[episode, drawn(0, n_inliers)]
    return base + u * away[other, drawn(0, n_outliers)]


def departures(
    support: Tensor, mask: Tensor, query: Tensor, generator: torch.Generator
) -> Tensor:
    """Return synthetic outliers (B, Q, d), one for each inlier of the queries.

    Each inlier is departed from in one of two ways, drawn per row: a random third of
    its features is set to a uniform draw from twice the range the episode spans, or
    all features are shifted by noise of up to twice their standard deviation.
    """
    # The query's rows stand in for those that smaller supports lack.
    stand_in = query[:, torch.arange(mask.shape[1]) % query.shape[1]]
    rows = torch.cat([torch.where(mask[..., None], support, stand_in), query], dim=1)
    low, high = rows.amin(dim=1, keepdim=True), rows.amax(dim=1, keepdim=True)
    spread = rows.std(dim=1, keepdim=True, correction=0)
    flat = torch.all(spread == 0, dim=2, keepdim=True)
    spread = torch.where(flat, torch.ones_like(spread), spread)
    u = torch.rand(query.shape, generator=generator, dtype=query.dtype)
    middle, half = (low + high) / 2, (high - low) + 0.5 * spread
    replaced = middle + (2 * u - 1) * half
    some = torch.rand(query.shape, generator=generator) < 1 / 3
    some[..., 0] |= ~some.any(dim=2)
    noise = torch.randn(query.shape, generator=generator, dtype=query.dtype)
    size = 2 * torch.rand(*query.shape[:2], 1, generator=generator, dtype=query.dtype)
    shifted = query + size * spread * noise
    kind = torch.rand(*query.shape[:2], 1, generator=generator) < 0.5
    return torch.where(kind, torch.where(some, replaced, query), shifted)
