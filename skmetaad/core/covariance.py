"""Mahalanobis distances and partial residuals, each row left out of its own."""

import torch
from torch import Tensor

from skmetaad.core.evidence import State

RIDGES = (1e-3, 0.1, 1.0)


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
