"""The evidence of one table, and what the network sees of its rows."""

import torch
from torch import Tensor

from skmetaad.core import columns as by_column
from skmetaad.core import covariance, forest, levels, pairs
from skmetaad.core import evidence as ev
from skmetaad.core.evidence import Rows, State
from skmetaad.core.scorer import Inputs

SCALES = ("standard", "normal")
# How much values of rows that count as equal may differ, in spreads, and by rounding
# to single precision; and at most.
EQUAL, ROUNDED, LARGEST = 1e-9, 2e-7, 1e-3
# Spreads beyond which no number is told from another.
FARTHEST = 1e300
# What stands for a missing value in keys.
MISSING = 1e3
# Neighbours by the name of the scale.
Around = dict[str, ev.Neighbours]
# Arrays whose last axis is that of the support's rows.
BY_ROW = ("sorted", "own")
# Values looked at together.
CELLS = 1_000_000
# Variance of log spreads: of columns of many units, which counts as one column's, and
# where the unit of one's own and a common one weigh the same.
UNEVEN, EVEN = 4.0, 0.8


def row_keys(X: Tensor, state: State) -> Tensor:
    """Return a number per row (T, R), near where rows are nearly equal."""
    away = (X - state["center"][:, None]) / state["scale"][:, None]
    away = away.sign() * away.abs().log1p()
    by = 0.5 + ev.scramble(1, X.shape[-1], salt=7)[0]
    return away.nan_to_num(nan=MISSING) @ by


def find_own(X: Tensor, state: State) -> Tensor:
    """Return the place (T, R) of a row in the support that equals but for rounding.

    That is one of the two whose keys are nearest; -1: none does.
    """
    keys, last = row_keys(X, state), state["keys"].shape[1] - 1
    above = torch.searchsorted(state["keys"], keys).clamp_max(last)
    scaled = standard(X, state)
    rounded = ROUNDED * X.nan_to_num(nan=0.0).abs() / state["scale"][:, None]
    limit = (EQUAL + rounded).clamp_max(LARGEST)
    found = torch.full_like(above, -1)
    for at in ((above - 1).clamp_min(0), above):
        place = state["places"].gather(1, at)
        rows = place[..., None].expand_as(scaled)
        away = (scaled - state["support.standard"].gather(1, rows)).abs()
        near = (keys - state["keys"].gather(1, at)).abs() < 0.5  # as to missing values
        found = torch.where(near & (away <= limit).all(-1), place, found)
    return found


def standard(X: Tensor, state: State) -> Tensor:
    """Return rows (T, R, d) in spreads of their columns, missing values as 0."""
    alive = state["alive"][:, None]
    scaled = (X - state["center"][:, None]) / state["scale"][:, None]
    scaled = scaled.clamp(-FARTHEST, FARTHEST)
    # Beyond ten spreads distance grows by its logarithm.
    far = scaled.abs()
    scaled = torch.where(far > 10, scaled.sign() * (10 + (far / 10).log() * 5), scaled)
    # A column of n equal values tells no spread, but how rare another value is: it
    # counts as a normal value of that rarity. One value tells neither.
    n = state["known"][:, None]
    rare = scaled.sign() * (2 * (n + 1).to(scaled.dtype).log()).sqrt()
    scaled = torch.where(alive | (n < 2), scaled, rare)
    return torch.where(X.isnan() | ~alive & (far < 1e-9), 0.0, scaled)


def unsquashed(scaled: Tensor) -> Tensor:
    """Return spreads from the median, of which `standard` has taken logarithms."""
    far = scaled.abs()
    return torch.where(far > 10, scaled.sign() * 10 * ((far - 10) / 5).exp(), scaled)


def in_scales(X: Tensor, own: Tensor, state: State) -> Rows:
    """Return rows (T, R, d), NaN where a value is missing, in the two scales."""
    scaled = standard(X, state)
    counts = by_column.ranks(X, own, state)
    normal = by_column.normal_scores(*counts, state["known"][:, None])
    normal = torch.where(X.isnan() | ~state["alive"][:, None], 0.0, normal)
    return Rows(scaled, normal, *counts, own)


