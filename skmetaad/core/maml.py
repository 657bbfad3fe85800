"""What gradient-based methods share: which parameters adapt, how fast, and to what."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.inner import inner_loop
from skmetaad.core.nets import LowRank, Params

NETWORK = "net."
RATE = "rate."
HEAD = "head."
ALGORITHMS = ("maml", "fomaml", "reptile", "anil", "meta-sgd")


@dataclass(frozen=True, kw_only=True)
class MAML(ABC):
    """A network, its parameters named `NETWORK...`, that an inner loop adapts."""

    inner_steps: int = 3
    inner_rate: float = 0.1
    learn_rates: bool = True
    algorithm: str = "maml"
    inner_clip: float | None = None

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

    def fast(
        self, params: Params, loss_of: Callable[[Params], Tensor], n_tasks: int
    ) -> Params:
        """Return the parameters adapted to each task, (T, ...)."""
        found = inner_loop(
            self.adapted(params),
            loss_of,
            self.rates(params),
            n_tasks,
            order=self.order,
            clip=self.inner_clip,
        )
        return self.cut(found)

    @property
    def order(self) -> int:
        return 1 if self.algorithm in ("fomaml", "reptile") else 2

    def cut(self, found: Params) -> Params:
        """Cut Reptile's networks off from their start."""
        if self.algorithm != "reptile":
            return found
        return {
            name: LowRank(*[part.detach() for part in value])
            if isinstance(value, LowRank)
            else value.detach()
            for name, value in found.items()
        }

    def pull(self, params: Params, state: Params) -> Tensor:
        """Return zero, whose gradient is Reptile's: (start - adapted) / rate."""
        total = torch.zeros(())
        if self.algorithm != "reptile":
            return total
        for name, start in self.adapted(params).items():
            end = state[name]
            end = end.dense() if isinstance(end, LowRank) else end
            away = (start - end.mean(dim=0)).detach() / self.inner_rate
            total = total + (away * (start - start.detach())).sum()
        return total
