"""One-class prototypical network, blended with the nearest support rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.losses import separation
from skmetaad.core.nets import Params, init_mlp, mlp, sq_distances
from skmetaad.core.scaling import squash, task_moments
from skmetaad.core.train import Batch

FAR = 1e6


@dataclass(frozen=True)
class Prototype:
    """The pure functions of the method; all state is passed in and out."""

    sizes: tuple[int, ...]
    activation: str = "relu"
    n_prototypes: int = 1
    n_neighbors: int = 3
    standardize: bool = True
    strength: float = 10.0

    @property
    def n_layers(self) -> int:
        return len(self.sizes) - 1

    def init(self, generator: torch.Generator) -> Params:
        # A small last layer: untrained, the embedding is the scaled row itself.
        params = init_mlp(self.sizes, generator, gain=0.1)
        params["feature"] = torch.zeros(self.sizes[0])
        params["blend"] = torch.tensor(0.0)
        params["slope"] = torch.tensor(0.0)
        params["bias"] = torch.tensor([2.0, 0.0])
        params["outlier"] = torch.tensor(0.0)
        return params

    def embed(self, params: Params, state: Params, x: Tensor) -> Tensor:
        """Return the scaled row, each feature weighted, beside a network of it."""
        z = squash((x - state["mean"]) / state["scale"])
        weight = params["feature"].exp() / self.sizes[0] ** 0.5
        return torch.cat([z * weight, mlp(params, z, self.n_layers)], dim=-1)

    def adapt(
        self, params: Params, support: Tensor, y: Tensor, mask: Tensor
    ) -> Params:
        """Return each task's scaling, support embeddings and prototypes."""
        inlier = mask & (y != -1)
        weight = inlier.to(support.dtype)
        if self.standardize:
            mean, scale = task_moments(params, support, weight, self.strength)
        else:
            mean = support.new_zeros(len(support), 1, support.shape[-1])
            scale = torch.ones_like(mean)
        state = {"mean": mean, "scale": scale}
        embedded = self.embed(params, state, support)
        state |= {"support": embedded, "inlier": inlier, "outlier": mask & (y == -1)}
        state["prototype"] = k_means(embedded, weight, self.n_prototypes)
        return state

    def distance(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return the blend of prototype and nearest-neighbour distance, (T, R)."""
        e = self.embed(params, state, query)
        near = nearest(e, state["support"], state["inlier"], self.n_neighbors)
        proto = sq_distances(e, state["prototype"]).amin(dim=2)
        share = torch.sigmoid(params["blend"])
        return share * root(near) + (1 - share) * root(proto)

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        n = state["inlier"].sum(dim=1, keepdim=True).clamp_min(1).to(query.dtype)
        bias = params["bias"][0] + params["bias"][1] * n.log()
        return bias - params["slope"].exp() * self.distance(params, state, query)

    def loss(self, params: Params, batch: Batch) -> Tensor:
        mask = batch.support_y != 0
        state = self.adapt(params, batch.support, batch.support_y, mask)
        return separation(self.score(params, state, batch.query), batch.query_y)


def root(x: Tensor) -> Tensor:
    return (x + 1e-12).sqrt()


def nearest(query: Tensor, support: Tensor, mask: Tensor, k: int) -> Tensor:
    """Return the mean squared distance to the k nearest support rows, (T, R)."""
    d = sq_distances(query, support).masked_fill(~mask.unsqueeze(1), float("inf"))
    k = min(k, d.shape[2])
    d = d.topk(k, dim=2, largest=False).values
    there = torch.isfinite(d)
    d = torch.where(there, d, 0.0).sum(dim=2)
    return torch.where(there.any(2), d / there.sum(dim=2).clamp_min(1), FAR)


def k_means(x: Tensor, weight: Tensor, k: int, n_steps: int = 5) -> Tensor:
    """Return k cluster means (T, k, e) of the weighted rows x (T, K, e).

    The start is deterministic: the mean, or for k > 1 the row next to it, then ever the
    row farthest from those chosen. Gradients flow through the last assignment.
    """
    if k == 1:
        return weighted_mean(x, weight.unsqueeze(1))
    with torch.no_grad():
        center = weighted_mean(x, weight.unsqueeze(1))
        away = sq_distances(x, center).squeeze(2).masked_fill(weight == 0, FAR)
        pick = away.argmin(dim=1)
        chosen = [x[torch.arange(len(x)), pick]]
        for _ in range(k - 1):
            d = sq_distances(x, torch.stack(chosen, dim=1)).amin(dim=2)
            pick = d.masked_fill(weight == 0, -1.0).argmax(dim=1)
            chosen.append(x[torch.arange(len(x)), pick])
        centers = torch.stack(chosen, dim=1)
        for _ in range(n_steps):
            share = assignment(x, weight, centers)
            centers = keep_if_empty(weighted_mean(x, share), centers, share)
    share = assignment(x, weight, centers)
    return keep_if_empty(weighted_mean(x, share), centers, share)


def weighted_mean(x: Tensor, share: Tensor) -> Tensor:
    """Return means (T, k, e) of x (T, K, e) under the weights (T, k, K)."""
    return share @ x / share.sum(dim=2, keepdim=True).clamp_min(1e-12)


def assignment(x: Tensor, weight: Tensor, centers: Tensor) -> Tensor:
    """Return (T, k, K): each row's weight at its nearest center, zero at others."""
    nearest_center = sq_distances(x, centers).argmin(dim=2)
    one_hot = torch.nn.functional.one_hot(nearest_center, centers.shape[1])
    return one_hot.to(x.dtype).transpose(1, 2) * weight.unsqueeze(1)


def keep_if_empty(new: Tensor, old: Tensor, share: Tensor) -> Tensor:
    return torch.where(share.sum(dim=2, keepdim=True) > 0, new, old)
