r"""The inner loop of gradient-based meta-learning, for all tasks of a batch at once.

`inner_loop` takes any loss, by autograd. `dense_inner_loop` is for dense networks, with
the gradient written out: the outer gradient then is one backward pass through plain
arithmetic, and while supports are small no task needs weights of its own. A step on K
rows changes a layer's weights by a matrix of rank K: with inputs A (K, in) and the
loss's gradient D (K, out) at its outputs, :math:`W' = W - \alpha A^\top D`, so that
:math:`x W' = x W - (x A^\top)(\alpha D)`.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from skmetaad.core.nets import ACTIVATIONS, LowRank, Params, affine, derivative


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
    clip: float | None = None,
) -> Params:
    r"""Adapt parameters to each task by gradient descent on its own support loss.

    .. math:: \theta_i^{(s+1)} = \theta_i^{(s)}
              - \alpha_s \nabla_{\theta_i^{(s)}} L_i(\theta_i^{(s)})

    `loss_of` maps per-task parameters (T, ...) to losses (T,); as task i's loss depends
    on its own parameters alone, one backward pass of the sum gives every task's
    gradient. `rates` holds, for each parameter, a rate per step, or one per step and
    element. With `order=2` the result is differentiable through the gradients (MAML),
    with `order=1` the gradients are constants (first-order MAML). `clip` is the largest
    norm of a task's gradient; longer ones are shortened to it.
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
        if clip is not None:
            square = sum(g.reshape(n_tasks, -1).square().sum(dim=1) for g in grads)
            by = shortening(square, clip)
            grads = [g * by.reshape(-1, *[1] * (g.dim() - 1)) for g in grads]
        fast = {
            name: value - rates[name][step] * grad
            for (name, value), grad in zip(fast.items(), grads, strict=True)
        }
    return fast


def shortening(square: Tensor, clip: float) -> Tensor:
    """Return the factors (T,) that shorten gradients of squared norms (T,) to clip."""
    # The guard keeps the root's derivative finite where a gradient vanishes.
    return (clip / square.clamp_min(1e-30).sqrt()).clamp_max(1.0)


def dense_inner_loop(
    params: Params,
    x: Tensor,
    output_gradient: Callable[[Tensor], Tensor],
    rates: dict[str, Tensor],
    *,
    prefix: str,
    n_layers: int,
    activation: str,
    order: int = 2,
    clip: float | None = None,
) -> dict[str, Tensor | LowRank]:
    """Adapt the layers of a dense network that have rates, from the first such to last.

    x (T, K, in) are each task's rows; `output_gradient` returns the gradient of the
    tasks' losses at the network's outputs (T, K, out). Returns weights, of each task
    (T, in, out) or in low-rank form, and biases (T, out), by name.
    """
    names = [(f"{prefix}weight{i}", f"{prefix}bias{i}") for i in range(n_layers)]
    net = {name: params[name] for pair in names for name in pair}
    first = next(i for i in range(n_layers) if names[i][0] in rates)
    n_steps = len(rates[names[first][0]])
    for step in range(n_steps):
        inputs, before = [x], []
        for weight, bias in names:
            before.append(affine(inputs[-1], net[weight], net[bias]))
            inputs.append(ACTIVATIONS[activation](before[-1]))
        gradient = output_gradient(before[-1])
        changes = {}
        for i in range(n_layers - 1, first - 1, -1):
            changes[i] = gradient
            if i > first:
                gradient = _back(net[names[i][0]], gradient)
                gradient = gradient * derivative(activation, before[i - 1])
        if clip is not None:
            square = sum(_square(inputs[i], change) for i, change in changes.items())
            by = shortening(square, clip)[:, None, None]
            changes = {i: by * change for i, change in changes.items()}
        for i, change in changes.items():
            rows = inputs[i]
            if order == 1:
                rows, change = rows.detach(), change.detach()
            weight, bias = names[i]
            moved = rates[weight][step] * change
            net[weight] = _moved(net[weight], rows, moved, n_steps)
            net[bias] = net[bias] - rates[bias][step] * change.sum(dim=1)
    return {name: net[name] for pair in names[first:] for name in pair}


def _square(rows: Tensor, change: Tensor) -> Tensor:
    """Return the squared norms (T,) of rows^T change and of the sum of change."""
    product = (rows @ rows.mT) * (change @ change.mT)
    return product.sum(dim=(1, 2)) + change.sum(dim=1).square().sum(dim=1)


def _back(weight: Tensor | LowRank, gradient: Tensor) -> Tensor:
    if isinstance(weight, LowRank):
        return weight.apply_transposed(gradient)
    return gradient @ weight.mT


def _moved(
    weight: Tensor | LowRank, rows: Tensor, change: Tensor, n_steps: int
) -> Tensor | LowRank:
    """Return weights less rows^T change, in low-rank form while that costs less."""
    if isinstance(weight, LowRank):
        left = torch.cat([weight.left, rows], dim=1)
        return LowRank(weight.weight, left, torch.cat([weight.right, change], dim=1))
    n_in, n_out = weight.shape[-2:]
    if weight.dim() == 2 and n_steps * rows.shape[1] * (n_in + n_out) < n_in * n_out:
        return LowRank(weight, rows, change)
    whole = weight.expand(len(rows), n_in, n_out)
    return torch.baddbmm(whole, rows.mT, change, alpha=-1.0)
