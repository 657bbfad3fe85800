"""One-class MAML: a classifier whose inner loop sees the support's inliers only."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skmetaad.core.encoders import Encoder
from skmetaad.core.losses import crossed_separation, separation
from skmetaad.core.maml import MAML
from skmetaad.core.metric import inliers
from skmetaad.core.nets import NETWORK, Params, affine, directions, under
from skmetaad.core.scaling import as_seen
from skmetaad.core.train import Batch

# What is appended to embeddings, in units of what an entry is like.
CONSTANT = 0.37
LAYERS, LAST = NETWORK + "encoder.", NETWORK + "last."


@dataclass(frozen=True)
class MAMLClassifier(MAML):
    """The pure functions of the method; all state is passed in and out."""

    encoder: Encoder
    crossed: bool = False

    @property
    def last_layer(self) -> tuple[str, ...]:
        return LAST + "weight", LAST + "bias"

    def init(self, generator: torch.Generator) -> Params:
        width = self.encoder.width + 1
        net = self.encoder.init(generator)
        params = {LAYERS + name: value for name, value in net.items()}
        params[LAST + "weight"] = (
            torch.randn(width, 1, generator=generator) / width**0.5
        )
        params[LAST + "bias"] = torch.zeros(1)
        return params | self.first_rates(params)

    def embed(self, net: Params, z: Tensor) -> Tensor:
        """Return what the last layer sees (T, R, e + 1) of rows, all of one length.

        Steps on inliers alone raise the log-odds along the mean of their embeddings,
        which by length would favour the rows farthest out.
        """
        layers = under(net, LAYERS)
        size = self.encoder.width**0.5
        return size * directions(self.encoder.per_task(layers, z), CONSTANT * size)

    def logit(self, net: Params, embedded: Tensor) -> Tensor:
        """Return the log-odds of an inlier (T, R)."""
        return affine(embedded, net[LAST + "weight"], net[LAST + "bias"]).squeeze(2)

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's scaling and network."""
        (state,) = self.states(params, support, y, mask)
        return state

    def states(
        self,
        params: Params,
        support: Tensor,
        y: Tensor,
        mask: Tensor,
        *,
        each: bool = False,
    ) -> Iterator[Params]:
        state, z, normal, odd = self.begun(params, support, y, mask)
        anil = self.algorithm == "anil"
        rows = self.embed(params, z) if anil else z  # which no inner step changes

        def support_loss(net: Params, rows: Tensor) -> Tensor:
            logit = self.logit(net, rows if anil else self.embed(net, rows))
            return (softplus(-logit) * normal + softplus(logit) * odd).sum(dim=1)

        for fast in self.fast(params, support_loss, rows, each=each):
            yield state | fast

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        z = as_seen(params, state, query, self.standardize)
        net = params | state
        return self.logit(net, self.embed(net, z))

    def query_loss(self, params: Params, state: Params, batch: Batch) -> Tensor:
        """Return the separation of the query's inliers from its outliers.

        If `crossed`, from the inliers of all other tasks, which share the embedding.
        """
        if not self.crossed:
            return separation(self.score(params, state, batch.query), batch.query_y)
        z = as_seen(params, state, inliers(batch), self.standardize)
        everyone = self.embed(params | state, z).flatten(0, 1)
        weight, bias = (state[name].squeeze(-1) for name in self.last_layer)
        return crossed_separation((everyone @ weight.t() + bias).t())
