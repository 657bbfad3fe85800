"""Evidence set against the support's own, each support row left out of its own.

As everywhere, rows come with `own` (T, R): their place in the support, or -1.
"""

import torch
from torch import Tensor

from skmetaad.core.evidence import State, grid
from skmetaad.core.scorer import LABELS

# What the spread of a value's evidence is at least.
SOFT = 0.25


def own_levels(found: Tensor, values: Tensor, present: Tensor) -> State:
    """Return what row evidence (T, K, e) and value evidence (T, K, d, v) are set to."""
    ordered = torch.where(present[..., None], grid(found), torch.inf).sort(1).values
    ordered = ordered.mT.contiguous()
    none = torch.full((*ordered.shape[:2], 1), ordered.shape[2])
    level, spread = median_and_spread(ordered, present.sum(1, keepdim=True), none)
    state = {"own": ordered, "own.level": level[..., 0], "own.spread": spread[..., 0]}
    here = present[..., None, None]
    n = here.sum(1).clamp_min(1)
    mean = torch.where(here, values, 0.0).sum(1) / n
    away = torch.where(here, values - mean[:, None], 0.0)
    spread = (away.square().sum(1) / n).sqrt() + SOFT
    return state | {"value.level": mean, "value.spread": spread}


def median_and_spread(
    ordered: Tensor, n: Tensor, without: Tensor
) -> tuple[Tensor, Tensor]:
    """Return median and spread (T, e, R) of evidence, one of its values left out.

    Of the values (T, e, K) in ascending order those count that are not in the place
    `without` (T, e, R), K for none; n (T, R) is how many these are.
    """
    n = n[:, None].clamp_min(1).to(ordered.dtype)

    def quantile(q: float) -> Tensor:
        at = ((n - 1) * q).round().long().expand_as(without)
        return ordered.gather(2, at + (at >= without))

    low, middle, high, last = (quantile(q) for q in (0.1, 0.5, 0.9, 1.0))
    spread = torch.maximum((high - low) / 2.56, (last - middle) / 4)
    return middle, spread + 1e-2 + 2 / n


def standing(found: Tensor, own: Tensor, state: State) -> Tensor:
    """Return z and tails (T, R, 2e) of row evidence (T, R, e)."""
    value = grid(found).mT.contiguous()
    n = state["count"][:, None]
    mine = left_out(own, state)
    below = torch.searchsorted(state["own"], value)
    upto = torch.searchsorted(state["own"], value, right=True)
    level, spread = state["own.level"][..., None], state["own.spread"][..., None]
    if mine.any():
        without = torch.where(mine[:, None], below, state["own"].shape[2])
        level, spread = median_and_spread(state["own"], n - mine.long(), without)
    z = ((found.mT - level) / spread).mT
    z = torch.where(z > 4, 4 + (z / 4).clamp_min(1e-3).log() * 2, z).clamp(-4.0, 16.0)
    # The least share is that of n values, one's own or not: what depends on the count
    # alone must not set a row of the support apart from others.
    n, left = n[:, None].to(torch.float64), mine[:, None].to(torch.float64)
    above = (n - (below + upto + left) / 2).clamp_min(0.0)
    share = (above * (n / (n - left).clamp_min(1.0)) + 0.5) / (n + 1)
    tail = -(share.log()).mT - 1.0
    z[..., LABELS] = found[..., LABELS]
    tail[..., LABELS] = 0.0
    return torch.cat([z, tail], -1)


def value_standing(values: Tensor, own: Tensor, state: State) -> Tensor:
    """Centre value evidence (T, R, d, v) on its column's own level, in its spread."""
    level, spread = state["value.level"][:, None], state["value.spread"][:, None]
    away = values - level
    mine = left_out(own, state)[..., None, None]
    if mine.any():
        n = state["count"].to(values.dtype).view(-1, 1, 1, 1)
        grown = torch.where(mine, n / (n - 1).clamp_min(1.0), 1.0)
        square = (spread - SOFT).square() - (grown - 1) * away.square()
        rest = (square.clamp_min(0.0) * grown).sqrt() + SOFT
        spread = torch.where(mine, rest, spread)
        away = away * grown
    return (away / spread).clamp(-4.0, 8.0)


def left_out(own: Tensor, state: State) -> Tensor:
    """Tell which rows (T, R) are left out: a single row is all there is."""
    return (own >= 0) & (state["count"][:, None] > 1)
