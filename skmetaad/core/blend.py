"""How much each part of a score counts, learned on tasks that the parts did not see."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skmetaad.core.nets import Params

START = -1.5
# How strongly weights are pulled to equal ones.
TO_EQUAL = 0.003
# Gain in AUROC from which one part alone is taken.
CLEARLY = 0.002
# Smallest distance told apart from zero, in units of a typical one.
FLOOR = 0.05
# Steps of learning the weights, and pairs of an outlier and an inlier per episode.
N_STEPS, N_PAIRS = 150, 24
# How strongly the logistic regression is pulled to its start.
PULL = 1e-3


def log_distances(squared: list[Tensor]) -> Tensor:
    """Return the logarithms (T, R, C) of distances, smooth at zero.

    There rounding would decide about the distance itself.
    """
    return 0.5 * (torch.stack(squared, dim=-1) + FLOOR**2).log()


def log_odds(params: Params, evidence: Tensor, n_support: Tensor) -> Tensor:
    """Return the log-odds of an inlier (T, R) for supports of so many inliers."""
    weight, bias = weights(params, n_support.to(evidence.dtype))
    weight = (weight / params["blend.scale"]).unsqueeze(-1)
    offset = bias.unsqueeze(1) + (params["blend.center"] @ weight)
    return offset - (evidence @ weight).squeeze(-1)


def weights(params: Params, n_support: Tensor) -> tuple[Tensor, Tensor]:
    """Return each part's weight (T, C) and the bias (T,) for supports of given size."""
    k = _shots(n_support).unsqueeze(-1)
    weight = softplus(params["blend.weight"] + params["blend.shots"] * k)
    bias = params["blend.bias"]
    return weight, bias[0] + bias[1] * k.squeeze(-1)


def _shots(n_support: Tensor) -> Tensor:
    """Return the logarithm of support sizes in units that are small for usual ones."""
    return n_support.log() / 4 - 0.5


def fit_blend(evidence: Tensor, y: Tensor, n_support: Tensor, learn: bool) -> Params:
    """Learn the weights of the parts from episodes of tasks the networks did not see.

    evidence (B, Q, C), y (B, Q) in {-1, +1}, n_support (B,). The last of C parts,
    where a support has labelled outliers, is never used alone. The weights minimise the
    separation of outliers from inliers, with a pull towards equal weights. The blend is
    kept unless some part by itself ranks these episodes clearly better. Without `learn`
    the weights stay equal. At last slope and bias are set so that scores are log-odds.
    """
    inlier = y == 1
    own = evidence[inlier]
    center, scale = own.mean(dim=0), own.std(dim=0).clamp_min(1e-3)
    # The margin to labelled outliers is zero for most rows: it keeps its own unit.
    center[-1], scale[-1] = 0.0, 1.0
    z = (evidence - center) / scale
    n_parts = evidence.shape[-1]
    start = {
        "blend.weight": torch.full((n_parts,), START, dtype=z.dtype),
        "blend.shots": torch.zeros(n_parts, dtype=z.dtype),
        "blend.bias": torch.zeros(2, dtype=z.dtype),
    }
    params = _learned_weights(start, z, y, n_support) if learn else start
    best = _rank(params, z, y, n_support)
    for part in range(n_parts - 1 if learn else 0):
        alone = _alone(params, part)
        now = _rank(alone, z, y, n_support)
        if now > best + CLEARLY:
            best, params = now, alone
    slope, params["blend.bias"] = _calibrated(params, z, y, n_support)
    return params | {"blend.center": center, "blend.scale": scale / slope}


def _alone(params: Params, part: int) -> Params:
    """Return parameters with one part, and the last, alone."""
    weight = torch.full_like(params["blend.weight"], -30.0)
    weight[part] = 0.5413  # softplus(0.5413) = 1
    weight[-1] = params["blend.weight"][-1]
    shots = torch.zeros_like(params["blend.shots"])
    return {**params, "blend.weight": weight, "blend.shots": shots}


def _total(params: Params, z: Tensor, n_support: Tensor) -> Tensor:
    weight, _ = weights(params, n_support)
    return (z @ weight.unsqueeze(-1)).squeeze(-1)


def _learned_weights(params: Params, z: Tensor, y: Tensor, n_support: Tensor) -> Params:
    learned = {name: value.clone() for name, value in params.items()}
    optimizer = torch.optim.Adam(learned.values(), lr=0.1, fused=True)
    pairs = _paired(z, y)
    for _ in range(N_STEPS):
        for name, gradient in _gradients(learned, pairs, n_support).items():
            learned[name].grad = gradient
        optimizer.step()
    return learned


