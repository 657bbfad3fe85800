"""Scaling learned over a fleet and shrunk to each task (empirical Bayes)."""

import numpy as np
import torch
from torch import Tensor

from skmetaad.core.nets import Params

# For how many rows the variance within the fleet's tasks counts.
STRENGTH = 10.0
# Deviations beyond which rows are squashed.
LIMIT = 8.0


def fleet_moments(
    X: np.ndarray, y: np.ndarray | None, code: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the fleet's center and its variances per feature: total, within, between.

    Every task counts the same, whatever its number of rows; rows labelled as outliers
    do not count. Features without any spread get a variance of one.
    """
    if y is not None:
        X, code = X[y != -1], code[y != -1]
    X = X.astype(np.float64, copy=False)
    _, code = np.unique(code, return_inverse=True)
    n = np.bincount(code).astype(np.float64)
    overall = X.mean(axis=0)
    total = _sum_by(X - overall, code, len(n))
    mean = total / n[:, None]
    square = _sum_by((X - overall - mean[code]) ** 2, code, len(n))
    enough = n > 1
    if enough.any():
        within = (square[enough] / (n[enough, None] - 1)).mean(axis=0)
    else:
        within = np.zeros(X.shape[1])
    between = mean.var(axis=0)
    spread = within + between
    # What rounding leaves of a constant feature, as scikit-learn's scalers bound it.
    flat = spread <= (len(X) * np.finfo(np.float64).eps * overall) ** 2
    # A feature that is constant inside every task, but for what single precision leaves
    # of it, still gets a small within-task variance, so that a departure counts without
    # deciding all on its own.
    constant = within <= 1e-12 * spread
    within = np.where(flat, 1.0, np.where(constant, 1e-2 * spread, within))
    return {
        "center": overall + mean.mean(axis=0),
        "total": np.where(flat, 1.0, spread),
        "within": within,
        "between": np.where(flat, 1.0, np.maximum(between, 1e-2 * spread)),
    }


def _sum_by(X: np.ndarray, code: np.ndarray, n_groups: int) -> np.ndarray:
    order = np.argsort(code, kind="stable")
    start = np.searchsorted(code[order], np.arange(n_groups))
    return np.add.reduceat(X[order], start, axis=0)


def task_moments(
    moments: Params, support: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Return each task's mean and deviation, (T, 1, d), shrunk to the fleet's.

    With K weighted rows centered on the fleet, within-task variance w and between-task
    variance b, the mean is the posterior mean of a normal model,
    :math:`(\sum x / w) / (K / w + 1 / b)`, and the variance
    :math:`(\nu w + \sum (x - m)^2) / (\nu + K)` with :math:`\nu` = STRENGTH.
    """
    weight = weight.unsqueeze(-1)
    n = weight.sum(dim=1, keepdim=True)
    total = (support * weight).sum(dim=1, keepdim=True)
    mean = total / (n + moments["within"] / moments["between"])
    square = ((support - mean) ** 2 * weight).sum(dim=1, keepdim=True)
    variance = (STRENGTH * moments["within"] + square) / (STRENGTH + n)
    return mean, variance.sqrt()


def task_scaling(
    params: Params, support: Tensor, inlier: Tensor, standardize: bool
) -> Params:
    """Return what `as_seen` takes of each task: nothing without `standardize`."""
    if not standardize:
        return {}
    mean, scale = task_moments(params, support, inlier.to(support.dtype))
    return {"mean": mean, "scale": scale}


def as_seen(params: Params, state: Params, x: Tensor, standardize: bool) -> Tensor:
    """Return rows (T, R, d) in a task's own units, or in one unit for all features."""
    if standardize:
        return squash((x - state["mean"]) / state["scale"])
    return x * params["row_scale"]


def squash(z: Tensor) -> Tensor:
    """Leave |z| <= LIMIT as it is and let what lies beyond grow logarithmically."""
    if not (z.detach().abs() > LIMIT).any():  # as with most rows; asinh takes long
        return z
    inside = z.clamp(-LIMIT, LIMIT)
    return inside + torch.asinh(z - inside)


def row_unit(params: Params) -> Tensor:
    """Return what brings features to one unit, and distances to that of one feature."""
    return params["row_scale"] / len(params["row_scale"]) ** 0.5
