"""Pairs of values that are rarer than their values let expect."""

import torch
from torch import Tensor

from skmetaad.core.evidence import State, compact, first_ones

N_PAIRS, N_BINS = 128, 8


def pair_columns(alive: Tensor) -> State:
    """Choose pairs of columns: all, or `N_PAIRS` spread evenly over them."""
    n = alive.sum(1, keepdim=True).to(torch.float64)
    total = n * (n - 1) / 2
    slot = torch.arange(N_PAIRS)
    spread = (slot * total / N_PAIRS).floor()
    place = torch.where(total <= N_PAIRS, slot.to(torch.float64), spread)
    counts = place < total
    place = torch.where(counts, place, 0.0)
    first = (
        (2 * n - 1 - ((2 * n - 1).square() - 8 * place).clamp_min(0).sqrt()) / 2
    ).floor()
    second = place - first * (2 * n - first - 1) / 2 + first + 1
    alive_first = first_ones(alive)
    last = alive.shape[1] - 1
    return {
        "pair.first": alive_first.gather(1, first.long().clamp(0, last)),
        "pair.second": alive_first.gather(1, second.long().clamp(0, last)),
        "pair.counts": counts,
    }


def pair_codes(codes: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Return both bins and the joint bin (T, R, pairs) of the pairs of columns."""
    first, second = (
        codes.gather(2, state[name][:, None].expand(-1, codes.shape[1], -1))
        for name in ("pair.first", "pair.second")
    )
    return first, second, first * (N_BINS + 1) + second


def pair_state(codes: Tensor, present: Tensor, alive: Tensor) -> State:
    """Count how often pairs of columns show each pair of bins; codes (T, K, d)."""
    state = pair_columns(alive)
    parts = pair_codes(codes, state)
    weight = present[..., None].to(torch.float64).expand_as(parts[0]).contiguous()
    sizes = (N_BINS + 1, N_BINS + 1, (N_BINS + 1) ** 2)
    for name, part, size in zip(("one", "two", "both"), parts, sizes, strict=True):
        zeros = torch.zeros(len(codes), size, N_PAIRS, dtype=torch.float64)
        counts = zeros.scatter_add(1, part, weight)
        state["pair." + name] = compact(counts, codes.shape[1])
    return state


def pair_rarity(codes: Tensor, own: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Return -log of observed over expected counts of pairs of bins (T, R, pairs).

    A row's own count is left out: first of all counts, which makes means comparable;
    then of observed ones only, which makes extremes so, since bins of equal counts
    give all rows the same expectation.
    """
    left = (own >= 0)[..., None].to(torch.float64)
    one, two, both = (
        state["pair." + name].gather(1, part).to(torch.float64)
        for name, part in zip(
            ("one", "two", "both"), pair_codes(codes, state), strict=True
        )
    )
    n = state["n"][..., None]
    both = (both - left).clamp_min(0.0)
    rest = (one - left).clamp_min(0.0) * (two - left).clamp_min(0.0)
    rest = rest / (n - left).clamp_min(1.0)
    whole = one * two / n
    return -((both + 1) / (rest + 1)).log(), -((both + 1) / (whole + 1)).log()