def _paired(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Draw outliers and inliers (B, N_PAIRS, C) of each episode, with repetition."""
    g = torch.Generator().manual_seed(0)
    picks = []
    for label in (-1, 1):
        share = (y == label).to(torch.float64).cpu() + 1e-12  # as the generator is
        index = torch.multinomial(share, N_PAIRS, replacement=True, generator=g)
        index = index.to(z.device)
        picks.append(torch.gather(z, 1, index.unsqueeze(-1).expand(-1, -1, z.shape[2])))
    return picks[0], picks[1]


def _gradients(
    params: Params, pairs: tuple[Tensor, Tensor], n_support: Tensor
) -> Params:
    r"""Return the gradients of what is minimised, written out since steps are many.

    It is the mean over pairs of outliers o and inliers i of the logistic losses of
    their rank and of their log-odds beside the level l, with the pull,

    .. math::
        \tfrac12 \sigma_+(i - o) + \tfrac14 (\sigma_+(i - l) + \sigma_+(l - o))
        + 0.003 (|w - w_0|^2 + |s|^2),

    where :math:`\sigma_+` is softplus, and a part weighs
    :math:`\sigma_+(w + s k)` in o and i, and l is :math:`b_0 + b_1 k`.
    """
    (z_out, z_in), (b0, b1) = pairs, params["blend.bias"]
    k = _shots(n_support.to(z_out.dtype))
    raw = torch.addcmul(params["blend.weight"], k.unsqueeze(1), params["blend.shots"])
    weight = softplus(raw).unsqueeze(2)
    level = (b0 + b1 * k).unsqueeze(1)
    o, i = (z_out @ weight).squeeze(2), (z_in @ weight).squeeze(2)
    rank, high, low = torch.sigmoid(torch.stack([i - o, i - level, level - o])) / 4
    at_out, at_in = -2 * rank - low, 2 * rank + high
    at_weight = (at_out.unsqueeze(1) @ z_out + at_in.unsqueeze(1) @ z_in).squeeze(1)
    at_raw = at_weight * torch.sigmoid(raw) / o.numel()
    at_level = (low - high).sum(dim=1) / o.numel()
    away, pull = params["blend.weight"] - START, 2 * TO_EQUAL
    return {
        "blend.weight": at_raw.sum(dim=0) + pull * away,
        "blend.shots": k @ at_raw + pull * params["blend.shots"],
        "blend.bias": torch.stack([at_level.sum(), k @ at_level]),
    }


def _rank(params: Params, z: Tensor, y: Tensor, n_support: Tensor) -> float:
    """Return the mean AUROC over episodes, ties counting half.

    All episodes have as many outliers.
    """
    total = _total(params, z, n_support)
    outlier, inlier = (total[y == label].view(len(y), -1) for label in (-1, 1))
    lead = (outlier.unsqueeze(2) - inlier.unsqueeze(1)).sign()
    return float(0.5 + 0.5 * lead.mean())


def _calibrated(
    params: Params, z: Tensor, y: Tensor, n_support: Tensor
) -> tuple[Tensor, Tensor]:
    """Return slope and bias (at no and per unit of shots) of a logistic regression."""
    total = _total(params, z, n_support)
    k = _shots(n_support).unsqueeze(1).expand_as(total)
    x = torch.stack([torch.ones_like(total), k, -total], dim=-1).flatten(0, 1)
    start = torch.tensor([0.0, 0.0, 1.0], dtype=x.dtype)
    beta = _logistic(x, (y.flatten() == 1).to(x.dtype), start)
    # Higher evidence must stay more abnormal, whatever the episodes say.
    return beta[2].clamp_min(0.05), beta[:2]


def _logistic(x: Tensor, target: Tensor, start: Tensor) -> Tensor:
    """Return the logistic regression of target (n,) on x (n, p), pulled to start.

    By Newton's method, whose steps are halved until the loss falls.
    """

    def loss_of(beta: Tensor) -> Tensor:
        z = x @ beta
        loss = (softplus(z) - target * z).mean()
        return loss + 0.5 * PULL * (beta - start).square().sum()

    eye = torch.eye(len(start), dtype=x.dtype)
    beta, loss = start, loss_of(start)
    for _ in range(25):
        p = torch.sigmoid(x @ beta)
        gradient = x.t() @ (p - target) / len(x) + PULL * (beta - start)
        hessian = x.t() @ (x * (p * (1 - p)).unsqueeze(1)) / len(x) + PULL * eye
        step = torch.linalg.solve(hessian, gradient)
        # Where outliers are far off, a full step may lead away from the minimum.
        while (now := loss_of(beta - step)) > loss and step.abs().max() > 1e-9:
            step = step / 2
        if loss - now < 1e-12:
            break
        beta, loss = beta - step, now
    return beta
