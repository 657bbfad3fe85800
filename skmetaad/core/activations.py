"""Activations, and their derivatives for gradients that are written out."""

from collections.abc import Callable

import torch
from torch import Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "silu": torch.nn.functional.silu,
}


def slope_of(activation: str, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return what `sloped` takes, and the second derivative if there is one.

    y is the activation of z.
    """
    if activation == "relu":
        return y, None
    if activation == "tanh":
        slope = 1.0 - y * y
        return slope, -2.0 * y * slope
    gate = torch.sigmoid(z)  # of "silu"
    bend = gate * (1.0 - gate)
    return gate + z * bend, bend * (2.0 + z * (1.0 - 2.0 * gate))


def sloped(activation: str, gradient: Tensor, slope: Tensor) -> Tensor:
    """Return a gradient times the activation's slope."""
    if activation == "relu":
        return torch.ops.aten.threshold_backward(gradient, slope, 0)
    return gradient * slope
