"""Mahalanobis distances and partial residuals, each row left out of its own.

A support of K rows spans at most K directions: only these are kept, so that a table of
thousands of columns costs no square of them. What describes one set of rows in one
scale is kept under a name.
"""

import torch
from torch import Tensor

from skmetaad.core.evidence import Rows, State, grid

# In standard units and in normal scores of all rows, and in those of the half that is
# nearest their middle, which undetected outliers move less.
RIDGES = {"standard": (1e-3, 0.1, 1.0), "normal": (1e-3, 0.1), "core": (1e-3, 0.1)}
# Rows that the core has at least, where there are as many.
CORE_ROWS = 20
# The ridge of partial residuals, by its place.
PARTIAL = 1


def around_means(state: State) -> State:
    """Return means and covariances in both scales, those of the core, and its rows."""
    made, present, alive = {}, state["present"], state["alive"]
    for name in ("standard", "normal"):
        made |= covariance_state(state["support." + name], present, alive, name)
    X = state["support.normal"]
    core = core_rows(X, present, made)
    return made | covariance_state(X, core, alive, "core") | {"core": core}


def from_means(rows: Rows, state: State) -> list[Tensor]:
    """Return all squares (T, R) of Mahalanobis distances, support rows left out."""
    inside = rows.own >= 0
    core = inside & state["core"].gather(1, rows.own.clamp_min(0))
    kinds = {
        "standard": (rows.standard, inside),
        "normal": (rows.normal, inside),
        "core": (rows.normal, core),
    }
    found = (mahalanobis(*kinds[name], state, name) for name in kinds)
    return [q for squares in found for q in squares]


def covariance_state(X: Tensor, present: Tensor, alive: Tensor, name: str) -> State:
    """Return mean, principal axes (T, r, d), their scatter and ridges of X (T, K, d).

    The precision of ridge i is 1 / (s + f_i) along an axis of scatter s, and 1 / f_i in
    all directions that no axis spans.
    """
    n = present.sum(1).clamp_min(1)[:, None]
    mean = (X * present[..., None]).sum(1) / n
    centred = (X - mean[:, None]) * present[..., None]
    axes, scatter = principal_axes(centred)
    level = scatter.sum(-1) / alive.sum(-1).clamp_min(1) + 1e-9
    floors = level[:, None] * torch.tensor(RIDGES[name], dtype=X.dtype) + 1e-9
    return {
        name + ".mean": mean,
        name + ".rows": n.to(X.dtype),
        name + ".axes": axes,
        name + ".scatter": scatter,
        name + ".ridge": floors,
    }


def principal_axes(centred: Tensor) -> tuple[Tensor, Tensor]:
    """Return min(K, d) orthonormal axes (T, r, d) of rows (T, K, d) and their scatter.

    Axes without scatter may be zero.
    """
    K, d = centred.shape[1:]
    if d <= K:
        scatter, vectors = torch.linalg.eigh(centred.mT @ centred)
        return vectors.mT.contiguous(), scatter.clamp_min(0.0)
    scatter, vectors = torch.linalg.eigh(centred @ centred.mT)
    # What rounding leaves has no direction of its own.
    real = scatter > 1e-10 * scatter[:, -1:].clamp_min(1e-30)
    length = torch.where(real, scatter, 1.0).rsqrt() * real
    return length[..., None] * (vectors.mT @ centred), scatter * real


def core_rows(X: Tensor, present: Tensor, state: State) -> Tensor:
    """Tell which of rows X (T, K, d) are the half nearest their mean, each left out.

    Of few rows, more than half.
    """
    q = grid((mahalanobis(X, present, state, "normal")[0] + 1e-6).log())
    q = torch.where(present, q, torch.inf)
    n = present.sum(1, keepdim=True)
    last = torch.maximum((n - 1) // 2, n.clamp_max(CORE_ROWS) - 1).clamp_min(0)
    return present & (q <= q.sort(1).values.gather(1, last))


def precise(X: Tensor, state: State) -> tuple[Tensor, Tensor]:
    """Return rows (T, R, d) times the precision in standard units, and its diagonal."""
    axes, ridge = state["standard.axes"], state["standard.ridge"][:, PARTIAL, None]
    weight = 1 / (state["standard.scatter"] + ridge) - 1 / ridge
    moved = (X @ axes.mT * weight[:, None]) @ axes + X / ridge[..., None]
    return moved, torch.einsum("trd,tr->td", axes.square(), weight) + 1 / ridge


def away_from_mean(X: Tensor, left: Tensor, state: State, name: str) -> Tensor:
    """Return rows (T, R, d) away from the mean of all, or of all others if `left`."""
    grown = 1 + left / (state[name + ".rows"] - 1).clamp_min(1.0)
    return (X - state[name + ".mean"][:, None]) * grown[..., None]


def mahalanobis(X: Tensor, inside: Tensor, state: State, name: str) -> list[Tensor]:
    """Return squared distances (T, R) of rows X (T, R, d), one per ridge.

    Rows that are `inside` (T, R) are left out (Sherman-Morrison).
    """
    left, n = inside.to(X.dtype), state[name + ".rows"]
    away = away_from_mean(X, left, state, name)
    along = (away @ state[name + ".axes"].mT).square()
    rest = (away.square().sum(-1) - along.sum(-1)).clamp_min(0.0)
    found = []
    for ridge in state[name + ".ridge"].unbind(-1):
        weight = 1 / (state[name + ".scatter"] + ridge[:, None])
        q = (along @ weight[..., None])[..., 0] + rest / ridge[:, None]
        found.append(q * gain(q, left, n) * (n - left).clamp_min(1.0))
    return found


def share(left: Tensor, n: Tensor) -> Tensor:
    """Return what times the square of a row away from the mean leaves the scatter."""
    return left * (1 - 1 / n).clamp_min(0.5)


def gain(q: Tensor, left: Tensor, n: Tensor) -> Tensor:
    """Return what a distance grows by when the row itself is left out."""
    return 1 / (1 - (q * share(left, n)).clamp_max(1 - 1e-7))


def partial_residuals(X: Tensor, inside: Tensor, state: State) -> Tensor:
    """Return each column's squared residual given the others, in its own spread.

    Rows X (T, R, d) in standard units that are `inside` (T, R) are left out.
    """
    left, n = inside.to(X.dtype), state["standard.rows"]
    away = away_from_mean(X, left, state, "standard")
    moved, diagonal = precise(away, state)
    grown = gain((moved * away).sum(-1), left, n)[..., None]
    added = share(left, n)[..., None] * moved.square() * grown
    diagonal = diagonal[:, None] + added
    return (moved * grown).square() / diagonal * (n - left).clamp_min(1.0)[..., None]
