"""Forms of adapted layers' weights, and the networks made of them.

What each task has of its own are the tensors with a leading task axis. A network of
such layers is one node in autograd's graph; it can be differentiated once.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skmetaad.core.activations import ACTIVATIONS, slope_of, sloped
from skmetaad.core.products import multiply, outer_product

Wanted = Sequence[bool]  # which gradients are asked for
Found = tuple[Tensor | None, tuple[Tensor | None, ...]]  # those at rows, and at parts


class Own(NamedTuple):
    """Weights (T, in, out) of each task."""

    weight: Tensor

    @staticmethod
    def affine(x: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, None]:
        return torch.baddbmm(bias.unsqueeze(1), x, weight), None

    @staticmethod
    def back(g: Tensor, x: Tensor, _, wanted: Wanted, weight: Tensor, bias) -> Found:
        at_x = torch.bmm(g, weight.mT) if wanted[0] else None
        return at_x, (torch.bmm(x.mT, g), g.sum(dim=1))

    def dense(self) -> Tensor:
        return self.weight


class LowRank(NamedTuple):
    """Weights W + A^T D of each task: W (in, out), A (T, r, in), D (T, r, out)."""

    weight: Tensor
    left: Tensor
    right: Tensor

    @staticmethod
    def affine(
        x: Tensor, weight: Tensor, left: Tensor, right: Tensor, bias: Tensor
    ) -> tuple[Tensor, Tensor]:
        inside = _transposed(left, x)
        z = torch.baddbmm(bias.unsqueeze(1), inside, right)
        return multiply(x, weight, z), inside

    @staticmethod
    def back(
        g: Tensor, x: Tensor, inside: Tensor, wanted: Wanted, weight, left, right, bias
    ) -> Found:
        at_x, at_left, at_weight = None, None, None
        if wanted[0] or wanted[2]:
            small = torch.bmm(g, right.mT)
            at_left = torch.bmm(small.mT, x)
            at_x = multiply(g, weight.t(), torch.bmm(small, left))
        if wanted[1]:
            at_weight = outer_product(x, g)
        at_right = torch.bmm(inside.mT, g)
        return at_x, (at_weight, at_left, at_right, g.sum(dim=1))

    def dense(self) -> Tensor:
        """Return the weights themselves, (T, in, out)."""
        whole = self.weight.expand(len(self.left), -1, -1)
        return torch.baddbmm(whole, self.left.mT, self.right)


class Spanned(NamedTuple):
    """Weights E Z of each task: E (T, in, m), and Z of shared and of own rows."""

    coef: Tensor
    shared: Tensor
    own: Tensor

    @staticmethod
    def affine(
        x: Tensor, coef: Tensor, shared: Tensor, own: Tensor, offset: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return (x E + e) Z, where eZ is the bias."""
        inside = torch.baddbmm(offset.unsqueeze(1), x, coef)
        at_shared, at_own = _cut(inside, len(shared))
        return multiply(at_shared, shared, torch.bmm(at_own, own)), inside

    @staticmethod
    def back(
        g: Tensor, x: Tensor, inside: Tensor, wanted: Wanted, coef, shared, own, offset
    ) -> Found:
        c_shared, c_own = _cut(inside, len(shared))
        at_shared = outer_product(c_shared, g) if wanted[2] else None
        at_own = torch.bmm(c_own.mT, g) if wanted[3] else None
        at_inside = torch.cat([multiply(g, shared.t()), _transposed(own, g)], dim=2)
        at_x = torch.bmm(at_inside, coef.mT) if wanted[0] else None
        at_coef = torch.bmm(x.mT, at_inside)
        return at_x, (at_coef, at_shared, at_own, at_inside.sum(dim=1))

    def dense(self) -> Tensor:
        """Return the weights themselves, (T, in, out)."""
        shared, own = _cut(self.coef, len(self.shared))
        return shared @ self.shared + torch.bmm(own, self.own)


