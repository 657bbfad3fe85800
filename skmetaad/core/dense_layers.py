"""Layers as the steps of an inner loop see them, and as they come out of it.

A layer gives where it starts, what the first or the last layer of a network adds to the
steps' frame, and puts what the steps have found into one of the `forms`.
"""

import torch
from torch import Tensor

from skmetaad.core.dense_step import Layer
from skmetaad.core.forms import (
    FirstOrderOffset,
    FirstOrderSpanned,
    LowRank,
    Offset,
    Own,
    Spanned,
)
from skmetaad.core.products import product


class Plain:
    """A layer each of whose tasks has weights of its own."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.start = weight, bias

    def inputs(self, x: Tensor) -> tuple[Tensor, None]:
        return x, None

    def outputs(self, target: Tensor, gram: Tensor | None) -> tuple[Tensor, None]:
        return target, None

    def end(self, weight: Tensor, bias: Tensor) -> tuple[Own, Tensor]:
        return Own(weight), bias


class First(Plain):
    """A first layer changed by combinations of the support's rows."""

    def __init__(self, weight: Tensor, bias: Tensor, x: Tensor, order: int):
        self.weight, self.rows = weight, x.detach() if order == 1 else x
        self.start = weight.new_zeros(x.shape[1], weight.shape[1]), bias

    def inputs(self, x: Tensor) -> Layer:
        return torch.bmm(x, x.mT), product(x, self.weight)

    def end(self, right: Tensor, bias: Tensor) -> tuple[LowRank, Tensor]:
        return LowRank(self.weight, self.rows, right), bias


class Last(Plain):
    """A last layer made of combinations of its weights, its bias and the targets."""

    def __init__(self, weight: Tensor, bias: Tensor, target: Tensor, order: int):
        self.order = order
        self.shared = torch.cat([weight, bias.unsqueeze(0)])
        self.own = target
        unit = torch.eye(len(self.shared) + target.shape[1]).to(weight)
        self.start = unit[: len(weight)], unit[len(weight)]
        self.target = unit[len(self.shared) :]

    def outputs(self, target: Tensor, gram: Tensor | None) -> Layer:
        shared = product(self.shared, self.shared.t()).expand(len(target), -1, -1)
        cross = product(target, self.shared.t())
        gram = torch.bmm(target, target.mT) if gram is None else gram
        upper = torch.cat([shared, cross.mT], dim=2)
        return self.target, torch.cat([upper, torch.cat([cross, gram], dim=2)], dim=1)

    def end(self, coef: Tensor, offset: Tensor) -> tuple[Spanned, Offset]:
        span = self.shared, self.own
        if self.order == 1:
            return FirstOrderSpanned(coef, *span), FirstOrderOffset(offset, *span)
        return Spanned(coef, *span), Offset(offset, *span)
