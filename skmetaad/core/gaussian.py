r"""Distances under a task's own covariance, shrunk to the fleet's (empirical Bayes).

With the fleet's within-task covariance W, which counts as :math:`\nu` rows, and K
support rows of mean m, a task's covariance is
:math:`(\nu W + \sum (x - m)(x - m)^T) / (\nu + K)`. Rows are whitened by W once; what
is left to invert is of the support's size (Woodbury), never of the columns'.
"""

import torch
from torch import Tensor

from skmetaad.core.nets import Params, nearest, sq_distances
from skmetaad.core.scaling import row_unit

# The rows that the fleet's covariance counts for.
NU = 1.0
# The part of the fleet's covariance that is the same in all directions.
RIDGE = 0.1
# The share of all variance that rounding may make of none inside tasks.
ROUNDING = 1e-12
# Beyond so many columns only that part is kept: a square of them would be too large.
WIDEST = 1024


def fleet_whitening(rows: Tensor, code: Tensor) -> Tensor:
    """Return A with A A^T = W^-1, W the ridged within-task covariance of rows.

    Every task counts the same, whatever its number of rows (n, d). A is one number
    where rows are wide.
    """
    d = rows.shape[1]
    rows = rows.double()
    n = torch.bincount(code)
    mean = rows.new_zeros(len(n), d).index_add_(0, code, rows) / n[:, None].clamp_min(1)
    rows = (rows - mean[code]) * (n - 1).clamp_min(1).double().rsqrt()[code, None]
    rows = rows / (n > 1).sum().clamp_min(1).float().sqrt()
    # Rows come in units in which columns have variance 1 / d on average: tasks without
    # any spread of their own still tell small departures from large ones.
    level = rows.square().sum() / d
    level = torch.where(level > ROUNDING / d, level, 1e-2 / d)
    if d > WIDEST:
        return level.rsqrt()
    eye = torch.eye(d, dtype=rows.dtype)
    W = (1 - RIDGE) * (rows.mT @ rows) + RIDGE * level * eye
    lower = torch.linalg.cholesky(W)
    return torch.linalg.solve_triangular(lower, eye, upper=False).mT.contiguous()


def whitened(whitening: Tensor, x: Tensor) -> Tensor:
    return x @ whitening if whitening.dim() == 2 else x * whitening


def fit_gaussian(whitening: Tensor, rows: Tensor, inlier: Tensor) -> Params:
    """Return mean and directions of each task's inliers among its rows (T, K, d).

    Directions are in double precision: distances are what they leave of a row.
    `gauss.own` has the inliers' squared distances per column when each is left out of
    mean and covariance, (T, K).
    """
    mask = inlier.to(rows.dtype).unsqueeze(-1)
    n = mask.sum(dim=1, keepdim=True).clamp_min(1)
    mean = (rows * mask).sum(dim=1, keepdim=True) / n
    z = (whitened(whitening, rows - mean) * mask).double()
    gram = z @ z.mT
    size = gram.diagonal(dim1=1, dim2=2)
    # The least that a factor can tell from rounding.
    ridge = NU + 1e-12 * size.sum(dim=1, keepdim=True).unsqueeze(-1)
    eye = torch.eye(gram.shape[1], dtype=gram.dtype)
    lower = torch.linalg.cholesky_ex(gram + ridge * eye).L
    inverse = torch.linalg.solve_triangular(lower, eye.expand_as(lower), upper=False)
    precision = inverse.square().sum(dim=1)
    own = _left_out(precision, size, n.squeeze(-1).double(), ridge.squeeze(-1))
    return {
        "gauss.mean": mean,
        "gauss.directions": inverse @ z,
        "gauss.own": (own / rows.shape[2]).to(rows.dtype),
    }


def _left_out(precision: Tensor, size: Tensor, n: Tensor, ridge: Tensor) -> Tensor:
    # Sherman-Morrison for the row's part in the covariance. That part includes what
    # the row has moved the mean by, and both make up the factor n / (n - 1).
    others = (n - 1).clamp_min(1)
    rest = (precision - 1 / (ridge * n)).clamp_min(1e-30)
    squared = (1 - ridge * precision) * n / (others * rest)
    # What it is if the others span nothing; rounding decides beyond.
    most = size * (n / others).square()
    return squared.clamp_min(0.0).minimum(most) * (1 + others / NU)


def gaussian_distances(
    whitening: Tensor, state: Params, n: Tensor, query: Tensor
) -> Tensor:
    """Return the squared distances (T, R) per column of rows to tasks of n inliers."""
    z = whitened(whitening, query - state["gauss.mean"]).double()
    along = z @ state["gauss.directions"].mT
    rest = z.square().sum(dim=2) - along.square().sum(dim=2)
    scale = (1 + n.clamp_min(1).float() / NU) / z.shape[2]
    return (rest.clamp_min(0.0) * scale.unsqueeze(1)).to(query.dtype)


def described_rows(params: Params, support: Tensor, inlier: Tensor) -> Params:
    """Return a support's rows in one unit, and mean and directions of its inliers."""
    rows = support * row_unit(params)
    return {"rows": rows} | fit_gaussian(params["gauss.whitening"], rows, inlier)


def row_distances(
    params: Params, state: Params, query: Tensor, n_neighbors: int = 1
) -> list[Tensor]:
    """Return squared distances (T, R) to the nearest support rows and their mean."""
    x, inlier = query * row_unit(params), state["inlier"]
    to_rows = sq_distances(x, state["rows"], state["gauss.mean"])
    return [
        nearest(to_rows, inlier, n_neighbors),
        gaussian_distances(params["gauss.whitening"], state, inlier.sum(dim=1), x),
    ]
