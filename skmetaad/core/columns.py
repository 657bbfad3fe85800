"""Evidence column by column: how a value stands in its own column of the support."""

import torch
from torch import Tensor

from skmetaad.core.covariance import partial_residuals
from skmetaad.core.evidence import Rows, State

# Evidence of one value: tail, rarity, gap, outside, partial residual, residual and
# mismatch against neighbours, missing.
N_VALUE = 8
N_CONTEXT = 6
# Spans of a column beyond which no value is told from another.
FAR = 1e4


def sort_columns(X: Tensor, present: Tensor) -> State:
    """Return each column's values in ascending order, and what is known of them.

    X (T, K, d) with NaN for missing values. Missing and absent ones come last.
    """
    known = ~X.isnan() & present[..., None]
    ordered = torch.where(known, X, torch.inf).sort(1).values.mT.contiguous()
    n = known.sum(1)
    first = ordered[..., 0]
    last = ordered.gather(2, (n - 1).clamp_min(0)[..., None])[..., 0]
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[..., 1:] = ordered[..., 1:] > ordered[..., :-1]
    distinct = (fresh & ordered.isfinite()).sum(-1)
    return {
        "sorted": ordered,
        "known": n,
        "distinct": distinct,
        "alive": (n > 0) & (last > first),
        "low": torch.where(n > 0, first, 0.0),
        "high": torch.where(n > 0, last, 0.0),
    }


def ranks(X: Tensor, own: Tensor, state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Return how many values lie below, equal and above (T, R, d), less one's own."""
    values = X.nan_to_num(nan=0.0).mT.contiguous()
    left = torch.searchsorted(state["sorted"], values)
    right = torch.searchsorted(state["sorted"], values, right=True)
    known = state["known"][..., None]
    right = right.minimum(known)
    mine = (own >= 0)[:, None]
    equal = (right - left - mine.long()).clamp_min(0)
    above = known - right
    return left.mT, equal.mT, above.mT


def normal_scores(below: Tensor, equal: Tensor, above: Tensor, n: Tensor) -> Tensor:
    """Return the normal quantiles of mid-ranks among the other values of a column.

    The extremes are those of all n values, one's own or not: what depends on the count
    alone must not set a row of the support apart from others.
    """
    others, n = (below + equal + above).clamp_min(1), n.to(torch.float64)
    share = (below - above) / others * (n / (n + 1))
    return torch.special.ndtri(0.5 + 0.5 * share)


def limits(
    rest_below: Tensor, rest_above: Tensor, own: Tensor, state: State
) -> tuple[Tensor, Tensor]:
    """Return each column's least and greatest value (T, R, d), one's own left out.

    `rest_below` and `rest_above` count the other values up to, and from, a row's own.
    """
    n = state["known"]
    second = state["sorted"].gather(2, (n - 1).clamp(0, 1)[..., None])[..., 0]
    last_but_one = state["sorted"].gather(2, (n - 2).clamp_min(0)[..., None])[..., 0]
    mine = (own >= 0)[..., None] & (n > 1)[:, None]
    low = torch.where(mine & (rest_below == 0), second[:, None], state["low"][:, None])
    high = torch.where(
        mine & (rest_above == 0), last_but_one[:, None], state["high"][:, None]
    )
    return low, high


def gaps(X: Tensor, place: Tensor, span: Tensor, own: Tensor, state: State) -> Tensor:
    """Return log widths (T, R, d) of the m nearest ranks, over the uniform ones.

    `place` counts the values of the support below each value, `span` is how far apart
    the ends of the others are.
    """
    ordered, n = state["sorted"], state["known"][..., None]
    values = X.nan_to_num(nan=0.0).mT
    m = (n.to(torch.float64).sqrt() / 2).ceil().long()
    mine, place = (own >= 0).long()[:, None], place.mT
    low = (place - m).clamp_min(0)
    high = (place + m - 1 + mine).clamp_min(0)
    high = high.minimum((n - 1).clamp_min(0))
    below = torch.minimum(ordered.gather(2, low.minimum(high)), values)
    above = torch.maximum(ordered.gather(2, high), values)
    uniform = (2 * m / n.clamp_min(1)).clamp_max(1.0)
    width = ((above - below) / span.mT).clamp_max(FAR)
    return ((width + 1e-3) / (uniform + 1e-3)).log().mT


def value_evidence(
    X: Tensor, rows: Rows, around: Tensor, near: Tensor, state: State
) -> tuple[Tensor, Tensor]:
    """Return the evidence (T, R, d, N_VALUE) of each value, and which values count.

    A column without spread counts where a row shows a value it never had. X holds NaN
    for missing values, `rows` is X in all scales, `around` (T, R, k, d) the neighbours
    in standard units, those that exist by `near` (T, R, k).
    """
    missing = X.isnan()
    scaled, own = rows.standard, rows.own
    below, equal, above = rows.below, rows.equal, rows.above
    # As among all known values, one's own or not: what depends on the count alone must
    # not set a row of the support apart from others.
    n = state["known"][:, None].to(torch.float64)
    others = (below + equal + above).clamp_min(1)
    tail = -(1 - (below - above).abs() / others * (n / (n + 1))).log()
    rarity = -((equal * (n / others) + 0.5) / (n + 1)).log()
    low, high = limits(below + equal, above + equal, own, state)
    # One other value alone tells no span.
    span = torch.where(n > 2, high - low, (state["high"] - state["low"])[:, None])
    span = torch.where(span > 0, span, 1e-12)
    filled = torch.where(missing, low, X)
    outside = torch.maximum(low - filled, filled - high).clamp_min(0.0) / span
    outside = outside.clamp_max(FAR)
    partial = (1 + partial_residuals(scaled, own >= 0, state).sqrt()).log()
    weight = near.to(X.dtype) / near.sum(-1, keepdim=True).clamp_min(1)
    center = torch.einsum("trk,trkd->trd", weight, around)
    residual = (1 + (scaled - center).abs() * 2).log()
    differs = ((around - scaled[:, :, None]).abs() > 1e-9).to(X.dtype)
    mismatch = torch.einsum("trk,trkd->trd", weight, differs)
    all_rows = state["n"][:, :, None]
    share = (all_rows - state["known"][:, None] + 0.5) / (all_rows + 1)
    absent = torch.where(missing, -share.log(), -(1 - share).clamp_min(1e-6).log())
    zero = torch.zeros_like(tail)
    parts = [
        torch.where(missing, zero, tail),
        torch.where(missing, zero, rarity),
        torch.where(missing, zero, gaps(X, below, span, own, state)),
        torch.where(missing, zero, (1 + 10 * outside).log()),
        torch.where(missing, zero, partial),
        torch.where(missing, zero, residual),
        torch.where(missing, zero, mismatch),
        absent,
    ]
    counts = state["alive"][:, None] | (outside > 0)
    return torch.where(counts[..., None], torch.stack(parts, -1), 0.0), counts


def column_context(state: State) -> Tensor:
    """Return what is known of each column (T, d, N_CONTEXT)."""
    mean = state["value.level"]
    distinct = state["distinct"] / state["known"].clamp_min(1)
    few = (state["distinct"].clamp_min(1).to(torch.float64)).log() / 5
    return torch.stack(
        [distinct, few, mean[..., 1] / 3, mean[..., 4], mean[..., 5], mean[..., 6]], -1
    )
