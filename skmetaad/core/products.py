"""Products with matrices that all tasks share.

Torch multiplies matrices of single precision by MKL, which on some processors uses half
of the vector unit's width: on an AMD EPYC of 2024, oneDNN, which comes with torch too,
takes about half as long.
"""

import torch
from torch import Tensor

# Smaller products, by multiplications, gain less than a call costs.
WORTHWHILE = 2_500_000


def product(x: Tensor, weight: Tensor) -> Tensor:
    """Return x W for x (..., in) and W (in, out); can be differentiated once."""
    if _by_onednn(x, weight) and (x.requires_grad or weight.requires_grad):
        return _Product.apply(x, weight)
    return multiply(x, weight)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return multiply(x, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        at_x, at_weight = ctx.needs_input_grad
        return (
            multiply(gradient, weight.t()) if at_x else None,
            outer_product(x, gradient) if at_weight else None,
        )


def multiply(x: Tensor, weight: Tensor, start: Tensor | None = None) -> Tensor:
    """Return x W, or start + x W, without a gradient."""
    fast = _by_onednn(x, weight)
    if start is None and not fast:
        return x @ weight
    rows = x.reshape(-1, x.shape[-1])
    if start is not None:
        start = start.view(-1, weight.shape[1])
    found = _onednn(rows, weight, start) if fast else torch.addmm(start, rows, weight)
    return found.view(*x.shape[:-1], weight.shape[1])


def outer_product(a: Tensor, b: Tensor) -> Tensor:
    """Return A^T B, summed over all but the last axis, without a gradient."""
    a, b = a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])
    if a.shape[1] > b.shape[1]:  # oneDNN is faster with the wide matrix last
        return multiply(b.t(), a).t()
    return multiply(a.t(), b)


def _onednn(rows: Tensor, weight: Tensor, start: Tensor | None) -> Tensor:
    linear = torch.ops.mkldnn._linear_pointwise
    if start is None:
        return linear(rows, weight.t(), None, "none", [], "")
    return linear.binary(rows, start, weight.t(), None, "add")


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        HAS_ONEDNN
        and x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.numel() * weight.shape[1] >= WORTHWHILE
    )


def _has_onednn() -> bool:
    """Whether this torch has oneDNN's product; it is no public part of torch."""
    if not torch.backends.mkldnn.is_available():
        return False
    one = torch.ones(1, 1)
    try:
        return torch.equal(_onednn(one, one, one), one + one)
    except (AttributeError, RuntimeError, TypeError):
        return False


HAS_ONEDNN = _has_onednn()
