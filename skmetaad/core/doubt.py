"""A second look at a support that may be contaminated: its oddest rows set aside."""

from collections.abc import Callable

import torch
from torch import Tensor

from skmetaad.core import universal
from skmetaad.core.evidence import State, first_ones
from skmetaad.core.scorer import Inputs

# Fewer rows are too few to set any aside.
ENOUGH_ROWS = 20
# What scores are rounded to, so that those that are equal but for rounding are ties.
ROUNDING = 1e-9


def look_again(
    support: tuple[Tensor, Tensor, Tensor],
    own: Tensor,
    share: float,
    judge: Callable[[Inputs], Tensor],
    score: Callable[[State, Tensor], Tensor],
) -> Tensor:
    """Return how abnormal a support's inliers are, judged beside the less odd ones.

    `support` has rows X (T, K, d), labels and mask (T, K); `own` (T, n) is how abnormal
    its inliers are beside all: only their order is changed. `judge` turns inputs, and
    `score` rows (T, R, d) beside a state, into how abnormal they are.
    """
    X, y, mask = support
    inlier = mask & (y != -1)
    order = first_ones(inlier)[:, : own.shape[1]]
    present = inlier.gather(1, order)
    # Without a labelled outlier, +1 says no more than that nothing is known.
    sure = (y == 1) & (y == -1).any(1, keepdim=True)
    odd = oddest(own, present & ~sure.gather(1, order), share)
    if not odd.any():
        return own
    aside = torch.zeros_like(mask).scatter(1, order, odd)
    state, seen = universal.adapt(X, mask & ~aside, y == -1)
    again = torch.zeros(mask.shape, dtype=own.dtype)
    place = first_ones(aside)[:, : int(odd.sum(1).max())]
    rows = X.gather(1, place[..., None].expand(-1, -1, X.shape[2]))
    again.scatter_(1, place, score(state, rows))
    # In smaller tasks, places beyond the chosen rows are of others.
    kept = inlier & ~aside
    left = first_ones(kept)[:, : seen.rows.shape[1]]
    judged = torch.where(kept.gather(1, left), judge(seen), again.gather(1, left))
    again.scatter_(1, left, judged)
    return reordered(own, again.gather(1, order), present)


def oddest(anomaly: Tensor, open_to_doubt: Tensor, share: float) -> Tensor:
    """Return which rows (T, K) are the share of each task's rows that are oddest.

    Only rows that are open to doubt count; of few rows, none is.
    """
    n = open_to_doubt.sum(1, keepdim=True)
    n_odd = torch.where(n < ENOUGH_ROWS, 0, (n * min(share, 0.5)).floor().long())
    key = anomaly.masked_fill(~open_to_doubt, -torch.inf)
    order = key.argsort(dim=1, descending=True, stable=True)
    return order.argsort(1) < n_odd


def reordered(first: Tensor, second: Tensor, present: Tensor) -> Tensor:
    """Return the first scores (T, K) of present rows in the order of the second ones.

    Rows that are equal in the second share the mean of the scores that fall to them.
    """
    ordered = first.masked_fill(~present, torch.inf).sort(1).values
    total = torch.nn.functional.pad(ordered.cumsum(1), (1, 0))
    key = (second / ROUNDING).round().masked_fill(~present, torch.inf)
    ranked = key.sort(1).values
    low = torch.searchsorted(ranked, key)
    high = torch.searchsorted(ranked, key, right=True)
    mean = (total.gather(1, high) - total.gather(1, low)) / (high - low)
    return torch.where(present, mean, first)
