"""The inner loop of gradient-based meta-learning, for all tasks of a batch at once."""

from collections.abc import Callable

import torch
from torch import Tensor

from skmetaad.core.nets import Params


def per_task(params: Params, n_tasks: int) -> Params:
    """Give each task its own view of shared parameters, (...) -> (T, ...)."""
    return {k: v.unsqueeze(0).expand(n_tasks, *v.shape) for k, v in params.items()}


def inner_loop(
    params: Params,
    loss_of: Callable[[Params], Tensor],
    rates: dict[str, Tensor],
    n_tasks: int,
    *,
    order: int = 2,
) -> Params:
    r"""Adapt parameters to each task by gradient descent on its own support loss.

    .. math:: \theta_i^{(s+1)} = \theta_i^{(s)}
              - \alpha_s \nabla_{\theta_i^{(s)}} L_i(\theta_i^{(s)})

    `loss_of` maps per-task parameters (T, ...) to losses (T,); as task i's loss depends
    on its own parameters alone, one backward pass of the sum gives every task's
    gradient. `rates` holds, for each parameter, a rate per step, or one per step and
    element. With `order=2` the result is differentiable through the gradients (MAML),
    with `order=1` the gradients are constants (first-order MAML).
    """
    training = torch.is_grad_enabled()
    fast = per_task(params, n_tasks)
    n_steps = next(iter(rates.values())).shape[0]
    for step in range(n_steps):
        with torch.enable_grad():
            if not training:
                fast = {k: v.detach().requires_grad_() for k, v in fast.items()}
            grads = torch.autograd.grad(
                loss_of(fast).sum(),
                list(fast.values()),
                create_graph=training and order == 2,
            )
        fast = {
            name: value - rates[name][step] * grad
            for (name, value), grad in zip(fast.items(), grads, strict=True)
        }
    return fast
