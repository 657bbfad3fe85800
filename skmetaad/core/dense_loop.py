"""Dense autoencoders adapted to all tasks of a batch at once, without autograd inside.

`dense_step` has the steps and their transposed derivatives. Here they follow each other
in one node of autograd's graph, for layers in whatever form is cheaper.
"""

from collections.abc import Iterator
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skmetaad.core.dense_step import (
    Frame,
    Loss,
    Step,
    at_rates,
    moved,
    take_step,
    turned_back,
)
from skmetaad.core.nets import ACTIVATIONS, LowRank, Net, Params, Spanned, mlp

Pair = tuple[Tensor, Tensor]  # what belongs to a layer's weights and to its bias


class Plan(NamedTuple):
    """How many steps are made, and what is kept of them."""

    loss: Loss
    n_layers: int
    n_steps: int
    order: int
    each: bool
    checkpoint: bool

    def given(self, i: int) -> bool:
        """Whether the network after step i is given out."""
        return self.each or i == self.n_steps - 1

    def spans(self) -> list[range]:
        """Return the steps in the parts that the backward pass makes again at once."""
        size = ceil(self.n_steps**0.5) if self.checkpoint else 1
        return [
            range(i, min(i + size, self.n_steps)) for i in range(0, self.n_steps, size)
        ]


def dense_inner_loop(
    params: Params,
    x: Tensor,
    target: Tensor,
    loss: Loss,
    rates: dict[str, Tensor],
    *,
    prefix: str,
    n_layers: int,
    order: int = 2,
    each: bool = False,
    checkpoint: bool = False,
) -> Iterator[Net]:
    """Adapt the layers of a dense network that have rates, from the first such to last.

    x (T, K, in) are each task's rows, `target` (T, K, out) what the network should make
    of them. `rates` holds, for each parameter, a rate per step, or one per step and
    element. Yields weights of each task and biases (T, out), by name, after each step
    or after the last only. With `checkpoint`, the backward pass computes steps anew.
    """
    names = [(f"{prefix}weight{i}", f"{prefix}bias{i}") for i in range(n_layers)]
    first = next(i for i in range(n_layers) if names[i][0] in rates)
    if first:  # no step changes what these layers make of the rows
        x = mlp(params, x, first, prefix=prefix, activation=loss.activation)
        x = ACTIVATIONS[loss.activation](x)
    starts = [(params[w], params[b]) for w, b in names[first:]]
    paces = [(rates[w], rates[b]) for w, b in names[first:]]
    forms = [_Plain(*start) for start in starts]
    if paces[0][0].dim() == 1:  # these forms know no rates of single elements
        if len(forms) > 1 and 2 * x.shape[1] <= x.shape[2]:
            forms[0] = _First(*starts[0], x, order)
        if 2 * (len(starts[-1][0]) + 1 + x.shape[1]) <= target.shape[2]:
            forms[-1] = _Last(*starts[-1], target, order)
    plan = Plan(loss, len(forms), len(paces[0][0]), order, each, checkpoint)
    frame = Frame(*forms[0].inputs(x), *forms[-1].outputs(target))
    flat = [v for form in forms for v in form.start] + [v for p in paces for v in p]
    found = _Adapted.apply(plan, *frame, *flat)
    size = 2 * len(forms)
    for i in range(0, len(found), size):
        net = {}
        for form, pair, (weight, bias) in zip(
            forms, _pairs(found[i : i + size]), names[first:], strict=True
        ):
            net[weight], net[bias] = form.end(*pair)
        yield net


class _Plain:
    """A layer each of whose tasks has weights of its own."""

    def __init__(self, weight: Tensor, bias: Tensor):
        self.start = weight, bias

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, None]:
        rows = _with_ones(x)
        return rows, rows, None

    def outputs(self, target: Tensor) -> tuple[Tensor, None]:
        return target, None

    def end(self, weight: Tensor, bias: Tensor) -> Pair:
        return weight, bias


class _First(_Plain):
    """A first layer changed by combinations of the support's rows."""

    def __init__(self, weight: Tensor, bias: Tensor, x: Tensor, order: int):
        self.weight, self.rows = weight, x.detach() if order == 1 else x
        self.start = weight.new_zeros(x.shape[1], weight.shape[1]), bias

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        unit = torch.eye(x.shape[1], dtype=x.dtype).expand(len(x), -1, -1)
        return _with_ones(torch.bmm(x, x.mT)), _with_ones(unit), x @ self.weight

    def end(self, right: Tensor, bias: Tensor) -> tuple[LowRank, Tensor]:
        return LowRank(self.weight, self.rows, right), bias


class _Last(_Plain):
    """A last layer made of combinations of its weights, its bias and the targets."""

    def __init__(self, weight: Tensor, bias: Tensor, target: Tensor, order: int):
        self.weight, self.bias, self.order = weight, bias, order
        self.shared = torch.cat([weight, bias.unsqueeze(0)])
        self.own = target
        unit = torch.eye(len(self.shared) + target.shape[1], dtype=weight.dtype)
        self.start = unit[: len(weight)], unit[len(weight)]
        self.target = unit[len(self.shared) :]

    def outputs(self, target: Tensor) -> Pair:
        shared = (self.shared @ self.shared.t()).expand(len(target), -1, -1)
        cross, own = target @ self.shared.t(), torch.bmm(target, target.mT)
        upper = torch.cat([shared, cross.mT], dim=2)
        return self.target, torch.cat([upper, torch.cat([cross, own], dim=2)], dim=1)

    def end(self, coef: Tensor, offset: Tensor) -> tuple[LowRank | Spanned, Tensor]:
        if self.order == 2:
            found = Spanned(coef, self.shared, self.own)
            return found, Spanned(offset.unsqueeze(1), *found[1:]).dense().squeeze(1)
        # The start's gradient is that of the end, none comes by way of the change.
        shared, own = self.shared.detach(), self.own.detach()
        right = torch.cat([shared.expand(len(own), -1, -1), own], dim=1)
        left, offset = coef - self.start[0], (offset - self.start[1]).unsqueeze(1)
        bias = self.bias + torch.bmm(offset, right).squeeze(1)
        return LowRank(self.weight, left.mT, right), bias


