"""Relation network: a learned comparison of a row with the support's summary."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.metric import Metric, less_odd, two_means
from skmetaad.core.nets import HEAD, Params, init_mlp, mlp


@dataclass(frozen=True)
class Relation(Metric):
    """The pure functions of the method; all state is passed in and out."""

    relation_sizes: tuple[int, ...] = (32,)

    def init_head(self, generator: torch.Generator) -> Params:
        sizes = (3 * self.encoder.width, *self.relation_sizes, 1)
        return init_mlp(sizes, generator, prefix=HEAD)

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        return two_means(state, embedded)

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        score = self._relation(params, embedded, state["normal"])
        return less_odd(score, self._relation(params, embedded, state["odd"]), state)

    def _relation(self, params: Params, x: Tensor, summary: Tensor) -> Tensor:
        other = summary.expand_as(x)
        pair = torch.cat([x, other, (x - other).abs()], dim=2)
        n_layers = len(self.relation_sizes) + 1
        return mlp(params, pair, n_layers, prefix=HEAD).squeeze(2)
