"""A second look at a support that may be contaminated: its oddest rows set aside."""

import torch
from torch import Tensor

# Fewer rows are too few to set any aside.
ENOUGH_ROWS = 20


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
    key = second.masked_fill(~present, torch.inf)
    ranked = key.sort(1).values
    low = torch.searchsorted(ranked, key)
    high = torch.searchsorted(ranked, key, right=True)
    mean = (total.gather(1, high) - total.gather(1, low)) / (high - low)
    return torch.where(present, mean, first)
