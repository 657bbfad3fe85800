"""What gradient-based methods share: which parameters adapt, how fast, and to what."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.forms import Net, detached, whole
from skmetaad.core.inner import inner_loop
from skmetaad.core.losses import share
from skmetaad.core.nets import NETWORK, Params
from skmetaad.core.scaling import as_seen, task_scaling
from skmetaad.core.train import RATE, Batch

ALGORITHMS = ("maml", "fomaml", "reptile", "anil", "meta-sgd")


@dataclass(frozen=True, kw_only=True)
class MAML(ABC):
    """A network, its parameters named `NETWORK...`, that an inner loop adapts."""

    inner_steps: int = 3
    inner_rate: float = 0.1
    learn_rates: bool = True
    algorithm: str = "maml"
    inner_clip: float | None = None
    checkpoint_inner: bool = False
    standardize: bool = True

    @property
    @abstractmethod
    def last_layer(self) -> tuple[str, ...]:
        """The names of the parameters that ANIL adapts."""

    def first_rates(self, params: Params) -> Params:
        """Return the inner rates that are learned, before training."""
        net = self.adapted(params)
        if self.algorithm == "meta-sgd":
            start = {k: torch.full_like(v, self.inner_rate) for k, v in net.items()}
        elif not self.learn_rates or self.algorithm == "reptile":
            start = {}
        else:
            rate = torch.full((self.inner_steps,), self.inner_rate).log()
            start = {name: rate.clone() for name in net}
        return {RATE + name: value for name, value in start.items()}

    def adapted(self, params: Params) -> Params:
        """Return the parameters that the inner loop moves."""
        if self.algorithm == "anil":
            return {name: params[name] for name in self.last_layer}
        return {k: v for k, v in params.items() if k.startswith(NETWORK)}

    def rates(self, params: Params) -> dict[str, Tensor]:
        """Return the inner rates of each parameter, by step (steps, ...)."""
        net = self.adapted(params)
        if self.algorithm == "meta-sgd":
            return {
                name: params[RATE + name].expand(self.inner_steps, *value.shape)
                for name, value in net.items()
            }
        if self.learn_rates and self.algorithm != "reptile":
            return {name: params[RATE + name].exp() for name in net}
        like = next(iter(net.values()))
        rate = like.new_full((self.inner_steps,), self.inner_rate)
        return dict.fromkeys(net, rate)

    @abstractmethod
    def states(
        self,
        params: Params,
        support: Tensor,
        y: Tensor,
        mask: Tensor,
        *,
        each: bool = False,
    ) -> Iterator[Net]:
        """Yield each task's state after each inner step, or after the last only."""

    def begun(
        self, params: Params, support: Tensor, y: Tensor, mask: Tensor
    ) -> tuple[Params, Tensor, Tensor, Tensor]:
        """Return each task's scaling, its rows as seen, and weights of two kinds.

        Those of its inliers, and of its labelled outliers, sum to one.
        """
        inlier, outlier = mask & (y != -1), mask & (y == -1)
        state = task_scaling(params, support, inlier, self.standardize)
        z = as_seen(params, state, support, self.standardize)
        return state, z, share(inlier, z), share(outlier, z)

    @abstractmethod
    def query_loss(self, params: Params, state: Net, batch: Batch) -> Tensor:
        """Return the loss of tasks in a state on their queries."""

    def loss(
        self, params: Params, batch: Batch, weights: Sequence[float] | None = None
    ) -> Tensor:
        """Return the outer loss: the query loss after the inner loop.

        With `weights`, one per inner step, it is the sum of the query losses after each
        step, so weighted.
        """
        states = self.states(params, *batch.given, each=weights is not None)
        total = torch.zeros(())
        for weight, state in zip(weights or [1.0], states, strict=True):
            total = total + weight * self.query_loss(params, state, batch)
        return total + self.pull(params, state)

    def fast(
        self,
        params: Params,
        loss_of: Callable[[Params, Tensor], Tensor],
        rows: Tensor,
        *,
        each: bool,
    ) -> Iterator[Params]:
        """Yield the parameters adapted to each task's rows (T, K, ...) by autograd.

        `loss_of` takes parameters and rows.
        """
        found = inner_loop(
            self.adapted(params),
            lambda net, given: loss_of(given | net, given["rows"]),
            self.rates(params),
            len(rows),
            given=params | {"rows": rows},
            **self.loop_options(each),
        )
        yield from map(self.cut, found)

    def loop_options(self, each: bool) -> dict:
        """Return what every inner loop takes."""
        return {
            "order": self.order,
            "clip": self.inner_clip,
            "checkpoint": self.checkpoint_inner,
            "each": each,
        }

    @property
    def order(self) -> int:
        return 1 if self.algorithm in ("fomaml", "reptile") else 2

    def cut(self, found: Net) -> Net:
        """Cut Reptile's networks off from their start."""
        return detached(found) if self.algorithm == "reptile" else found

    def pull(self, params: Params, state: Net) -> Tensor:
        """Return zero, whose gradient is Reptile's: (start - adapted) / rate."""
        total = torch.zeros(())
        if self.algorithm != "reptile":
            return total
        adapted = self.adapted(params)
        ends = whole({name: state[name] for name in adapted})
        for name, start in adapted.items():
            away = (start - ends[name].mean(dim=0)).detach() / self.inner_rate
            total = total + (away * (start - start.detach())).sum()
        return total


def step_weights(n_steps: int, progress: float) -> list[float] | None:
    r"""Return the weights of the query losses after each inner step, after MAML++.

    Equal at first, :math:`w_s = 1 / S`; all but the last fall linearly to zero while
    `progress` goes from 0 to 1, and the last grows to one. None from there on.
    """
    if progress >= 1.0:
        return None
    early = (1.0 - progress) / n_steps
    return [early] * (n_steps - 1) + [1.0 - (n_steps - 1) * early]
