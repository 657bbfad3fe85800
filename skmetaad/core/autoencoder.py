"""Meta-learned autoencoder: MAML on the reconstruction of a task's support rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, softplus

from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.codecs import Codec, DenseCodec
from skmetaad.core.dense_loop import dense_inner_loop
from skmetaad.core.dense_step import Loss
from skmetaad.core.forms import Net, whole
from skmetaad.core.losses import separation
from skmetaad.core.maml import MAML
from skmetaad.core.nets import HEAD, NETWORK, Params, init_mlp, mlp, under
from skmetaad.core.scaling import as_seen
from skmetaad.core.state import finite
from skmetaad.core.train import Batch

VARIANTS = ("plain", "denoising", "variational", "adversarial")
CRITIC = "critic."
CRITIC_WIDTH = 32
# The bound of log variances, which keeps rows unlike any before from overflowing.
LARGEST = 2.0
# Columns that the inner loss counts at least: the fewer, the more it bends.
FEWEST = 4
# Rows of noise drawn at once.
BLOCK = 64


@dataclass(frozen=True)
class MAMLAutoencoder(MAML):
    """The pure functions of the method; all state is passed in and out."""

    codec: Codec
    variant: str = "plain"
    noise: float = 0.2
    separation_weight: float = 1.0
    # Of the variant's noise. Adapting is a function of its rows, at the same seed.
    seed: int = 0

    def init(self, generator: torch.Generator) -> Params:
        net = self.codec.init(generator)
        params = {NETWORK + name: value for name, value in net.items()}
        if self.variant == "variational":
            self._add_variance(params)
        params |= self.first_rates(params)
        params[HEAD + "feature"] = torch.zeros(self.codec.n_features)
        params[HEAD + "slope"] = torch.tensor(0.0)
        params[HEAD + "bias"] = torch.tensor(1.0)
        params[HEAD + "level"] = torch.tensor(0.0)
        if self.variant == "adversarial":
            critic = (self.codec.width, CRITIC_WIDTH, 1)
            params |= init_mlp(critic, generator, prefix=CRITIC)
        return params

    def _add_variance(self, params: Params) -> None:
        """Let the bottleneck have a log variance beside each mean, small at first."""
        last = self.codec.to_bottleneck
        weight, bias = f"{NETWORK}weight{last}", f"{NETWORK}bias{last}"
        params[weight] = torch.cat([params[weight], 0.1 * params[weight]], dim=1)
        params[bias] = torch.cat([params[bias], params[bias] - 2.0])

    @property
    def last_layer(self) -> tuple[str, ...]:
        last = self.codec.n_layers - 1
        return f"{NETWORK}weight{last}", f"{NETWORK}bias{last}"

    @property
    def n_counted(self) -> int:
        """By how many columns the inner loss divides errors."""
        n_terms = self.codec.width if self.variant == "variational" else 0
        return max(self.codec.n_features, FEWEST, n_terms)

    def encode(self, net: Params, z: Tensor) -> Tensor:
        """Return the bottleneck (T, R, b); means and log variances if variational."""
        return self.codec.encode(under(net, NETWORK), z)

    def drawn(self, n_rows: int, *, query: bool = False) -> Tensor | None:
        """Return the noise (1, R, e) of a variant that has any."""
        if self.variant == "denoising":
            return white(n_rows, self.codec.n_features, 2 * self.seed + query)
        if self.variant == "variational":
            return white(n_rows, self.codec.width, 2 * self.seed + query)
        return None

    def seen(self, z: Tensor, noise: Tensor | None) -> Tensor:
        """Return the rows as the network sees them."""
        if noise is not None and self.variant == "denoising":
            return z + self.noise * noise.to(z.dtype)
        return z

    def decode(self, net: Params, hidden: Tensor) -> Tensor:
        return self.codec.decode(under(net, NETWORK), hidden)

    def errors(
        self, net: Params, z: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return squared errors (T, R, d), and what else speaks against a row (T, R).

        `noise` (1, R, e) of the variant goes into the input or the bottleneck.
        """
        hidden = self.encode(net, self.seen(z, noise))
        penalty = z.new_zeros(())
        if self.variant == "variational":
            mean, log_variance = hidden.chunk(2, dim=2)
            log_variance = LARGEST - softplus(LARGEST - log_variance)
            # With this factor, mean error and penalty are minus the evidence's lower
            # bound in units of half a feature.
            divergence = mean.square() + log_variance.exp() - 1.0 - log_variance
            penalty = divergence.sum(dim=2) / z.shape[2]
            hidden = mean
            if noise is not None:
                hidden = mean + (0.5 * log_variance).exp() * noise.to(mean.dtype)
        else:
            hidden = ACTIVATIONS[self.codec.activation](hidden)
        return mse_loss(self.decode(net, hidden), z, reduction="none"), penalty

    def describe(self, net: Params, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bottleneck (T, R, b), means if variational, and the residuals."""
        hidden = code = self.encode(net, z)
        if self.variant == "variational":
            hidden = code = hidden.chunk(2, dim=2)[0]
        else:
            hidden = ACTIVATIONS[self.codec.activation](hidden)
        return code, self.decode(net, hidden) - z

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's scaling, network and level of its support error."""
        (state,) = self.states(params, support, y, mask)
        state = whole(state)
        # Infinite scores and thresholds would call every row normal.
        gone = ~finite(state)
        return {**state, "level": state["level"].masked_fill(gone, torch.nan)}

    def states(
        self,
        params: Params,
        support: Tensor,
        y: Tensor,
        mask: Tensor,
        *,
        each: bool = False,
    ) -> Iterator[Net]:
        """Yield what `adapt` returns, with weights in whatever form is cheaper."""
        state, z, normal, odd = self.begun(params, support, y, mask)
        adapted = self._by_hand if self.written_out else self._by_autograd
        for fast in adapted(params, z, normal, odd, each=each):
            level = (self._log_error(params, fast, z) * normal).sum(dim=1)
            yield {**state, "level": level, **fast}

    @property
    def written_out(self) -> bool:
        """Whether the inner gradient is that of `dense_inner_loop`."""
        return isinstance(self.codec, DenseCodec) and self.variant != "variational"

    def _by_autograd(
        self, params: Params, z: Tensor, normal: Tensor, odd: Tensor, *, each: bool
    ) -> Iterator[Params]:
        noise = self.drawn(z.shape[1])

        def support_loss(net: Params, z: Tensor) -> Tensor:
            error, penalty = self.errors(net, z, noise)
            share = z.shape[2] / self.n_counted
            error = error.sum(dim=2) / self.n_counted + penalty * share
            return (error * normal + softplus(1.0 - error) * odd).sum(dim=1)

        return self.fast(params, support_loss, z, each=each)

    def _by_hand(
        self, params: Params, z: Tensor, normal: Tensor, odd: Tensor, *, each: bool
    ) -> Iterator[Net]:
        options = self.loop_options(each)
        loss = Loss(
            normal,
            odd if odd.any() else None,
            self.n_counted,
            self.codec.activation,
            options.pop("clip"),
        )
        found = dense_inner_loop(
            params,
            self.seen(z, self.drawn(z.shape[1])),
            z,
            loss,
            self.rates(params),
            prefix=NETWORK,
            n_layers=self.codec.n_layers,
            **options,
        )
        return map(self.cut, found)

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        r"""Return :math:`b - e^a (\log e(x) - c \, \overline{\log e}_{support})`."""
        z = as_seen(params, state, query, self.standardize)
        return self._score(params, state, self._log_error(params, state, z))

    def _score(self, params: Params, state: Params, log_error: Tensor) -> Tensor:
        level = params[HEAD + "level"] * state["level"].unsqueeze(1)
        slope = params[HEAD + "slope"].exp()
        return params[HEAD + "bias"] - slope * (log_error - level)

    def _log_error(self, params: Params, net: Params, z: Tensor) -> Tensor:
        return self._log(params, *self.errors(params | net, z))

    def _log(self, params: Params, error: Tensor, penalty: Tensor) -> Tensor:
        weight = torch.softmax(params[HEAD + "feature"], dim=0)
        return torch.log(error @ weight + penalty + 1e-6)

    def loss(
        self, params: Params, batch: Batch, weights: Sequence[float] | None = None
    ) -> Tensor:
        """Return the outer loss, with noise that is the batch's own."""
        return MAML.loss(replace(self, seed=batch.seed), params, batch, weights)

    def query_loss(self, params: Params, state: Net, batch: Batch) -> Tensor:
        """Return query reconstruction of inliers plus separation from outliers."""
        z = as_seen(params, state, batch.query, self.standardize)
        net = params | state
        noise = self.drawn(z.shape[1], query=True)
        error, penalty = self.errors(net, z, noise)
        if noise is None:
            log_error = self._log(params, error, penalty)
        else:
            log_error = self._log_error(params, state, z)
        inlier = (batch.query_y == 1).to(z.dtype)
        error = error.mean(dim=2) + penalty
        reconstruction = (error * inlier).sum() / inlier.sum().clamp_min(1.0)
        apart = separation(self._score(params, state, log_error), batch.query_y)
        total = reconstruction + self.separation_weight * apart
        if self.variant == "adversarial":
            total = total + self.duel(params, self.encode(net, z), inlier)
        return total

    def duel(self, params: Params, hidden: Tensor, inlier: Tensor) -> Tensor:
        """Return the critic's loss at telling bottlenecks from a normal distribution.

        The critic descends on it; what comes before the bottleneck ascends.
        """
        # The value is that of `hidden`, its gradient has the other sign.
        turned = 2 * hidden.detach() - hidden
        normal = white(hidden.shape[1], hidden.shape[2], 2 * self.seed + 1)
        real = self.criticise(params, normal.to(hidden.dtype).expand_as(hidden))
        made = self.criticise(params, turned)
        lost = softplus(-real) + softplus(made)
        return (lost * inlier).sum() / inlier.sum().clamp_min(1.0)

    @staticmethod
    def criticise(params: Params, hidden: Tensor) -> Tensor:
        return mlp(params, hidden, 2, prefix=CRITIC).squeeze(2)


def white(n_rows: int, width: int, seed: int) -> Tensor:
    """Return normal noise (1, R, e), whose first rows do not hang on their number."""
    drawn = torch.Generator().manual_seed(seed)
    n_drawn = n_rows + -n_rows % BLOCK
    return torch.randn(n_drawn, width, generator=drawn)[None, :n_rows]
