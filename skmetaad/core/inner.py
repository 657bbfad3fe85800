"""The inner loop of gradient-based meta-learning by autograd, for all tasks at once."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skmetaad.core.dense_step import shortening
from skmetaad.core.nets import Params
from skmetaad.core.recompute import course


def per_task(params: Params, n_tasks: int) -> Params:
    """Give each task its own view of shared parameters, (...) -> (T, ...)."""
    return {k: v.unsqueeze(0).expand(n_tasks, *v.shape) for k, v in params.items()}


def inner_loop(
    params: Params,
    loss_of: Callable[[Params, Params], Tensor],
    rates: dict[str, Tensor],
    n_tasks: int,
    *,
    given: Params | None = None,
    order: int = 2,
    clip: float | None = None,
    each: bool = False,
    checkpoint: bool = False,
) -> Iterator[Params]:
    r"""Adapt parameters to each task by gradient descent on its own support loss.

    .. math:: \theta_i^{(s+1)} = \theta_i^{(s)}
              - \alpha_s \nabla_{\theta_i^{(s)}} L_i(\theta_i^{(s)})

    `loss_of` maps per-task parameters (T, ...), and the tensors in `given` that it
    depends on as well, to losses (T,); as task i's loss depends on its own parameters
    alone, one backward pass of the sum gives every task's gradient. `rates` holds, for
    each parameter, a rate per step, or one per step and element. With `order=2` the
    result is differentiable through the gradients (MAML), with `order=1` the gradients
    are constants (first-order MAML). `clip` is the largest norm of a task's gradient;
    longer ones are shortened to it. `each` and `checkpoint` are those of `course`.
    """

    def step(net: Params, given: Params, i: int) -> Params:
        training = torch.is_grad_enabled()
        with torch.enable_grad():
            if not training:
                net = {k: v.detach().requires_grad_() for k, v in net.items()}
            grads = torch.autograd.grad(
                loss_of(net, given).sum(),
                list(net.values()),
                create_graph=training and order == 2,
            )
        if clip is not None:
            square = sum(g.reshape(n_tasks, -1).square().sum(dim=1) for g in grads)
            by = shortening(square, clip)
            grads = [g * by.reshape(-1, *[1] * (g.dim() - 1)) for g in grads]
        return {
            name: torch.addcmul(value, given["rate of " + name][i], grad, value=-1.0)
            for (name, value), grad in zip(net.items(), grads, strict=True)
        }

    given = (given or {}) | {"rate of " + name: rate for name, rate in rates.items()}
    n_steps = len(next(iter(rates.values())))
    start = per_task(params, n_tasks)
    yield from course(step, start, given, n_steps, each=each, checkpoint=checkpoint)
