"""k-means of all tasks' rows at once, from a start that no order of rows changes."""

import torch
from torch import Tensor

from skmetaad.core.nets import FAR, sq_distances, weighted_mean

N_STEPS = 5


def k_means(x: Tensor, weight: Tensor, k: int) -> Tensor:
    """Return k cluster means (T, k, e) of the weighted rows x (T, K, e).

    The start is deterministic: the mean, or for k > 1 the row next to it, then ever the
    row farthest from those chosen. Gradients flow through the last assignment.
    """
    if k == 1:
        return weighted_mean(x, weight.unsqueeze(1))
    each = torch.arange(len(x))
    with torch.no_grad():
        away = sq_distances(x, weighted_mean(x, weight.unsqueeze(1))).squeeze(2)
        pick = away.masked_fill(weight == 0, FAR).argmin(dim=1)
        chosen = [x[each, pick]]
        for _ in range(k - 1):
            d = sq_distances(x, torch.stack(chosen, dim=1)).amin(dim=2)
            pick = d.masked_fill(weight == 0, -1.0).argmax(dim=1)
            chosen.append(x[each, pick])
        centers = torch.stack(chosen, dim=1)
        for _ in range(N_STEPS):
            centers = step_means(x, weight, centers)
    return step_means(x, weight, centers)


def step_means(x: Tensor, weight: Tensor, centers: Tensor) -> Tensor:
    """Return the means of the rows nearest to each center; empty ones stay."""
    share = assigned(x, weight, centers)
    filled = share.sum(dim=2, keepdim=True) > 0
    return torch.where(filled, weighted_mean(x, share), centers)


def assigned(x: Tensor, weight: Tensor, centers: Tensor) -> Tensor:
    """Return the weights (T, k, K) of the rows at their nearest centers, else zero."""
    which = sq_distances(x, centers).argmin(dim=2)
    share = torch.nn.functional.one_hot(which, centers.shape[1]).to(x.dtype)
    return share.transpose(1, 2) * weight.unsqueeze(1)
