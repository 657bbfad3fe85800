"""Dense autoencoders adapted to all tasks of a batch at once, without autograd inside.

`dense_step` has the steps and their transposed derivatives. Here they follow each other
in one node of autograd's graph, for layers in whatever form is cheaper.
"""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.dense_back import turned_back
from skmetaad.core.dense_layers import First, Last, Plain
from skmetaad.core.dense_step import (
    Frame,
    Layer,
    Loss,
    Step,
    gradients,
    moved,
    take_step,
)
from skmetaad.core.forms import Net
from skmetaad.core.nets import Params, mlp

N_FRAME = len(Frame._fields)


class Plan(NamedTuple):
    """How many steps are made, and what is kept of them."""

    loss: Loss
    n_layers: int
    n_steps: int
    order: int
    each_element: bool
    each: bool
    checkpoint: bool
    keep: bool

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
    forms = [Plain(*start) for start in starts]
    each_element = paces[0][0].dim() > 1
    if not each_element:
        if len(forms) > 1 and 8 * x.shape[1] <= x.shape[2]:
            forms[0] = First(*starts[0], x, order)
        if 2 * (len(starts[-1][0]) + 1 + x.shape[1]) <= target.shape[2]:
            forms[-1] = Last(*starts[-1], target, order)
    n_steps = len(paces[0][0])
    keep = torch.is_grad_enabled()
    plan = Plan(loss, len(forms), n_steps, order, each_element, each, checkpoint, keep)
    rows, base = forms[0].inputs(x)
    gram = rows if base is not None and x is target else None
    frame = Frame(rows, base, *forms[-1].outputs(target, gram))
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


class _Adapted(torch.autograd.Function):
    """The tasks' layers after the steps; its gradient is that of the steps."""

    @staticmethod
    def forward(ctx, plan, *tensors):
        frame, values = Frame(*tensors[:N_FRAME]), _pairs(tensors[N_FRAME:])
        layers, paces = values[: plan.n_layers], values[plan.n_layers :]
        rates = _rates(plan, paces)
        found, kept = [], []
        for span in plan.spans():
            if plan.keep and plan.checkpoint:
                kept += [value for layer in layers for value in layer]
            for i in span:
                step = take_step(plan.loss, frame, layers)
                if plan.keep and not plan.checkpoint:
                    kept += step.flat()
                layers = moved(frame, step, layers, rates[i])
                if plan.given(i):
                    found += [value for layer in layers for value in layer]
        ctx.plan = plan
        ctx.save_for_backward(*tensors, *kept)
        ctx.set_materialize_grads(False)
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx, *at_ends):
        plan, wanted = ctx.plan, ctx.needs_input_grad[1:]
        n, ends = 2 * plan.n_layers, _pairs(at_ends)
        tensors, kept = _cut(ctx.saved_tensors, N_FRAME + 2 * n)
        frame, paces = Frame(*tensors[:N_FRAME]), _pairs(tensors[N_FRAME + n :])
        rates = _rates(plan, paces)
        at_frame = {
            name: torch.zeros_like(value)
            for name, value, want in zip(Frame._fields, frame, wanted, strict=False)
            if want and plan.order == 2
        }
        paced = any(wanted[N_FRAME + n :])
        at_paces = [tuple(map(torch.zeros_like, pace)) for pace in paces if paced]
        bars = None
        for i, step in _from_the_last(plan, frame, kept, rates):
            if plan.given(i):
                ends, last = _cut(ends, -plan.n_layers)
                bars = _plus(bars, last, step, frame)
            if paced:
                _add_at_rates(at_paces, i, bars, gradients(frame, step), step.by)
            if plan.order == 2:
                bars = turned_back(plan.loss, frame, step, rates[i], bars, at_frame)
        found = [at_frame.get(name) for name in Frame._fields]
        for (weight, bias), like in zip(bars, step.weights, strict=True):
            shared = plan.order == 2 and like.dim() == 2
            found += [weight, bias] if shared else [weight.sum(dim=0), bias.sum(dim=0)]
        found += [value for pace in at_paces for value in pace]
        found += [None] * (len(wanted) - len(found))
        return None, *[
            v if want else None for v, want in zip(found, wanted, strict=True)
        ]


def _from_the_last(
    plan: Plan, frame: Frame, kept: Sequence, rates: list[list[Layer]]
) -> Iterator[tuple[int, Step]]:
    """Yield the steps and their numbers, as they were kept or made again."""
    spans = plan.spans()
    size = len(kept) // len(spans)
    for k in range(len(spans) - 1, -1, -1):
        part = kept[k * size : (k + 1) * size]
        if not plan.checkpoint:
            yield k, Step.of(part, plan.n_layers)
            continue
        steps, layers = [], _pairs(part)
        for i in spans[k]:
            steps.append((i, take_step(plan.loss, frame, layers)))
            layers = moved(frame, steps[-1][1], layers, rates[i])
        yield from steps[::-1]


def _plus(
    bars: list[Layer] | None, ends: list[tuple], step: Step, frame: Frame
) -> list[Layer]:
    """Add gradients at layers that are given out, None where there are none."""
    found = []
    for i, ((weight, bias), like) in enumerate(zip(ends, step.weights, strict=True)):
        if weight is None:
            weight = like.new_zeros(len(frame.rows), *like.shape[-2:])
        if bias is None:
            bias = like.new_zeros(len(frame.rows), like.shape[-1])
        if bars is not None:
            weight, bias = weight + bars[i][0], bias + bars[i][1]
        found.append((weight, bias))
    return found


def _rates(plan: Plan, paces: list[Layer]) -> list[list[Layer]]:
    """Return each step's rates, as numbers if they are not by element."""
    if not plan.each_element:
        paces = [(weight.tolist(), bias.tolist()) for weight, bias in paces]
    return [
        [(weight[i], bias[i]) for weight, bias in paces] for i in range(plan.n_steps)
    ]


def _add_at_rates(
    found: list[Layer], i: int, bars: list[Layer], own: list[Layer], by: Tensor | None
) -> None:
    """Add the gradients at the rates of step i, from those at its results."""
    for layers in zip(found, bars, own, strict=True):
        for total, bar, gradient in zip(*layers, strict=True):
            if by is not None:
                gradient = gradient * by.view(-1, *[1] * (gradient.dim() - 1))
            total[i] -= (bar * gradient).sum(dim=0).sum_to_size(total[i].shape)


def _cut(values: Sequence, at: int) -> tuple[Sequence, Sequence]:
    return values[:at], values[at:]


def _pairs(values):
    return list(zip(values[::2], values[1::2], strict=True))
