"""What metric-based methods share: scaling, embedding, and the outer loss."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skmetaad.core.encoders import Encoder
from skmetaad.core.losses import crossed_separation, separation
from skmetaad.core.nets import FAR, NETWORK, Params, mean_of, under
from skmetaad.core.scaling import as_seen, task_scaling
from skmetaad.core.train import Batch


@dataclass(frozen=True)
class Metric(ABC):
    """A method that compares an embedded row with an embedded support.

    A subclass gives `compare`, on embeddings (T, R, e) and a state, and may add
    parameters in `init_head` and to the state in `summarize`.
    """

    encoder: Encoder
    standardize: bool = True
    crossed: bool = False

    def init(self, generator: torch.Generator) -> Params:
        net = self.encoder.init(generator)
        return {NETWORK + k: v for k, v in net.items()} | self.init_head(generator)

    def init_head(self, generator: torch.Generator) -> Params:
        return {}

    def embed(self, params: Params, state: Params, x: Tensor) -> Tensor:
        """Return embeddings (T, R, e) of rows as their tasks see them."""
        return self.encode(params, self.seen(params, state, x))

    def seen(self, params: Params, state: Params, x: Tensor) -> Tensor:
        return as_seen(params, state, x, self.standardize)

    def encode(self, params: Params, z: Tensor) -> Tensor:
        net = {k: value.unsqueeze(0) for k, value in under(params, NETWORK).items()}
        return self.encoder.apply(net, z)[0]

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's scaling and what it keeps of its embedded support."""
        inlier = mask & (y != -1)
        state = task_scaling(params, support, inlier, self.standardize)
        state |= {"inlier": inlier, "outlier": mask & (y == -1)}
        embedded = self.embed(params, state, support)
        return state | self.summarize(params, state, embedded)

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        return {"support": embedded}

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return scores (T, R), higher = more normal."""
        return self.compare(params, state, self.embed(params, state, query))

    @abstractmethod
    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        """Return scores (T, R) of embedded rows (T, R, e)."""

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return the separation of the query's inliers from outliers.

        These are the query's own, or if `crossed` the inliers of all other tasks.
        """
        return self.separated(params, self.adapt(params, *batch.given), batch)

    def separated(self, params: Params, state: Params, batch: Batch) -> Tensor:
        embedded = self.embed(params, state, self.contrasted(batch))
        return self.separation_of(params, state, embedded, batch.query_y)

    def contrasted(self, batch: Batch) -> Tensor:
        """Return the rows (B, Q, d) that the separation embeds."""
        return inliers(batch) if self.crossed else batch.query

    def separation_of(
        self, params: Params, state: Params, embedded: Tensor, query_y: Tensor
    ) -> Tensor:
        if self.crossed:
            return crossed_separation(self.compare(params, state, to_all(embedded)))
        return separation(self.compare(params, state, embedded), query_y)


def inliers(batch: Batch) -> Tensor:
    """Return the query's inliers (B, Q, d), the first rows of each query."""
    return batch.query[:, batch.query_y[0] == 1]


def to_all(embedded: Tensor) -> Tensor:
    """Return the rows of all tasks (T, T * R, e), the same for each task."""
    return embedded.flatten(0, 1).expand(len(embedded), -1, -1)


def less_odd(score: Tensor, odd: Tensor, state: Params) -> Tensor:
    """Take the softplus of a likeness to labelled outliers off, where there are any."""
    known = state["outlier"].any(dim=1, keepdim=True)
    return score - torch.where(known, softplus(odd), torch.zeros_like(odd))


def by_shots(line: Tensor, state: Params, n_rows: int = 1) -> Tensor:
    """Return a + b log n (T, n_rows), of a line (a, b), n a task's support inliers."""
    n = state["inlier"].sum(dim=1, keepdim=True).clamp_min(1).to(line.dtype)
    return line[0] + line[1] * n.log().expand(-1, n_rows)


def present(state: Params) -> Tensor:
    """Return which support rows (T, K) are no padding."""
    return state["inlier"] | state["outlier"]


def two_means(state: Params, embedded: Tensor) -> Params:
    """Return the means (T, 1, e) of the support's inliers and of its outliers."""
    return {
        "normal": mean_of(embedded, state["inlier"]),
        "odd": mean_of(embedded, state["outlier"]),
    }


def log_sum(similarity: Tensor, mask: Tensor) -> Tensor:
    """Return the log of the summed exponentials (T, R) over the rows in mask."""
    return similarity.masked_fill(~mask.unsqueeze(1), -FAR).logsumexp(dim=2)