def adapt(X: Tensor, mask: Tensor, outlier: Tensor) -> tuple[State, "Inputs"]:
    """Describe each support: rows X (T, K, d), NaN for missing values.

    Returns the state and what the network sees of the support's own rows, each judged
    as if it were not in the support.
    """
    inlier = mask & ~outlier
    order = ev.first_ones(inlier)
    X = X.gather(1, order[..., None].expand_as(X))
    n = inlier.sum(1)
    K = int(n.max())
    support, present = X[:, :K], torch.arange(K) < n[:, None]

    state = {"present": present, "count": n, "n": n.clamp_min(1)[:, None].to(X.dtype)}
    state |= by_column.sort_columns(support, present)
    state |= moments(support, present)
    keys = torch.where(present, row_keys(support, state), torch.inf)
    state["keys"], state["places"] = keys.sort(dim=1, stable=True)

    own = torch.arange(K).expand(len(X), K)
    alive = state["alive"]
    rows = in_scales(support, own, state)
    for name in SCALES:
        state["support." + name] = getattr(rows, name) * present[..., None]
    state |= covariance.around_means(state)
    near, around = neighbour_states(state, own)
    state |= near
    state |= forest.forest_state(state["support.standard"], n, alive)
    state["edges"] = bin_edges(state)
    state |= pairs.pair_state(bins(support, state), present, alive)
    state |= outlier_state(X, order, outlier, state)

    step = max(1, CELLS // (len(X) * X.shape[-1]))
    parts = [
        raw_evidence(
            support[:, at : at + step],
            rows.part(at, at + step),
            state,
            {k: [v[:, at : at + step] for v in found] for k, found in around.items()},
        )
        for at in range(0, K, step)
    ]
    values, counts, found = (torch.cat(part, 1) for part in zip(*parts, strict=True))
    state |= levels.own_levels(found, values, present)
    state["column.context"] = by_column.column_context(state)
    state["context"] = context(state)
    return at_rest(state), normalised(values, counts, found, own, state)


def at_rest(state: State) -> State:
    """Put the axis of rows first after that of tasks, so that tasks can be joined."""
    return {k: v.mT.contiguous() if k in BY_ROW else v for k, v in state.items()}


def awake(state: State) -> State:
    """Undo `at_rest`, for states whose rows may have been padded with zeros."""
    K = state["present"].shape[1]
    state = {k: v.mT.contiguous() if k in BY_ROW else v for k, v in state.items()}
    place = torch.arange(K)
    for name, n in (("sorted", state["known"]), ("own", state["count"][:, None])):
        state[name] = torch.where(place < n[..., None], state[name], torch.inf)
    state["keys"] = torch.where(
        place < state["count"][:, None], state["keys"], torch.inf
    )
    return state


def moments(X: Tensor, present: Tensor) -> State:
    """Return each column's median and a spread that heavy tails leave alone."""
    known = ~X.isnan() & present[..., None]
    n = known.sum(1)
    ordered = torch.where(known, X, torch.inf).sort(1).values

    def quantile(q: float) -> Tensor:
        at = ((n - 1).clamp_min(0) * q).round().long()[:, None]
        return torch.where(n > 0, ordered.gather(1, at)[:, 0], 0.0)

    center = quantile(0.5)
    away = torch.where(known, (X - center[:, None]).abs(), 0.0)
    cap = (quantile(0.95) - quantile(0.05)) * 3
    cap = torch.where(cap > 0, cap, torch.inf)
    spread = (away.minimum(cap[:, None]).square().sum(1) / n.clamp_min(1)).sqrt()
    guess = 1e-3 * center.abs() + 1e-12
    # A single row tells no spread: its columns are taken to share their unit.
    unit = (center.square().sum(1) / (n > 0).sum(1).clamp_min(1)).sqrt()
    unit = torch.where(unit > 0, unit, 1.0)[:, None]
    guess = torch.where(present.sum(1, keepdim=True) == 1, unit, guess)
    alive = spread > 0
    scale = torch.where(alive, in_like_units(spread, alive), guess)
    return {"center": center, "scale": scale}


def in_like_units(spread: Tensor, alive: Tensor) -> Tensor:
    """Move spreads (T, d) towards their geometric mean, the more the nearer they are.

    Columns whose spreads are near each other, such as pixels, mostly share a unit, and
    what their spreads differ by is news or noise. The weight of the mean is
    1 / (1 + (v / EVEN)^2), v the variance of log spreads under an inverse gamma prior.
    """
    level = torch.where(alive, spread, 1.0).log()
    n = alive.sum(1, keepdim=True).clamp_min(1)
    mean = level.sum(1, keepdim=True) / n
    square = torch.where(alive, level - mean, 0.0).square().sum(1, keepdim=True)
    uneven = (UNEVEN + square) / n
    weight = 1 / (1 + (uneven / EVEN).square())
    return (weight * mean + (1 - weight) * level).exp()


def neighbour_states(state: State, own: Tensor) -> tuple[State, Around]:
    """Return distances' levels and the balls, and neighbours, in every scale."""
    absent, around = ~state["present"], {}
    made = ev.ball_members(state["count"], own.shape[1])
    for name in SCALES:
        rows = state["support." + name]
        d = ev.squared_distances(rows, rows, absent, own)
        around[name] = ev.nearest(d)
        made |= ev.neighbour_state(around[name], absent, name)
        made |= ev.ball_state(d, made, name)
    return made, around


def bin_edges(state: State) -> Tensor:
    """Return edges (T, d, N_BINS - 1) of bins with nearly equal counts.

    Of few values, a bin holds five or more: others say nothing of a row that is alone.
    """
    n = state["known"][..., None]
    n_bins = (n // 5).clamp(2, pairs.N_BINS)
    place = (torch.arange(1, pairs.N_BINS) * n_bins / pairs.N_BINS).round()
    share = place.clamp_min(1).minimum(n_bins - 1) / n_bins
    at = ((n - 1).clamp_min(0) * share).round().long()
    return state["sorted"].gather(2, at).contiguous()


def bins(X: Tensor, state: State) -> Tensor:
    """Return the bin of each value (T, R, d); missing values have their own."""
    code = torch.searchsorted(
        state["edges"], X.nan_to_num(nan=0.0).mT.contiguous(), right=True
    ).mT
    return torch.where(X.isnan(), pairs.N_BINS, code)


def outlier_state(X: Tensor, order: Tensor, outlier: Tensor, state: State) -> State:
    """Keep labelled outliers in the two scales."""
    marked = outlier.gather(1, order)
    first = int(state["count"].min()) if marked.any() else X.shape[1] - 1
    X, marked = X[:, first:], marked[:, first:]
    rows = in_scales(X, torch.full(marked.shape, -1), state)
    made = {"outliers": marked.sum(1), "outlier.mask": marked}
    for name in SCALES:
        made["outlier." + name] = getattr(rows, name) * marked[..., None]
    return made


def raw_evidence(
    X: Tensor, rows: Rows, state: State, around: Around | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return value evidence (T, R, d, v), which values count, and row evidence.

    `around` has the rows' neighbours in every scale, where they are known.
    """
    absent, found, against = ~state["present"], [], []
    for name in SCALES:
        mine = getattr(rows, name)
        d = ev.squared_distances(mine, state["support." + name], absent, rows.own)
        against.append(outlier_contrast(d, mine, rows.own, state, name))
        neighbours = around[name] if around else ev.nearest(d)
        if name == "standard":
            _, place, near = neighbours
        found.extend(ev.neighbour_evidence(d, neighbours, rows.own, state, name))
    found.extend((q + 1e-3).log() for q in covariance.from_means(rows, state))
    found.append(forest.forest_score(rows.standard, rows.own, state))
    n_alive = state["alive"].sum(1).clamp_min(1)[:, None]
    found.append((rows.standard.square().sum(-1) / n_alive + 0.01).log())
    rare = pairs.pair_rarity(bins(X, state), rows.own, state)
    typical, extreme = (
        ev.summaries(one, state["pair.counts"][:, None]).unbind(-1) for one in rare
    )
    found.extend([typical[0], *extreme[1:]])
    T, R, d_ = rows.standard.shape
    flat = place.flatten(1)[..., None].expand(-1, -1, d_)
    beside = state["support.standard"].gather(1, flat).view(T, R, -1, d_)
    values, counts = by_column.value_evidence(X, rows, beside, near, state)
    pooled = ev.summaries(values.mT, counts[:, :, None]).flatten(2)
    return values, counts, torch.cat([torch.stack(found + against, -1), pooled], -1)


def outlier_contrast(
    d: Tensor, mine: Tensor, own: Tensor, state: State, name: str
) -> Tensor:
    """Return log distance to inliers less that to labelled outliers, 0 without any."""
    if not state["outlier.mask"].any():
        return torch.zeros(d.shape[:2], dtype=d.dtype)
    to = ev.squared_distances(
        mine,
        state["outlier." + name],
        ~state["outlier.mask"],
        torch.full_like(own, -1),
    )
    floor = state[name + ".floor"]
    near = d.amin(-1)
    near = torch.where(near.isfinite(), near, 0.0)
    contrast = 0.5 * ((near + floor) / (to.amin(-1) + floor)).log()
    return torch.where(state["outliers"][:, None] > 0, contrast, 0.0)


def context(state: State) -> Tensor:
    """Return what the network is told of the table (T, N_CONTEXT)."""
    alive = state["alive"]
    d = alive.sum(1).clamp_min(1)
    distinct = state["distinct"] / state["known"].clamp_min(1)
    discrete = ((distinct < 0.05) & alive).sum(1) / d
    n = state["count"]
    used = (state["known"] > 0).sum(1).clamp_min(1)
    missing = 1 - state["known"].sum(1) / (n * used)
    five = (state["standard.five"].sum(1) / n / d).sqrt()
    same = (state["standard.five"] <= 1e-12).logical_and(state["present"]).sum(1) / n
    dependent = (state["column.context"][..., 3] * alive).sum(1) / d
    return torch.stack(
        [
            ev.log_size(n) / 2 - 1,
            ev.log_size(d) - 1,
            discrete,
            missing,
            five,
            same,
            dependent,
            (1 + state["outliers"].to(torch.float64)).log(),
        ],
        -1,
    )


def inputs(X: Tensor, state: State, own: Tensor | None = None) -> Inputs:
    """Return the network's inputs for rows X (T, R, d), NaN for missing values.

    `own` is what `find_own` says of them, where that is known.
    """
    rows = in_scales(X, find_own(X, state) if own is None else own, state)
    return normalised(*raw_evidence(X, rows, state), rows.own, state)


def normalised(
    values: Tensor, counts: Tensor, found: Tensor, own: Tensor, state: State
) -> Inputs:
    """Set evidence against the support's own."""
    return Inputs(
        levels.standing(found, own, state),
        levels.value_standing(values, own, state),
        counts,
        state["column.context"],
        state["context"],
    )
