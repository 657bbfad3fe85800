"""Losses of the outer loop."""

import torch
from torch import Tensor
from torch.nn.functional import softplus


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