class Offset(NamedTuple):
    """Biases e Z of each task: e (T, m), and Z as the weights have it."""

    coef: Tensor
    shared: Tensor
    own: Tensor

    def dense(self) -> Tensor:
        """Return the biases themselves, (T, out)."""
        return Spanned(self.coef.unsqueeze(1), self.shared, self.own).dense().squeeze(1)


class FirstOrderSpanned(Spanned):
    """The same, whose gradient at the start's weights is that at the end's."""

    @staticmethod
    def back(g: Tensor, x: Tensor, inside: Tensor, wanted: Wanted, *parts) -> Found:
        at_x, found = Spanned.back(g, x, inside, (wanted[0], *[False] * 4), *parts)
        with_ones = torch.cat([x, torch.ones_like(x[:, :, :1])], dim=2)
        return at_x, (found[0], outer_product(with_ones, g), *found[2:])

    def dense(self) -> Tensor:
        start = self.shared[:-1]
        return Spanned(*_cut_off(self)).dense() + (start - start.detach())


class FirstOrderOffset(Offset):
    """The same, whose gradient at the start's biases is that at the end's."""

    def dense(self) -> Tensor:
        start = self.shared[-1]
        return Offset(*_cut_off(self)).dense() + (start - start.detach())


def _cut_off(form: Spanned | Offset) -> tuple[Tensor, Tensor, Tensor]:
    return form.coef, form.shared.detach(), form.own.detach()


Form = Own | LowRank | Spanned | Offset
Net = dict[str, Tensor | Form]


def whole(net: Net) -> dict[str, Tensor]:
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


def applied(x: Tensor, layers: list[tuple[Form, Tensor | Form]], activation: str):
    """Apply dense layers of weights in forms to x (T, R, in)."""
    forms = [type(weight) for weight, _ in layers]
    parts = [
        (*weight, bias if isinstance(bias, Tensor) else bias.coef)
        for weight, bias in layers
    ]
    sizes = [len(part) for part in parts]
    return _Applied.apply(
        activation, forms, sizes, x, *[v for part in parts for v in part]
    )


class _Applied(torch.autograd.Function):
    @staticmethod
    def forward(ctx, activation, forms, sizes, x, *tensors):
        act, inputs, insides, slopes = ACTIVATIONS[activation], [x], [], []
        start = 0
        for i, (form, size) in enumerate(zip(forms, sizes, strict=True)):
            z, inside = form.affine(inputs[-1], *tensors[start : start + size])
            insides.append(inside)
            start += size
            if i < len(forms) - 1:
                inputs.append(act(z))
                slopes.append(slope_of(activation, z, inputs[-1])[0])
        ctx.course = activation, forms, sizes
        ctx.save_for_backward(*inputs, *insides, *slopes, *tensors)
        return z

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        activation, forms, sizes = ctx.course
        n, found = len(forms), []
        saved, end = ctx.saved_tensors, len(ctx.saved_tensors)
        inputs, insides, slopes = saved[:n], saved[n : 2 * n], saved[2 * n : 3 * n - 1]
        wanted = ctx.needs_input_grad
        for i in range(n - 1, -1, -1):
            parts = saved[end - sizes[i] : end]
            asked = [i > 0 or wanted[3], *wanted[len(wanted) - len(found) - sizes[i] :]]
            g, own = forms[i].back(g, inputs[i], insides[i], asked, *parts)
            found = [*own, *found]
            end -= sizes[i]
            if i > 0:
                g = sloped(activation, g, slopes[i - 1])
        return None, None, None, g, *found


def _transposed(a: Tensor, x: Tensor) -> Tensor:
    """Return x A^T of each task, by the product that is faster for few rows in A."""
    return torch.bmm(a, x.mT).mT


def _cut(x: Tensor, at: int) -> tuple[Tensor, Tensor]:
    return x[:, :, :at], x[:, :, at:]
