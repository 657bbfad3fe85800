"""Mahalanobis distances and partial residuals, each row left out of its own.

A support of K rows spans at most K directions: only these are kept, so that a table of
thousands of columns costs no square of them.
"""

import torch
from torch import Tensor

from skmetaad.core.evidence import State

RIDGES = (1e-3, 0.1, 1.0)


def covariance_state(X: Tensor, present: Tensor, alive: Tensor) -> State:
    """Return mean, principal axes (T, r, d), their scatter and ridges of X (T, K, d).

    The precision of ridge i is 1 / (s + f_i) along an axis of scatter s, and 1 / f_i in
    all directions that no axis spans.
    """
    n = present.sum(1).clamp_min(1)[:, None]
    mean = X.sum(1) / n
    centred = (X - mean[:, None]) * present[..., None]
    axes, scatter = principal_axes(centred)
    level = scatter.sum(-1) / alive.sum(-1).clamp_min(1) + 1e-9
    floors = level[:, None] * torch.tensor(RIDGES, dtype=X.dtype) + 1e-9
    return {
        "mean": mean,
        "n": n.to(X.dtype),
        "axes": axes,
        "axes.scatter": scatter,
        "axes.floor": floors,
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


def precise(X: Tensor, state: State, i: int) -> Tensor:
    """Return rows (T, R, d) times the precision of ridge i."""
    floor = 1 / state["axes.floor"][:, i, None, None]
    along = 1 / (state["axes.scatter"] + state["axes.floor"][:, i, None])
    z = (X @ state["axes"].mT) * (along[:, None] - floor)
    return z @ state["axes"] + floor * X


def mahalanobis(X: Tensor, own: Tensor, state: State) -> tuple[list[Tensor], Tensor]:
    """Return squared distances (T, R), one per ridge, and rows away from the mean.

    Rows of the support are judged as if they were not in it (Sherman-Morrison).
    """
    left = (own >= 0).to(X.dtype)
    n = state["n"]
    # Leaving a row out moves the mean away from it.
    away = (X - state["mean"][:, None]) * (1 + left / (n - 1).clamp_min(1.0))[..., None]
    along = (away @ state["axes"].mT).square()
    rest = (away.square().sum(-1) - along.sum(-1)).clamp_min(0.0)
    found = []
    for floor in state["axes.floor"].unbind(-1):
        weight = 1 / (state["axes.scatter"] + floor[:, None])
        q = (along @ weight[..., None])[..., 0] + rest / floor[:, None]
        found.append(q * left_out(q, left, n))
    return found, away


def left_out(q: Tensor, left: Tensor, n: Tensor) -> Tensor:
    """Return what a distance grows by when the row itself is left out."""
    share = (1 - 1 / n).clamp_min(0.5)
    return 1 / (1 - left * (q * share).clamp_max(0.999))


def partial_residuals(away: Tensor, own: Tensor, state: State) -> Tensor:
    """Return each column's squared residual given the others, in its own spread."""
    left = (own >= 0).to(away.dtype)
    moved = precise(away, state, 1)
    gain = left_out((moved * away).sum(-1), left, state["n"])[..., None]
    floor = state["axes.floor"][:, 1, None]
    weight = 1 / (state["axes.scatter"] + floor) - 1 / floor
    diagonal = torch.einsum("trd,tr->td", state["axes"].square(), weight)
    diagonal = (diagonal + 1 / floor)[:, None] + left[..., None] * moved.square() * gain
    return (moved * gain).square() / diagonal * state["n"][..., None]
