"""Dimension-free evidence of rows against a support, the same for any table.

Every function works on a leading task axis: support X (T, K, d), rows (T, R, d). Rows
come with `own` (T, R): their place in the support, which is then left out, or -1.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from math import log

import torch
from torch import Tensor

State = dict[str, Tensor]

NEAR = (1, 2, 5, 10, 20)
RIDGES = (1e-3, 0.1, 1.0)
N_TREES, TREE_ROWS, DEPTH = 64, 128, 7
N_BALLS, BALL_ROWS = 64, 16
N_PAIRS, N_BINS = 128, 8


@dataclass(frozen=True)
class Rows:
    """Rows in the three scales, and where each stands in its support."""

    standard: Tensor
    rank: Tensor
    white: Tensor
    own: Tensor

    def part(self, start: int, stop: int) -> "Rows":
        """Return rows start to stop of every task."""
        return Rows(*(getattr(self, f.name)[:, start:stop] for f in fields(self)))


def scramble(n: int, m: int, salt: int) -> Tensor:
    """Return numbers (n, m) in [0, 1) that hang on their place and the salt alone."""
    i, j = torch.arange(n)[:, None] + 1, torch.arange(m) + 1
    x = i * -7046029254386353131 + j * -4417276706812531889 + salt * 1442695040888963407
    for shift, factor in ((32, -4658895280553007687), (29, -7723592293110705685)):
        x = (x ^ ((x >> shift) & ((1 << (64 - shift)) - 1))) * factor
    x = (x >> 20) & ((1 << 40) - 1)
    return x.to(torch.float64) / (1 << 40)


def summaries(values: Tensor, valid: Tensor) -> Tensor:
    """Return mean, maximum and top three of the valid ones of the last axis."""
    count = valid.sum(-1).clamp_min(1)
    mean = torch.where(valid, values, 0.0).sum(-1) / count
    top = torch.where(valid, values, -torch.inf)
    top = top.topk(min(3, values.shape[-1]), -1)[0]
    known = top.isfinite()
    top = torch.where(known, top, 0.0)
    three = top.sum(-1) / known.sum(-1).clamp_min(1)
    return torch.stack([mean, top[..., 0], three], -1)


def sampled(n: Tensor, K: int, sets: int, size: int, salt: int) -> Tensor:
    """Draw sets of rows without replacement (T, sets, size) from the first n of K."""
    chance = scramble(K, sets, salt).T.expand(len(n), -1, -1)
    chance = chance.masked_fill(torch.arange(K) >= n[:, None, None], 2.0)
    chosen = chance.argsort(-1)[..., :size]
    return torch.nn.functional.pad(chosen, (0, size - chosen.shape[-1]))


# ------------------------------------------------------------------- neighbours


def distances(rows: Tensor, support: Tensor, absent: Tensor, own: Tensor) -> Tensor:
    """Return distances (T, R, K), infinite to absent rows and to a row's own place.

    Ties are broken by the place in the support, always in the same way.
    """
    d = torch.cdist(rows, support, compute_mode="use_mm_for_euclid_dist")
    d = d * (1 + 1e-6 * scramble(1, support.shape[1], 6))
    d = d.masked_fill(absent[:, None], torch.inf)
    place = own.clamp_min(0)[..., None]
    kept = d.gather(2, place)
    return d.scatter_(2, place, torch.where(own[..., None] >= 0, torch.inf, kept))


def nearest(d: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return squares (T, R, k) of the least distances, places, and which exist.

    Squares, since rounding moves a distance near zero far more than its square.
    """
    near, place = d.topk(min(k, d.shape[-1]), dim=-1, largest=False)
    exists = near.isfinite()
    return torch.where(exists, near, 0.0).square(), place, exists


def mean_of(values: Tensor, exists: Tensor) -> Tensor:
    """Return the mean of the existing ones of the last axis, 0 where none does."""
    return (values * exists).sum(-1) / exists.sum(-1).clamp_min(1)


def neighbour_evidence(d: Tensor, state: State, name: str) -> Iterator[Tensor]:
    """Yield log distances, density and local ratio (T, R) of rows in one scale."""
    near, place, exists = nearest(d, max(NEAR))
    floor = state[name + ".floor"]
    for k in NEAR:
        yield 0.5 * (mean_of(near[..., :k], exists[..., :k]) + floor).log()
    width = state[name + ".width"][..., None]
    power = (0.5 * (d / width).square()).clamp_max(1e3)
    power = torch.where(d.isinf(), torch.inf, power)
    yield -torch.logsumexp(-power, -1).clamp_min(-1e3)
    near, place, exists = near[..., :5], place[..., :5], exists[..., :5]
    around = state[name + ".five"].gather(1, place.flatten(1)).view_as(near)
    around = mean_of(around, exists)
    yield 0.5 * ((mean_of(near, exists) + floor) / (around + floor)).log()
    yield ball_score(d, state, name)


