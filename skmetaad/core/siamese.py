"""Siamese network: distances learned from pairs or triplets of rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.metric import Metric, inliers, log_sum, to_all
from skmetaad.core.nets import Params, nearest, sq_distances
from skmetaad.core.train import Batch


@dataclass(frozen=True)
class Siamese(Metric):
    """The pure functions of the method; all state is passed in and out."""

    objective: str = "contrastive"
    margin: float = 1.0
    aggregation: str = "min"
    n_neighbors: int = 3

    def distances(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        """Return distances (T, R, K) to all support rows."""
        return (sq_distances(embedded, state["support"]) + 1e-12).sqrt()

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        d = self.distances(params, state, embedded)
        near, odd = (nearest(d, state[who]) for who in ("inlier", "outlier"))
        return -self._aggregated(d, state["inlier"]) - (near - odd).clamp_min(0.0)

    def _aggregated(self, d: Tensor, inlier: Tensor) -> Tensor:
        if self.aggregation == "kernel":
            total = log_sum(-0.5 * (2.0 * d / self.margin).square(), inlier)
            n = inlier.sum(dim=1, keepdim=True).clamp_min(1)
            return n.to(d.dtype).log() - total
        return nearest(d, inlier, 1 if self.aggregation == "min" else self.n_neighbors)

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return the contrastive or the triplet loss of support-query pairs."""
        state = self.adapt(params, *batch.given)
        if self.crossed:
            embedded = to_all(self.embed(params, state, inliers(batch)))
            own = torch.eye(len(embedded), dtype=torch.bool)
            own = own.repeat_interleave(embedded.shape[1] // len(own), dim=1)
        else:
            embedded = self.embed(params, state, batch.query)
            own = batch.query_y == 1
        d = self.distances(params, state, embedded)
        anchor = state["inlier"].unsqueeze(1)
        alike, apart = anchor & own.unsqueeze(2), anchor & ~own.unsqueeze(2)
        if self.objective == "contrastive":
            short = (self.margin - d).clamp_min(0.0).square()
            return 0.5 * (_mean(d.square(), alike) + _mean(short, apart))
        gap = d.unsqueeze(2) - d.unsqueeze(1) + self.margin
        return _mean(gap.clamp_min(0.0), alike.unsqueeze(2) & apart.unsqueeze(1))


def _mean(value: Tensor, mask: Tensor) -> Tensor:
    return (value * mask).sum() / mask.sum().clamp_min(1)