class _Adapted(torch.autograd.Function):
    """The tasks' layers after the steps; its gradient is that of the steps."""

    @staticmethod
    def forward(ctx, plan, *tensors):
        frame, starts, rates = _parts(plan, tensors)
        weights = [
            torch.cat([weight, bias.unsqueeze(0)]).expand(len(frame.rows), -1, -1)
            for weight, bias in starts
        ]
        found, kept = [], []
        for span in plan.spans():
            if plan.checkpoint:
                kept.append(weights)
            for i in span:
                step = take_step(plan.loss, frame, weights)
                if not plan.checkpoint:
                    kept.append(step.flat())
                weights = moved(frame, step, [rate[i] for rate in rates])
                if plan.given(i):
                    found += [part for w in weights for part in (w[:, :-1], w[:, -1])]
        ctx.plan = plan
        ctx.save_for_backward(*tensors, *[value for part in kept for value in part])
        ctx.set_materialize_grads(False)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        plan, n = ctx.plan, ctx.plan.n_layers
        wanted, n_tensors = ctx.needs_input_grad[1:], 5 + 4 * n
        tensors, kept = ctx.saved_tensors[:n_tensors], ctx.saved_tensors[n_tensors:]
        frame, starts, rates = _parts(plan, tensors)
        n_tasks, ends = len(frame.rows), list(gradients)
        at_frame = {
            name: torch.zeros_like(value)
            for name, value, want in zip(Frame._fields, frame, wanted, strict=False)
            if want and plan.order == 2
        }
        bars = [w.new_zeros(n_tasks, len(w) + 1, w.shape[1]) for w, _ in starts]
        at_pace = [torch.zeros_like(rate) for rate in rates]
        spans = plan.spans()
        size = len(kept) // len(spans)
        for k in range(len(spans) - 1, -1, -1):
            part = kept[k * size : (k + 1) * size]
            for i, step in zip(
                spans[k][::-1], _again(plan, frame, part, rates, spans[k]), strict=True
            ):
                if plan.given(i):
                    _add(bars, ends[-2 * n :])
                    del ends[-2 * n :]
                now = [rate[i] for rate in rates]
                if any(wanted[5 + 2 * n :]):
                    for total, own in zip(
                        at_pace, at_rates(frame, step, now, bars), strict=True
                    ):
                        total[i] = own
                if plan.order == 2:
                    turned_back(plan.loss, frame, step, now, bars, at_frame)
        found = [at_frame.get(name) for name in Frame._fields]
        for bar in bars:
            bar = bar.sum(dim=0)
            found += [bar[:-1], bar[-1]]
        for pace in at_pace:
            found += _parted(pace, tensors[-1].dim() > 1)
        return None, *[
            v if want else None for v, want in zip(found, wanted, strict=True)
        ]


def _again(
    plan: Plan, frame: Frame, kept: tuple, rates: list[Tensor], span: range
) -> list[Step]:
    """Return the steps of a span, the last one first."""
    if not plan.checkpoint:
        return [Step.of(kept, plan.n_layers)]
    steps, weights = [], list(kept)
    for i in span:
        steps.insert(0, take_step(plan.loss, frame, weights))
        weights = moved(frame, steps[0], [rate[i] for rate in rates])
    return steps


def _add(bars: list[Tensor], gradients: list[Tensor | None]) -> None:
    """Add gradients at weights and biases, where there are any."""
    for bar, (weight, bias) in zip(bars, _pairs(gradients), strict=True):
        if weight is not None:
            bar[:, :-1] += weight
        if bias is not None:
            bar[:, -1] += bias


def _parts(plan: Plan, tensors: tuple) -> tuple[Frame, list[Pair], list[Tensor]]:
    """Return the frame, where the layers start, and the rates of each."""
    values = _pairs(tensors[5:])
    starts, paces = values[: plan.n_layers], values[plan.n_layers :]
    rates = [_joined(*pace, len(w)) for pace, (w, _) in zip(paces, starts, strict=True)]
    return Frame(*tensors[:5]), starts, rates


def _joined(weight: Tensor, bias: Tensor, n_in: int) -> Tensor:
    """Return rates (steps, in + 1, 1), or (steps, in + 1, out), of a layer."""
    if weight.dim() > 1:
        return torch.cat([weight, bias.unsqueeze(1)], dim=1)
    return torch.cat([weight[:, None].expand(-1, n_in), bias[:, None]], 1).unsqueeze(2)


def _parted(rate: Tensor, each_element: bool) -> Pair:
    """Return the gradients at the rates that `_joined` has put together."""
    if each_element:
        return rate[:, :-1], rate[:, -1]
    return rate[:, :-1].sum(dim=(1, 2)), rate[:, -1, 0]


def _pairs(values):
    return list(zip(values[::2], values[1::2], strict=True))


def _with_ones(x: Tensor) -> Tensor:
    return torch.cat([x, x.new_ones(*x.shape[:2], 1)], dim=2)