def neighbour_state(d: Tensor, absent: Tensor, name: str) -> State:
    """Return what `neighbour_evidence` needs of the support's own distances."""
    near, _, exists = nearest(d, max(NEAR))
    present = ~absent
    level = mean_of(mean_of(near, exists), present)[:, None]
    five = mean_of(near[..., :5], exists[..., :5]) * present
    floor = 0.05**2 * level + 1e-18
    width = (mean_of(five, present)[:, None] + floor).sqrt()
    return {name + ".floor": floor, name + ".five": five, name + ".width": width}


def ball_members(n: Tensor, K: int) -> State:
    """Draw sets of at most half of each support, and say which slots count."""
    size = (n // 2).clamp(2, BALL_ROWS).minimum(n)
    counts = torch.arange(BALL_ROWS) < size[:, None]
    return {"members": sampled(n, K, N_BALLS, BALL_ROWS, 1), "slots": counts}


def ball_state(d: Tensor, state: State, name: str) -> State:
    """Give each row of a set the ball up to the set's next row."""
    members, slots = state["members"], state["slots"][:, None]
    T, n, k = members.shape
    flat = members.reshape(T, n * k)
    between = d.gather(1, flat[..., None].expand(-1, -1, d.shape[-1]))
    between = between.view(T, n, k, -1).gather(
        3, members[:, :, None].expand(-1, -1, k, -1)
    )
    between = between.masked_fill(~slots[:, :, None], torch.inf)
    radius, next_one = between.min(-1)
    radius = torch.where(radius.isfinite(), radius, 0.0)
    ratio = 1.0 - (radius.gather(2, next_one) + 1e-9) / (radius + 1e-9)
    return {name + ".radius": radius.masked_fill(~slots, -1.0), name + ".ratio": ratio}


def ball_score(d: Tensor, state: State, name: str) -> Tensor:
    """Return the isolation score by nearest-neighbour ensembles (T, R)."""
    members = state["members"]
    T, n, k = members.shape
    to = d.gather(2, members.reshape(T, 1, n * k).expand(-1, d.shape[1], -1))
    to = to.view(T, -1, n, k)
    radius = state[name + ".radius"][:, None]
    found, place = torch.where(to <= radius, radius, torch.inf).min(-1)
    ratio = state[name + ".ratio"][:, None].expand(-1, d.shape[1], -1, -1)
    ratio = ratio.gather(3, place[..., None])[..., 0]
    score = torch.where(found.isfinite(), ratio, 1.0)
    # A set that holds the row itself, which is infinitely far, does not count.
    valid = ~(to.isposinf() & state["slots"][:, None, None]).any(-1)
    return (score * valid).sum(-1) / valid.sum(-1).clamp_min(1)


# ------------------------------------------------------------------- covariance


def covariance_state(X: Tensor, present: Tensor, alive: Tensor) -> State:
    """Return mean and ridge-regularised precisions (T, d, d) of rows (T, K, d)."""
    n = present.sum(1).clamp_min(1)[:, None]
    mean = X.sum(1) / n
    centred = (X - mean[:, None]) * present[..., None]
    scatter = centred.mT @ centred
    level = scatter.diagonal(dim1=1, dim2=2).sum(-1) / alive.sum(-1).clamp_min(1)
    level = level[:, None, None] + 1e-9
    eye = torch.eye(X.shape[-1], dtype=X.dtype)
    state = {"mean": mean, "n": n.to(X.dtype)}
    for i, ridge in enumerate(RIDGES):
        floor = ridge * level * eye + 1e-9 * eye
        state[f"precision.{i}"] = torch.linalg.inv(scatter + floor)
    return state


def mahalanobis(
    X: Tensor, own: Tensor, state: State, i: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return squared distance (T, R), P x (T, R, d) and 1 / (1 - q) of each row.

    Rows of the support are judged as if they were not in it (Sherman-Morrison).
    """
    left = (own >= 0).to(X.dtype)
    n = state["n"]
    # Leaving a row out moves the mean away from it.
    away = (X - state["mean"][:, None]) * (1 + left / (n - 1).clamp_min(1.0))[..., None]
    P = state[f"precision.{i}"]
    moved = away @ P
    q = (moved * away).sum(-1)
    share = (1 - 1 / n).clamp_min(0.5)
    gain = 1 / (1 - left * (q * share).clamp_max(0.999))
    return q * gain, moved, gain


def partial_residuals(X: Tensor, own: Tensor, state: State) -> Tensor:
    """Return each column's squared residual given the others, in its own spread."""
    _, moved, gain = mahalanobis(X, own, state, 1)
    diagonal = state["precision.1"].diagonal(dim1=1, dim2=2)[:, None]
    left = (own >= 0).to(X.dtype)[..., None]
    moved_loo = moved * gain[..., None]
    diagonal = diagonal + left * moved * moved_loo
    n = state["n"][..., None]
    return moved_loo.square() / diagonal * n


# ------------------------------------------------------------------- trees


def forest_state(X: Tensor, n: Tensor, alive: Tensor) -> State:
    """Grow isolation trees on half of each support, at most `TREE_ROWS` rows."""
    T, K, _ = X.shape
    size = ((n + 1) // 2).clamp_max(TREE_ROWS)
    width = int(size.max())
    chosen = sampled(n, K, N_TREES, width, 2)
    counts = (torch.arange(width) < size[:, None])[:, None]
    column = pick_columns(scramble(N_TREES, 2**DEPTH, 3), alive)
    place = scramble(N_TREES, 2**DEPTH, 4)
    threshold = torch.zeros_like(column, dtype=X.dtype)
    node = torch.ones_like(chosen)
    each = torch.arange(T)[:, None, None]
    for level in range(DEPTH):
        value = X[each, chosen, column.gather(2, node)]
        n_nodes = 2 ** (level + 1)
        low = torch.full((T, N_TREES, n_nodes), torch.inf, dtype=X.dtype)
        high = -low
        low = low.scatter_reduce(2, node, torch.where(counts, value, torch.inf), "amin")
        high = high.scatter_reduce(
            2, node, torch.where(counts, value, -torch.inf), "amax"
        )
        part = slice(n_nodes // 2, n_nodes)
        cut = low + (high - low) * place[:, :n_nodes]
        threshold[..., part] = torch.where(cut.isfinite(), cut, 0.0)[..., part]
        node = 2 * node + (value > threshold.gather(2, node)).long()
    leaf = torch.zeros(T, N_TREES, 2 ** (DEPTH + 1), dtype=X.dtype)
    leaf = leaf.scatter_add(2, node, counts.to(X.dtype).expand_as(node).contiguous())
    member = torch.zeros(T, N_TREES, K, dtype=torch.int8)
    member = member.scatter_reduce(
        2, chosen, counts.to(torch.int8).expand_as(chosen).contiguous(), "amax"
    )
    return {
        "tree.column": column,
        "tree.threshold": threshold,
        "tree.leaf": leaf[..., 2**DEPTH :] / size[:, None, None],
        "tree.member": member.bool().mT,
    }


def pick_columns(chance: Tensor, alive: Tensor) -> Tensor:
    """Turn numbers in [0, 1) into columns (T, ...) that have any spread."""
    T = len(alive)
    alive_first = (~alive).to(torch.int8).argsort(dim=1, stable=True)
    count = alive.sum(1).clamp_min(1).view(T, *[1] * chance.ndim)
    place = (chance * count).long().flatten(1)
    return alive_first.gather(1, place).view(T, *chance.shape)


def forest_score(X: Tensor, own: Tensor, state: State) -> Tensor:
    """Return minus the mean log mass of the leaves that rows (T, R, d) fall into."""
    T, R, _ = X.shape
    node = torch.ones(T, N_TREES, R, dtype=torch.long)
    rows = X[:, None].expand(-1, N_TREES, -1, -1)
    for _ in range(DEPTH):
        column = state["tree.column"].gather(2, node)
        value = rows.gather(3, column[..., None])[..., 0]
        node = 2 * node + (value > state["tree.threshold"].gather(2, node)).long()
    mass = state["tree.leaf"].gather(2, node - 2**DEPTH)
    score = -(mass + 1 / (4 * TREE_ROWS)).log()
    place = own.clamp_min(0)[..., None].expand(-1, -1, N_TREES)
    inside = state["tree.member"].gather(1, place) & (own >= 0)[..., None]
    valid = ~inside.mT
    return (score * valid).sum(1) / valid.sum(1).clamp_min(1)


# ------------------------------------------------------------------- pairs


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
    alive_first = (~alive).to(torch.int8).argsort(dim=1, stable=True)
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
        state["pair." + name] = zeros.scatter_add(1, part, weight)
    return state


def pair_rarity(codes: Tensor, own: Tensor, state: State) -> Tensor:
    """Return -log of observed over expected counts of pairs of bins (T, R, pairs)."""
    left = (own >= 0)[..., None].to(torch.float64)
    one, two, both = (
        (state["pair." + name].gather(1, part) - left).clamp_min(0.0)
        for name, part in zip(
            ("one", "two", "both"), pair_codes(codes, state), strict=True
        )
    )
    n = (state["n"][..., None] - left).clamp_min(1.0)
    return -((both + 1) / (one * two / n + 1)).log()


def log_size(count: Tensor) -> Tensor:
    """Return log10 of counts, in the range of the networks' inputs."""
    return count.to(torch.float64).clamp_min(1.0).log() / log(10.0)
