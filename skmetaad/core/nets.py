"""Task-batched layers: parameters are tensors in a dict, shared or one per task."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Params = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "identity": lambda x: x,
}


def back(activation: str, gradient: Tensor, x: Tensor) -> Tensor:
    """Return the gradient at x from that at the activation of x."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, x, 0)
    if activation == "tanh":
        return torch.ops.aten.tanh_backward(gradient, torch.tanh(x))
    gate = torch.sigmoid(x)  # silu's own backward cannot be differentiated again
    return gradient * (gate + x * gate * (1.0 - gate))


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
    params: Params,
    x: Tensor,
    n_layers: int,
    *,
    prefix: str = "",
    activation: str = "relu",
    first: int = 0,
) -> Tensor:
    """Apply the layers from `first` to `n_layers` of a dense network to x (T, R, in).

    Weights of shape (in, out) are shared by all tasks; of shape (T, in, out) they
    belong to one task each.
    """
    act = ACTIVATIONS[activation]
    for i in range(first, n_layers):
        weight, bias = params[f"{prefix}weight{i}"], params[f"{prefix}bias{i}"]
        x = affine(x, weight, bias)
        if i < n_layers - 1:
            x = act(x)
    return x


class LowRank(NamedTuple):
    """Weights W - A^T D of each task: W (in, out), A (T, r, in), D (T, r, out)."""

    weight: Tensor
    left: Tensor
    right: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """Return x (W - A^T D) for x (T, R, in)."""
        return torch.baddbmm(x @ self.weight, x @ self.left.mT, self.right, alpha=-1.0)

    def apply_transposed(self, x: Tensor) -> Tensor:
        """Return x (W - A^T D)^T for x (T, R, out)."""
        return torch.baddbmm(
            x @ self.weight.t(), x @ self.right.mT, self.left, alpha=-1.0
        )

    def dense(self) -> Tensor:
        """Return the weights themselves, (T, in, out)."""
        whole = self.weight.expand(len(self.left), -1, -1)
        return torch.baddbmm(whole, self.left.mT, self.right, alpha=-1.0)


def affine(x: Tensor, weight: Tensor | LowRank, bias: Tensor) -> Tensor:
    """Return x W + b for shared (in, out) or per-task (T, in, out) weights."""
    if isinstance(weight, LowRank):
        return weight.apply(x) + bias.unsqueeze(-2)
    if weight.dim() == 2:
        return torch.nn.functional.linear(x, weight.t(), bias)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight)


def each_task(value: Tensor, n_tasks: int, n_axes: int) -> Tensor:
    """Return a parameter (T, ...) of each task, from a shared or a per-task one."""
    return value.expand(n_tasks, *value.shape[-n_axes:])


def sq_distances(a: Tensor, b: Tensor) -> Tensor:
    """Return squared Euclidean distances (T, R, P) of a (T, R, e) to b (T, P, e)."""
    # Centring first keeps the expanded form exact enough for far-off data.
    center = b.mean(dim=1, keepdim=True)
    a, b = a - center, b - center
    cross = torch.baddbmm(
        (b * b).sum(-1).unsqueeze(1), a, b.transpose(1, 2), beta=1.0, alpha=-2.0
    )
    return (cross + (a * a).sum(-1, keepdim=True)).clamp_min(0.0)
