"""Long inner loops in little memory: steps are computed anew in the backward pass."""

from collections.abc import Callable, Iterator
from math import ceil

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from skmetaad.core.nets import Params


def course(
    step: Callable[[Params, Params, int], Params],
    net: Params,
    given: Params,
    n_steps: int,
    *,
    each: bool = False,
    checkpoint: bool = False,
) -> Iterator[Params]:
    """Yield the network after each of the steps, or after the last only.

    `step` maps a network, the tensors it is `given` and the number of the step to the
    next network. With `checkpoint`, the graph of a span of steps is not kept but made
    again in the backward pass. A span is the root of the number of steps long, so that
    memory grows with that root; with `each`, it is one step.
    """
    checkpoint = checkpoint and torch.is_grad_enabled()
    span = 1 if each else ceil(n_steps**0.5) if checkpoint else n_steps
    for first in range(0, n_steps, span):
        last = min(first + span, n_steps)

        def run(net: Params, given: Params, steps=range(first, last)) -> Params:
            for i in steps:
                net = step(net, given, i)
            return net

        net = recomputed(run, net, given) if checkpoint else run(net, given)
        if each or last == n_steps:
            yield net


def recomputed(
    run: Callable[[Params, Params], Params], net: Params, given: Params
) -> Params:
    """Return run(net, given), whose graph is made in the backward pass only.

    `torch.utils.checkpoint` is no help here: where the run takes gradients itself, it
    makes and keeps that graph in the forward pass too.
    """
    n_net = len(net)
    tensors = (*net.values(), *given.values())
    given_names, names = list(given), list(net)

    def flat(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        own = dict(zip(names, tensors[:n_net], strict=True))
        found = run(own, dict(zip(given_names, tensors[n_net:], strict=True)))
        return tuple(found[name] for name in names)

    return dict(zip(names, _Recomputed.apply(flat, *tensors), strict=True))


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, run, *tensors):
        ctx.run = run
        ctx.save_for_backward(*tensors)
        return run(tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx, *gradients):
        wanted = ctx.needs_input_grad[1:]
        inputs = tuple(
            value.detach().requires_grad_(want)
            for value, want in zip(ctx.saved_tensors, wanted, strict=True)
        )
        with torch.enable_grad():
            pairs = zip(ctx.run(inputs), gradients, strict=True)
            pairs = [(value, grad) for value, grad in pairs if value.requires_grad]
        outputs, gradients = zip(*pairs, strict=True)
        leaves = [value for value in inputs if value.requires_grad]
        found = torch.autograd.grad(outputs, leaves, gradients, allow_unused=True)
        found = iter(found)
        return None, *[next(found) if want else None for want in wanted]
