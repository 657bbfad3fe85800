"""Task-batched layers: parameters are tensors in a dict, shared or one per task."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize

from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.forms import Form, applied

Params = dict[str, Tensor]
# Begin the names of a network's parameters, and of those that make scores of it.
NETWORK = "net."
HEAD = "head."
# Stands for the squared distance to what is not there: no legal rows are so far apart.
FAR = 1e30


def under(params: Params, prefix: str) -> Params:
    """Return the parameters whose names begin with prefix, by the rest of these."""
    return {
        name.removeprefix(prefix): value
        for name, value in params.items()
        if name.startswith(prefix)
    }


def init_mlp(
    sizes: Sequence[int], generator: torch.Generator, *, prefix: str = "", gain=1.0
) -> Params:
    """Draw weights (in, out) by He's rule and zero biases for a dense network.

    `gain` scales the last layer: a small one starts the network near zero.
    """
    params = {}
    last = len(sizes) - 2
    for i, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        scale = (2.0 / n_in) ** 0.5 if i < last else gain * (1.0 / n_in) ** 0.5
        weight = torch.randn(n_in, n_out, generator=generator) * scale
        params[f"{prefix}weight{i}"] = weight
        params[f"{prefix}bias{i}"] = torch.zeros(n_out)
    return params


def mlp(
    params: Mapping[str, Tensor | Form],
    x: Tensor,
    n_layers: int,
    *,
    prefix: str = "",
    activation: str = "relu",
    first: int = 0,
) -> Tensor:
    """Apply the layers from `first` to `n_layers` of a dense network to x (T, R, in).

    Weights of shape (in, out) are shared by all tasks; of shape (T, in, out) they
    belong to one task each. Those of the last layers may be `forms`.
    """
    act = ACTIVATIONS[activation]
    for i in range(first, n_layers):
        weight, bias = params[f"{prefix}weight{i}"], params[f"{prefix}bias{i}"]
        if not isinstance(weight, Tensor):
            names = [
                (f"{prefix}weight{k}", f"{prefix}bias{k}") for k in range(i, n_layers)
            ]
            layers = [(params[weight], params[bias]) for weight, bias in names]
            return applied(x, layers, activation)
        x = affine(x, weight, bias)
        if i < n_layers - 1:
            x = act(x)
    return x


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W + b for shared (in, out) or per-task (T, in, out) weights."""
    if weight.dim() == 2:
        return torch.nn.functional.linear(x, weight.t(), bias)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight)


def each_task(value: Tensor, n_tasks: int, n_axes: int) -> Tensor:
    """Return a parameter (T, ...) of each task, from a shared or a per-task one."""
    return value.expand(n_tasks, *value.shape[-n_axes:])


def directions(embedded: Tensor, constant: Tensor | float) -> Tensor:
    """Return embeddings (T, R, e + 1) with a constant appended, of length one.

    Where rows are scaled by their task, inliers lie around zero, in any direction.
    """
    height = embedded.new_ones(*embedded.shape[:2], 1) * constant
    return normalize(torch.cat([embedded, height], dim=2), dim=2)


def sq_distances(a: Tensor, b: Tensor, center: Tensor | None = None) -> Tensor:
    """Return squared Euclidean distances (T, R, P) of a (T, R, e) to b (T, P, e).

    They are exact enough near the center (T, 1, e), by default the mean of b.
    """
    if center is None:
        center = b.mean(dim=1, keepdim=True)
    a, b = a - center, b - center
    cross = torch.baddbmm(
        (b * b).sum(-1).unsqueeze(1), a, b.transpose(1, 2), beta=1.0, alpha=-2.0
    )
    return (cross + (a * a).sum(-1, keepdim=True)).clamp_min(0.0)


def nearest(d: Tensor, mask: Tensor, n_neighbors: int = 1) -> Tensor:
    """Return the mean of the smallest distances d (T, R, K) in mask, (T, R).

    mask is (T, K), or (T, R, K); fewer neighbours are counted where it has fewer.
    """
    mask = mask if mask.dim() == 3 else mask.unsqueeze(1)
    d = d.masked_fill(~mask, FAR)
    if n_neighbors == 1 or d.shape[2] == 1:
        return d.amin(dim=2)
    small = d.topk(min(n_neighbors, d.shape[2]), dim=2, largest=False).values
    k = mask.sum(dim=2, keepdim=True).clamp(1, small.shape[2])
    counted = torch.arange(small.shape[2]) < k
    return (small * counted).sum(dim=2) / k.squeeze(2)


def weighted_mean(x: Tensor, share: Tensor) -> Tensor:
    """Return means (T, k, e) of x (T, K, e) under weights (T, k, K); zero of none."""
    return share @ x / share.sum(dim=2, keepdim=True).clamp_min(1e-12)


def mean_of(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean (T, 1, e) of the rows x (T, K, e) in mask; zero of none."""
    return weighted_mean(x, mask.to(x.dtype).unsqueeze(1))
