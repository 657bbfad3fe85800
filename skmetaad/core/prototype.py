"""One-class prototypical network, guarded by nearest neighbours."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.blend import log_distances, log_odds
from skmetaad.core.cohort import level
from skmetaad.core.encoders import Encoder
from skmetaad.core.gaussian import described_rows, row_distances
from skmetaad.core.kmeans import k_means
from skmetaad.core.losses import crossed_separation, separation
from skmetaad.core.metric import inliers
from skmetaad.core.nets import (
    HEAD,
    NETWORK,
    Params,
    nearest,
    sq_distances,
    under,
)
from skmetaad.core.scaling import squash, task_moments
from skmetaad.core.train import Batch


@dataclass(frozen=True)
class Prototype:
    """The pure functions of the method; all state is passed in and out.

    The embedding is that of several networks side by side, each of which has learned
    from other tasks: parameters have a leading axis of networks.
    """

    encoder: Encoder
    n_networks: int = 1
    n_prototypes: int = 1
    n_neighbors: int = 1
    standardize: bool = True
    crossed: bool = False

    def init(self, generator: torch.Generator) -> Params:
        nets = [self.encoder.init(generator) for _ in range(self.n_networks)]
        params = {NETWORK + k: torch.stack([net[k] for net in nets]) for k in nets[0]}
        params["head.slope"] = torch.zeros(self.n_networks, 2)
        params["head.bias"] = torch.tensor([[2.0, 0.0]]).repeat(self.n_networks, 1)
        return params

    def network(self, params: Params, i: int) -> Params:
        """Return the parameters with network i alone."""
        kinds = (NETWORK, HEAD)
        own = {k: v[i : i + 1] for k, v in params.items() if k.startswith(kinds)}
        return {**params, **own}

    def embed(self, params: Params, state: Params, x: Tensor) -> Tensor:
        """Return the networks' outputs (T, R, n_networks * e) for rows of each task."""
        z = squash((x - state["mean"]) / state["scale"])
        embedded = self.encoder.apply(under(params, NETWORK), z)
        embedded = embedded.permute(1, 2, 0, 3).flatten(2)
        return embedded / len(params["head.bias"]) ** 0.5

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's scaling, support rows, their embedding and covariance."""
        state = self.embedded(params, support, y, mask)
        return state | described_rows(params, support, state["inlier"])

    def embedded(
        self, params: Params, support: Tensor, y: Tensor, mask: Tensor
    ) -> Params:
        """Return what of `adapt` the networks learn from."""
        inlier = mask & (y != -1)
        weight = inlier.to(support.dtype)
        if self.standardize:
            mean, scale = task_moments(params, support, weight)
        else:
            mean = support.new_zeros(len(support), 1, support.shape[-1])
            scale = (1.0 / params["row_scale"]).expand_as(mean)
        state = {"mean": mean, "scale": scale}
        embedded = self.embed(params, state, support)
        return state | {
            "support": embedded,
            "inlier": inlier,
            "outlier": mask & (y == -1),
            "prototype": k_means(embedded, weight, self.n_prototypes),
        }

    def distances(
        self, params: Params, state: Params, query: Tensor, embedded: Tensor
    ) -> list[Tensor]:
        """Return five squared distances (T, R) of rows and what they are embedded to.

        To the nearest support rows, to the nearest ones in the embedding, to the
        nearest prototype, to the support's mean under its covariance, and to the
        nearest embedded outlier (huge where there is none).
        """
        near, proto, odd = self.embedded_distances(state, embedded)
        row, mean = row_distances(params, state, query, self.n_neighbors)
        return [row, near, proto, mean, odd]

    def embedded_distances(
        self, state: Params, embedded: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return those of the distances that the networks learn from."""
        d = sq_distances(embedded, state["support"])
        return (
            nearest(d, state["inlier"], self.n_neighbors),
            sq_distances(embedded, state["prototype"]).amin(dim=2),
            nearest(d, state["outlier"]),
        )

    @staticmethod
    def to_each(embedded: Tensor, prototype: Tensor) -> Tensor:
        """Return squared distances (T, n) of rows (n, e) to the tasks' prototypes."""
        # All in one product: rows of their own for each task would fill the memory.
        flat = prototype.flatten(0, 1).unsqueeze(0)
        d = sq_distances(embedded.unsqueeze(0), flat).squeeze(0)
        return d.reshape(len(d), *prototype.shape[:2]).amin(dim=2).t()

    def evidence(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return the logarithms of the distances, (T, R, 5), higher = more abnormal.

        The last part is by how much the nearest labelled outlier is nearer than the
        nearest inlier, 0 where it is not or there is none. With a cohort, distances in
        the embedding are set against those to it.
        """
        embedded = self.embed(params, state, query)
        found = self.distances(params, state, query, embedded)
        return self._evidence(params, state, embedded, found)

    @staticmethod
    def _evidence(
        params: Params, state: Params, embedded: Tensor, squared: list[Tensor]
    ) -> Tensor:
        logs = log_distances(squared)
        margin = (logs[..., 1:2] - logs[..., 4:]).clamp_min(0.0)
        if "cohort.prototypes" in params:
            logs[..., 1:3] -= level(params, state, embedded).unsqueeze(-1)
        return torch.cat([logs[..., :4], margin], dim=-1)

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return the log-odds of an inlier, (T, R)."""
        n = state["inlier"].sum(dim=1).clamp_min(1)
        return log_odds(params, self.evidence(params, state, query), n)

    def held_out(self, params: Params, state: Params) -> Tensor:
        """Score each support inlier against the others, (T, K); NaN where none are.

        The task's scaling and, with several prototypes, the clusters still know the
        row; thresholds, which this is for, are relative to other tasks' same scores.
        """
        inlier = state["inlier"]
        n = inlier.sum(dim=1, keepdim=True)
        own = torch.eye(inlier.shape[1], dtype=torch.bool)
        others = inlier.unsqueeze(1) & ~own
        rows, embedded = state["rows"] - state["gauss.mean"], state["support"]
        d = torch.cdist(embedded, embedded).square()
        proto = torch.cdist(embedded, state["prototype"]).amin(dim=2)
        found = [
            nearest(torch.cdist(rows, rows).square(), others, self.n_neighbors),
            nearest(d, others, self.n_neighbors),
            # The mean without the row is farther.
            (proto * (n.float() / (n - 1).clamp_min(1))).square(),
            state["gauss.own"],
            nearest(d, state["outlier"]),
        ]
        evidence = self._evidence(params, state, embedded, found)
        score = log_odds(params, evidence, (n.squeeze(1) - 1).clamp_min(1))
        return score.masked_fill(~inlier | (n < 2), float("nan"))

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return the separation by the distances of one network's embedding."""
        state = self.embedded(params, *batch.given)
        if self.crossed:
            everyone = self.embed(params, state, inliers(batch)).flatten(0, 1)
            away = self.to_each(everyone, state["prototype"])
            slope = params["head.slope"][0, 1].exp() / self.encoder.width**0.5
            return crossed_separation(params["head.bias"][0, 0] - slope * away)
        embedded = self.embed(params, state, batch.query)
        near, proto, _ = self.embedded_distances(state, embedded)
        slope, bias = params["head.slope"][0].exp(), params["head.bias"][0]
        n = state["inlier"].sum(dim=1, keepdim=True).clamp_min(1).to(near.dtype)
        away = slope[0] * root(near) + slope[1] * root(proto)
        score = bias[0] + bias[1] * n.log() - away
        return separation(score, batch.query_y)


def root(x: Tensor) -> Tensor:
    return (x + 1e-12).sqrt()
