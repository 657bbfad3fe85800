"""Losses of the outer loop, and the outliers made up where a fleet has none."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skmetaad.core.train import Batch


def separation(score: Tensor, query_y: Tensor) -> Tensor:
    r"""Return the loss that sets inliers' scores above outliers'.

    The mean of two terms over a batch of score (B, Q), query_y (B, Q) in {-1, +1}:
    logistic loss of the score read as the log-odds of an inlier, which makes scores
    comparable between tasks, and the logistic loss of all inlier-outlier differences
    inside a task, a smooth form of 1 - AUROC.
    """
    y = query_y.to(score.dtype)
    logistic = softplus(-y * score).mean()
    inlier = (query_y == 1).to(score.dtype)
    pair = inlier.unsqueeze(2) * (1 - inlier).unsqueeze(1)
    gap = score.unsqueeze(2) - score.unsqueeze(1)
    ranking = (softplus(-gap) * pair).sum() / pair.sum().clamp_min(1.0)
    return 0.5 * (logistic + ranking)


def crossed_separation(score: Tensor) -> Tensor:
    """Return the loss that has each row prefer its own task among all of a meta-batch.

    score (B, B * Q) holds each task's scores of all tasks' rows, task after task. The
    mean of the cross-entropy of a row's own task under a softmax over tasks, and the
    logistic loss of the scores as log-odds of an inlier, with half of the weight on
    inliers.
    """
    n_tasks, n_rows = score.shape
    own = torch.arange(n_tasks).repeat_interleave(n_rows // n_tasks)
    multi_class = torch.nn.functional.cross_entropy(score.t(), own)
    mine = score[own, torch.arange(n_rows)]
    others = (softplus(score).sum() - softplus(mine).sum()) / (score.numel() - n_rows)
    return 0.5 * (multi_class + 0.5 * (softplus(-mine).mean() + others))


def share(mask: Tensor, like: Tensor) -> Tensor:
    """Return weights (T, K) that sum to one over the rows in mask, where there are."""
    weight = mask.to(like.dtype)
    return weight / weight.sum(dim=1, keepdim=True).clamp_min(1.0)


def with_departures(
    batch: Batch, generator: torch.Generator, share: float = 0.0
) -> Batch:
    """Append synthetic outliers when the query holds inliers only.

    Where it holds outliers, that share of them gives way to synthetic ones.
    """
    y = batch.query_y[0]
    n_given, n_made = int((y == -1).sum()), int((y == 1).sum())
    if n_given:
        n_made = min(n_made, int(share * n_given))
    if not n_made:
        return batch
    inliers, outliers = batch.query[:, y == 1], batch.query[:, y == -1]
    made = departures(batch.support, inliers, generator)[:, :n_made]
    kept = outliers[:, : max(0, n_given - n_made)]
    query = torch.cat([inliers, kept, made], dim=1)
    y = torch.full(query.shape[:2], -1, dtype=y.dtype)
    y[:, : inliers.shape[1]] = 1
    return batch._replace(query=query, query_y=y)


def departures(support: Tensor, query: Tensor, generator: torch.Generator) -> Tensor:
    """Return synthetic outliers (B, Q, d), one for each inlier of the queries.

    Each inlier is departed from in one of two ways, drawn per row: a random third of
    its features is set to a uniform draw from twice the range the episode spans, or
    all features are shifted by noise of up to twice their standard deviation.
    """
    rows = torch.cat([support, query], dim=1)
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
