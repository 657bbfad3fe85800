"""Task-batched layers: parameters are tensors in a dict, shared or one per task."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from skmetaad.core.products import product

Params = dict[str, Tensor]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
    "identity": lambda x: x,
}


def slope_of(
    activation: str, z: Tensor, y: Tensor
) -> tuple[Tensor | None, Tensor | None]:
    """Return what `sloped` takes, and the second derivative if there is one.

    y is the activation of z.
    """
    if activation == "relu":
        return y, None
    if activation == "tanh":
        slope = 1.0 - y * y
        return slope, -2.0 * y * slope
    if activation == "silu":
        gate = torch.sigmoid(z)
        bend = gate * (1.0 - gate)
        return gate + z * bend, bend * (2.0 + z * (1.0 - 2.0 * gate))
    return torch.ones_like(z), None


def sloped(activation: str, gradient: Tensor, slope: Tensor) -> Tensor:
    """Return a gradient times the activation's slope."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, slope, 0)
    return gradient * slope


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
    """Weights W + A^T D of each task: W (in, out), A (T, r, in), D (T, r, out)."""

    weight: Tensor
    left: Tensor
    right: Tensor

    def affine(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return x (W + A^T D) + b for x (T, R, in) and b (T, out)."""
        small = torch.baddbmm(bias.unsqueeze(1), torch.bmm(x, self.left.mT), self.right)
        return product(x, self.weight, small)

    def dense(self) -> Tensor:
        """Return the weights themselves, (T, in, out)."""
        whole = self.weight.expand(len(self.left), -1, -1)
        return torch.baddbmm(whole, self.left.mT, self.right)


class Spanned(NamedTuple):
    """Weights E Z of each task: E (T, in, m), and Z of shared and of own rows."""

    coef: Tensor
    shared: Tensor
    own: Tensor

    def affine(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return x E Z + b for x (T, R, in) and b (T, out)."""
        shared, own = self._parts(torch.bmm(x, self.coef))
        small = torch.baddbmm(bias.unsqueeze(1), own, self.own)
        return product(shared, self.shared, small)

    def dense(self) -> Tensor:
        """Return the weights themselves, (T, in, out)."""
        shared, own = self._parts(self.coef)
        return product(shared, self.shared, torch.bmm(own, self.own))

    def _parts(self, coef: Tensor) -> tuple[Tensor, Tensor]:
        n = len(self.shared)
        return coef[:, :, :n], coef[:, :, n:]


Net = dict[str, Tensor | LowRank | Spanned]


def whole(net: Net) -> Params:
    """Return a network all of whose weights are tensors."""
    return {k: v if isinstance(v, Tensor) else v.dense() for k, v in net.items()}


def detached(net: Net) -> Net:
    """Return a network through which no gradient passes."""
    return {
        name: value.detach()
        if isinstance(value, Tensor)
        else type(value)(*[part.detach() for part in value])
        for name, value in net.items()
    }


def affine(x: Tensor, weight: Tensor | LowRank | Spanned, bias: Tensor) -> Tensor:
    """Return x W + b for shared (in, out) or per-task (T, in, out) weights."""
    if not isinstance(weight, Tensor):
        return weight.affine(x, bias)
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
