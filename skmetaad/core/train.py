"""The outer loop: stochastic gradient descent over meta-batches of episodes."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from skmetaad.core.nets import Params

# Begins the names of inner rates.
RATE = "rate."
# The largest norm of a meta-gradient.
LONGEST = 1.0


class Batch(NamedTuple):
    """A meta-batch: support (B, K, d), its labels (B, K), query (B, Q, d), labels.

    `task` has the code of each episode's task, where there is one; `seed` is that of
    the noise of methods that have any.
    """

    support: Tensor
    support_y: Tensor
    query: Tensor
    query_y: Tensor
    task: Tensor | None = None
    seed: int = 0

    @property
    def given(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is adapted to: the support, its labels, and which rows exist (B, K)."""
        return self.support, self.support_y, self.support_y != 0


class NotFinite(ArithmeticError):
    """The loss of a meta-iteration is not a finite number."""


@dataclass
class Trained:
    """What meta-training ends with: the best parameters and the course of the loss."""

    params: Params
    loss: list[float]
    validation_loss: list[float]


def meta_train(
    params: Params,
    losses_of: Callable[[Params, list[Batch], float], Iterable[Tensor]],
    draw: Callable[[], list[Batch]],
    *,
    n_iter: int,
    learning_rate: float,
    weight_decay: float = 0.0,
    validate: Callable[[Params], float] | None = None,
    every: int = 25,
    patience: int = 5,
    on_iteration: Callable[[int], bool] = lambda i: False,
) -> Trained:
    """Minimise the expected episode loss by AdamW with a cosine-decayed rate.

    Weights decay; biases, inner rates and what scales scores do not.

    `losses_of` takes parameters, what `draw` gives, and the share of the iterations
    that are done. The sum of what it yields is the loss; each part is differentiated
    before the next is asked for, so that one at a time is in memory.

    With `validate`, the loss on held-out tasks is measured every `every` iterations;
    training stops after `patience` measurements without a new best one, and the best
    parameters are returned. Where none of them is finite, nothing is learned.
    `on_iteration` may ask to stop by returning True.
    """
    params = {name: value.clone().requires_grad_() for name, value in params.items()}
    values = list(params.values())
    decayed = [v for name, v in params.items() if decays(name, v)]
    others = [v for name, v in params.items() if not decays(name, v)]
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_iter)
    result = Trained(params, [], [])
    best, best_params, stale = float("inf"), None, 0
    for i in range(n_iter):
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for loss in losses_of(params, draw(), i / n_iter):
            if not torch.isfinite(loss):
                raise NotFinite(f"the loss of meta-iteration {i} is {loss.item()}")
            loss.backward()
            total += loss.item()
        torch.nn.utils.clip_grad_norm_(values, LONGEST)
        optimizer.step()
        schedule.step()
        result.loss.append(total)
        if validate is not None and ((i + 1) % every == 0 or i + 1 == n_iter):
            now = validate(params)
            result.validation_loss.append(now)
            stale = 0 if now < best else stale + 1
            if now < best:
                best = now
                best_params = {k: v.detach().clone() for k, v in params.items()}
        if on_iteration(i) or stale >= patience:
            break
    if validate is not None and result.validation_loss and best_params is None:
        raise NotFinite(f"the validation loss is {result.validation_loss[-1]}")
    final = best_params if best_params is not None else params
    result.params = {name: value.detach() for name, value in final.items()}
    return result


def decays(name: str, value: Tensor) -> bool:
    """Return whether a parameter is the weights of a layer."""
    own = name.split(".")[-1]
    return value.dim() > 1 and own.startswith("weight") and not name.startswith(RATE)
