"""Products with matrices that all tasks share.

Torch multiplies matrices of single precision by MKL, which on some processors uses half
of the vector unit's width: on an AMD EPYC of 2024, oneDNN, which comes with torch too,
takes 0.45 times as long.
"""

import torch
from torch import Tensor

# Smaller products, by multiplications, gain less than a call costs.
WORTHWHILE = 2**21


def product(x: Tensor, weight: Tensor, start: Tensor | None = None) -> Tensor:
    """Return x W, or start + x W, for x (..., in) and W (in, out)."""
    rows = x.reshape(-1, x.shape[-1])
    if start is not None:
        start = start.reshape(-1, weight.shape[1])
    if _by_onednn(rows, weight):
        found = _Product.apply(rows, weight, start)
    elif start is None:
        found = rows @ weight
    else:
        found = torch.addmm(start, rows, weight)
    return found.view(*x.shape[:-1], weight.shape[1])


def _by_onednn(rows: Tensor, weight: Tensor) -> bool:
    return (
        _HAS_ONEDNN
        and rows.dtype == weight.dtype == torch.float32
        and rows.device.type == "cpu"
        and len(rows) * weight.numel() >= WORTHWHILE
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, rows, weight, start):
        ctx.save_for_backward(rows, weight)
        return _multiply(rows, weight, start)

    @staticmethod
    def backward(ctx, gradient):
        rows, weight = ctx.saved_tensors
        at_rows, at_weight, at_start = ctx.needs_input_grad
        return (
            product(gradient, weight.t()) if at_rows else None,
            outer_product(rows, gradient) if at_weight else None,
            gradient if at_start else None,
        )


def outer_product(a: Tensor, b: Tensor) -> Tensor:
    """Return A^T B for a (R, m) and b (R, n), with the longer side last inside."""
    if a.shape[1] > b.shape[1]:
        return product(b.t(), a).t()
    return product(a.t(), b)


def _multiply(rows: Tensor, weight: Tensor, start: Tensor | None) -> Tensor:
    linear = torch.ops.mkldnn._linear_pointwise
    if start is None:
        return linear(rows, weight.t(), None, "none", [], "")
    return linear.binary(rows, start, weight.t(), None, "add")


def _found_out() -> bool:
    """Whether this torch has oneDNN's product; it is no public part of torch."""
    if not torch.backends.mkldnn.is_available():
        return False
    one = torch.ones(1, 1)
    try:
        return torch.equal(_multiply(one, one, one), one + one)
    except (AttributeError, RuntimeError, TypeError):
        return False


_HAS_ONEDNN = _found_out()
