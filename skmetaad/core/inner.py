r"""The inner loop of gradient-based meta-learning, for all tasks of a batch at once.

`inner_loop` takes any loss, by autograd. `dense_inner_loop` is for dense networks, with
the gradient written out: the outer gradient then is one backward pass through plain
arithmetic, and while supports are small no task needs weights of its own. A step on K
rows changes a layer's weights by a matrix of rank K: with inputs A (K, in) and the
loss's gradient D (K, out) at its outputs, :math:`W' = W - \alpha A^\top D`, so that
:math:`x W' = x W - (x A^\top)(\alpha D)`.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from skmetaad.core.nets import ACTIVATIONS, LowRank, Params, affine, back, mlp
from skmetaad.core.recompute import Net, course

# How many times as long as one element of a task's own weights an element of their
# low-rank form takes, as rows pass it: measured at widths from 20 to 784.
DEARER = 4


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
            name: value - given["rate of " + name][i] * grad
            for (name, value), grad in zip(net.items(), grads, strict=True)
        }

    given = (given or {}) | {"rate of " + name: rate for name, rate in rates.items()}
    n_steps = len(next(iter(rates.values())))
    start = per_task(params, n_tasks)
    yield from course(step, start, given, n_steps, each=each, checkpoint=checkpoint)


def shortening(square: Tensor, clip: float) -> Tensor:
    """Return the factors (T,) that shorten gradients of squared norms (T,) to clip."""
    # The guard keeps the root's derivative finite where a gradient vanishes.
    return (clip / square.clamp_min(1e-30).sqrt()).clamp_max(1.0)


def dense_inner_loop(
    params: Params,
    x: Tensor,
    target: Tensor,
    output_gradient: Callable[[Tensor, Tensor], Tensor],
    rates: dict[str, Tensor],
    *,
    prefix: str,
    n_layers: int,
    activation: str,
    order: int = 2,
    clip: float | None = None,
    each: bool = False,
    checkpoint: bool = False,
) -> Iterator[Net]:
    """Adapt the layers of a dense network that have rates, from the first such to last.

    x (T, K, in) are each task's rows; `output_gradient` returns the gradient of the
    tasks' losses at the network's outputs (T, K, out), of these and `target`. Yields
    weights, of each task (T, in, out) or in low-rank form, and biases (T, out), by
    name. `each` and `checkpoint` are those of `course`.
    """
    names = [(f"{prefix}weight{i}", f"{prefix}bias{i}") for i in range(n_layers)]
    first = next(i for i in range(n_layers) if names[i][0] in rates)
    if first:  # no step changes what these layers make of the rows
        x = mlp(params, x, first, prefix=prefix, activation=activation)
        x = ACTIVATIONS[activation](x)
    names = names[first:]
    n_steps = len(rates[names[0][0]])

    def step(net: Net, given: Params, s: int) -> Net:
        inputs, before = [given["rows"]], []
        for weight, bias in names:
            before.append(affine(inputs[-1], net[weight], net[bias]))
            inputs.append(ACTIVATIONS[activation](before[-1]))
        gradient = output_gradient(before[-1], given["target"])
        changes = [gradient]
        for i in range(len(names) - 1, 0, -1):
            gradient = _back(net[names[i][0]], gradient)
            gradient = back(activation, gradient, before[i - 1])
            changes.insert(0, gradient)
        if clip is not None:
            square = sum(map(_square, inputs, changes))
            by = shortening(square, clip)[:, None, None]
            changes = [by * change for change in changes]
        moved = {}
        for (weight, bias), rows, change in zip(names, inputs, changes, strict=False):
            if order == 1:
                rows, change = rows.detach(), change.detach()
            by = given["rate of " + weight][s] * change
            moved[weight] = _moved(net[weight], rows, by, n_steps)
            by = given["rate of " + bias][s] * change.sum(dim=1)
            moved[bias] = net[bias] - by
        return moved

    start = {name: params[name] for pair in names for name in pair}
    given = {"rate of " + name: rates[name] for name in start}
    given |= {"rows": x, "target": target}
    yield from course(step, start, given, n_steps, each=each, checkpoint=checkpoint)


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
    rank = n_steps * rows.shape[1]
    if weight.dim() == 2 and DEARER * rank * (n_in + n_out) < n_in * n_out:
        return LowRank(weight, rows, change)
    whole = weight.expand(len(rows), n_in, n_out)
    return torch.baddbmm(whole, rows.mT, change, alpha=-1.0)
