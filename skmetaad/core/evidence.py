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
# Squares (T, R, k) of the distances to the nearest rows, their places, which exist.
Neighbours = tuple[Tensor, Tensor, Tensor]

NEAR = (1, 2, 5, 10)
N_BALLS, BALL_ROWS, N_FEW = 32, 16, 4


@dataclass(frozen=True)
class Rows:
    """Rows in the two scales, and where each stands in its support.

    `below`, `equal` and `above` count the support's values around each value.
    """

    standard: Tensor
    normal: Tensor
    below: Tensor
    equal: Tensor
    above: Tensor
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


def grid(values: Tensor) -> Tensor:
    """Round, so that equal evidence stays equal whatever it was computed beside."""
    return (values * 1e5).round() / 1e5


def compact(counts: Tensor, most: int) -> Tensor:
    """Return whole numbers from 0 to `most` in the fewest bytes."""
    kinds = (torch.uint8, torch.int16, torch.int32)
    return counts.to(next(kind for kind in kinds if most <= torch.iinfo(kind).max))


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


def first_ones(chosen: Tensor) -> Tensor:
    """Return places (T, n) with those of the chosen ones first."""
    return (~chosen).to(torch.int8).argsort(dim=1, stable=True)


def squared_distances(
    rows: Tensor, support: Tensor, absent: Tensor, own: Tensor
) -> Tensor:
    """Return squares (T, R, K), infinite to absent rows and to a row's own place.

    Ties are broken by the place in the support, always in the same way.
    """
    one = torch.ones_like
    length, other = (X.square().sum(-1, keepdim=True) for X in (rows, support))
    left = torch.cat([-2 * rows, length, one(length)], -1)
    right = torch.cat([support, one(other), other], -1)
    right *= 1 + 2e-6 * scramble(1, support.shape[1], 6).mT
    d = left @ right.mT
    # Below that it is rounding: equal rows are not quite 0 apart.
    torch.nn.functional.threshold_(d, 1e-12, 0.0)
    if absent.any():
        d.masked_fill_(absent[:, None], torch.inf)
    if (own < 0).all():
        return d
    place = own.clamp_min(0)[..., None]
    kept = d.gather(2, place)
    return d.scatter_(2, place, torch.where(own[..., None] >= 0, torch.inf, kept))


def nearest(d: Tensor) -> Neighbours:
    """Return the least of squares (T, R, K), their places, and which exist."""
    near, place = d.topk(min(max(NEAR), d.shape[-1]), dim=-1, largest=False)
    exists = near.isfinite()
    return torch.where(exists, near, 0.0), place, exists


def mean_of(values: Tensor, exists: Tensor) -> Tensor:
    """Return the mean of the existing ones of the last axis, 0 where none does."""
    return (values * exists).sum(-1) / exists.sum(-1).clamp_min(1)


def neighbour_evidence(
    d: Tensor, neighbours: Neighbours, own: Tensor, state: State, name: str
) -> Iterator[Tensor]:
    """Yield log distances, density and local ratio (T, R) of rows in one scale.

    `neighbours` is what `nearest` returns of the squares d (T, R, K), which are
    overwritten.
    """
    near, place, exists = neighbours
    floor = state[name + ".floor"]
    ball, few = ball_scores(d, near[..., 0], state, name)
    for k in NEAR:
        yield 0.5 * (mean_of(near[..., :k], exists[..., :k]) + floor).log()
    # In place, since these are the largest arrays of all.
    steep = 0.5 / state[name + ".width"][..., None].square()
    most = steep * near[..., :1]
    total = d.mul_(-steep).add_(most).exp_().sum(-1).log() - most[..., 0]
    others = (state["n"] - (own >= 0).to(d.dtype)).clamp_min(1.0)
    yield others.log() - total.clamp_min(-900.0)
    near, place, exists = near[..., :5], place[..., :5], exists[..., :5]
    around = state[name + ".five"].gather(1, place.flatten(1)).view_as(near)
    around = mean_of(around, exists)
    yield 0.5 * ((mean_of(near, exists) + floor) / (around + floor)).log()
    yield ball
    yield (few + floor.sqrt()).log()


def neighbour_state(neighbours: Neighbours, absent: Tensor, name: str) -> State:
    """Return what `neighbour_evidence` needs of the support's own neighbours."""
    near, _, exists = neighbours
    present = ~absent
    level = mean_of(mean_of(near, exists), present)[:, None]
    five = mean_of(near[..., :5], exists[..., :5]) * present
    floor = 0.05**2 * level + 1e-18
    width = (mean_of(five, present)[:, None] + floor).sqrt()
    return {name + ".floor": floor, name + ".five": five, name + ".width": width}


def ball_members(n: Tensor, K: int) -> State:
    """Draw sets of at most half of each support (T, slots, sets), which slots count."""
    size = (n // 2).clamp(2, BALL_ROWS).minimum(n)
    counts = torch.arange(BALL_ROWS) < size[:, None]
    members = sampled(n, K, N_BALLS, BALL_ROWS, 1).mT
    return {"members": compact(members, K), "slots": counts}


def ball_state(d: Tensor, state: State, name: str) -> State:
    """Give each row of a set the ball up to the set's next row."""
    members, empty = state["members"].long(), ~state["slots"][..., None]
    T, k, n = members.shape
    pair = members[:, :, None] * d.shape[-1] + members[:, None]
    between = d.flatten(1).gather(1, pair.flatten(1)).view(T, k, k, n)
    between = between.masked_fill(empty[:, None], torch.inf)
    radius, next_one = between.min(2)
    radius = torch.where(radius.isfinite(), radius, 0.0)
    length = radius.sqrt() + 1e-9
    ratio = 1.0 - length.gather(1, next_one) / length
    return {name + ".radius": radius.masked_fill(empty, -1.0), name + ".ratio": ratio}


def ball_scores(
    d: Tensor, nearest_one: Tensor, state: State, name: str
) -> tuple[Tensor, Tensor]:
    """Return two means (T, R) over sets of rows that do not hold the row itself.

    The isolation score by nearest-neighbour ensembles, and the distance to the nearest
    of each `N_FEW` rows of a set; to the nearest of all where all sets hold the row.
    """
    members, slots = state["members"].long(), state["slots"]
    (T, k, n), R = members.shape, d.shape[1]
    to = d.gather(2, members.reshape(T, 1, k * n).expand(-1, R, -1)).view(T, R, k, n)
    radius = state[name + ".radius"][:, None]
    found, place = torch.where(to <= radius, radius, torch.inf).min(2)
    ratio = state[name + ".ratio"].gather(1, place)
    score = torch.where(found.isfinite(), ratio, 1.0)
    far = near = to
    if not slots.all():
        empty = ~slots[:, None, :, None]
        far, near = to.masked_fill(empty, 0.0), to.masked_fill(empty, torch.inf)
    valid = far.amax(2).isfinite()
    few = near.view(T, R, -1, N_FEW, n).amin(3)
    # Of sets that are not full, parts that are count, and the first one.
    whole = slots.view(T, 1, -1, N_FEW).all(-1)
    whole[..., 0] = True
    counts = valid[:, :, None] & whole[..., None]
    few = mean_of(few.where(counts, 0.0).sqrt().flatten(2), counts.flatten(2))
    few = torch.where(valid.any(-1), few, nearest_one.sqrt())
    return mean_of(score, valid), few


def log_size(count: Tensor) -> Tensor:
    """Return log10 of counts, in the range of the networks' inputs."""
    return count.to(torch.float64).clamp_min(1.0).log() / log(10.0)
