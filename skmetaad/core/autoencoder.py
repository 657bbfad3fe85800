"""Meta-learned autoencoder: MAML on the reconstruction of a task's support rows."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.losses import separation
from skmetaad.core.maml import HEAD, MAML, NETWORK
from skmetaad.core.nets import Params, init_mlp, mlp
from skmetaad.core.scaling import squash, task_moments
from skmetaad.core.train import Batch


@dataclass(frozen=True)
class MAMLAutoencoder(MAML):
    """The pure functions of the method; all state is passed in and out."""

    sizes: tuple[int, ...]
    activation: str = "relu"
    strength: float = 10.0
    separation_weight: float = 1.0

    @property
    def n_layers(self) -> int:
        return len(self.sizes) - 1

    def init(self, generator: torch.Generator) -> Params:
        # A small last layer: the untrained network reconstructs the task's mean.
        params = init_mlp(self.sizes, generator, prefix=NETWORK, gain=0.1)
        params |= self.first_rates(params)
        params[HEAD + "feature"] = torch.zeros(self.sizes[0])
        params[HEAD + "slope"] = torch.tensor(0.0)
        params[HEAD + "bias"] = torch.tensor(1.0)
        params[HEAD + "level"] = torch.tensor(0.0)
        return params

    @property
    def last_layer(self) -> tuple[str, ...]:
        last = self.n_layers - 1
        return f"{NETWORK}weight{last}", f"{NETWORK}bias{last}"

    def reconstruct(self, net: Params, z: Tensor) -> Tensor:
        return mlp(net, z, self.n_layers, prefix=NETWORK, activation=self.activation)

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's scaling, network and level of its support error."""
        weight = (mask & (y != -1)).to(support.dtype)
        mean, scale = task_moments(params, support, weight, self.strength)
        z = squash((support - mean) / scale)
        share = weight / weight.sum(dim=1, keepdim=True).clamp_min(1.0)

        def support_loss(net: Params) -> Tensor:
            error = (self.reconstruct(params | net, z) - z).square().mean(dim=2)
            return (error * share).sum(dim=1)

        fast = self.fast(params, support_loss, len(support))
        level = (self._log_error(params, fast, z) * share).sum(dim=1)
        return {"mean": mean, "scale": scale, "level": level, **fast}

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        r"""Return :math:`b - e^a (\log e(x) - c \, \overline{\log e}_{support})`."""
        z = squash((query - state["mean"]) / state["scale"])
        error = self._log_error(params, state, z)
        level = params[HEAD + "level"] * state["level"].unsqueeze(1)
        slope = params[HEAD + "slope"].exp()
        return params[HEAD + "bias"] - slope * (error - level)

    def _log_error(self, params: Params, net: Params, z: Tensor) -> Tensor:
        weight = torch.softmax(params[HEAD + "feature"], dim=0)
        error = (self.reconstruct(params | net, z) - z).square()
        return torch.log(error @ weight + 1e-6)

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return query reconstruction of inliers plus separation from outliers."""
        mask = batch.support_y != 0
        state = self.adapt(params, batch.support, batch.support_y, mask)
        z = squash((batch.query - state["mean"]) / state["scale"])
        error = (self.reconstruct(params | state, z) - z).square().mean(dim=2)
        inlier = (batch.query_y == 1).to(error.dtype)
        reconstruction = (error * inlier).sum() / inlier.sum().clamp_min(1.0)
        score = self.score(params, state, batch.query)
        apart = separation(score, batch.query_y)
        pull = self.pull(params, state)
        return reconstruction + self.separation_weight * apart + pull
