r"""Generative adversarial networks that see a task's support.

Rows x are as their task sees them, c is the mean of the embedded support inliers. The
generator makes rows G(z|c) of noise z, and the discriminator gives the log-odds D(x|c)
that a row is real. In the bidirectional form an encoder says of what noise a row is
made, E(x|c), and the discriminator judges both, D(x, z|c).
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import softplus

from skmetaad.core.metric import Metric, inliers, less_odd, two_means
from skmetaad.core.nets import HEAD, NETWORK, Params, init_mlp, mlp
from skmetaad.core.train import Batch

VARIANTS = ("gan", "bigan")
GENERATOR = "generator."
ENCODER = "encoder."
DISCRIMINATOR = "discriminator."
# The discriminator's outputs: the log-odds that a row is normal, and that it is real.
NORMAL, REAL = 0, 1
# The weight of the reconstruction where no outlier tells it (Zenati et al. 2018).
ALPHA = 0.9


@dataclass(frozen=True)
class GAN(Metric):
    """The pure functions of the method; all state is passed in and out."""

    n_features: int = 1
    variant: str = "bigan"
    conditional: bool = True
    latent_size: int = 8
    generator_sizes: tuple[int, ...] = (64,)
    discriminator_sizes: tuple[int, ...] = (32,)
    adversarial_weight: float = 0.1
    cycle_weight: float = 10.0
    supervised: bool = True

    @property
    def paired(self) -> bool:
        return self.variant == "bigan"

    def init_head(self, generator: torch.Generator) -> Params:
        d, e, b = self.n_features, self.encoder.width, self.latent_size
        n_given = e if self.conditional else 0
        n_judged = e + 2 * n_given + (b if self.paired else 0)
        judged = (n_judged, *self.discriminator_sizes, 2)
        params = init_mlp(judged, generator, prefix=DISCRIMINATOR)
        made = (b + n_given, *self.generator_sizes, d)
        params |= init_mlp(made, generator, prefix=GENERATOR)
        if self.paired:
            encoded = (d + n_given, *self.generator_sizes[::-1], b)
            params |= init_mlp(encoded, generator, prefix=ENCODER)
            params[HEAD + "bias"] = torch.tensor(0.0)
            params[HEAD + "slope"] = torch.tensor(0.0)
        return params

    def embed(self, params: Params, state: Params, x: Tensor) -> Tensor:
        """Return embeddings, and with an encoder the rows as seen beside them."""
        seen = self.seen(params, state, x)
        embedded = self.encode(params, seen)
        return torch.cat([embedded, seen], dim=2) if self.paired else embedded

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        return two_means(state, embedded[..., : self.encoder.width])

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        score = self._score(params, embedded, state["normal"])
        if not self.conditional:
            return score
        return less_odd(score, self._score(params, embedded, state["odd"]), state)

    def _score(self, params: Params, embedded: Tensor, given: Tensor) -> Tensor:
        which = NORMAL if self.supervised else REAL
        if not self.paired:
            return self.judged(params, embedded, given)[..., which]
        embedded, x = embedded.split([self.encoder.width, self.n_features], dim=2)
        z = self.encoded(params, x, given)
        error = torch.log(self.missed(params, x, z, given) + 1e-6)
        judged = self.judged(params, embedded, given, z)[..., which]
        if not self.supervised:
            return (1 - ALPHA) * judged - ALPHA * error
        return judged + params[HEAD + "bias"] - params[HEAD + "slope"].exp() * error

    def judged(
        self, params: Params, embedded: Tensor, given: Tensor, z: Tensor | None = None
    ) -> Tensor:
        """Return the log-odds (T, R, 2) that embedded rows are normal, and real."""
        parts = [embedded]
        if self.conditional:
            parts += [given.expand_as(embedded), (embedded - given).abs()]
        if self.paired:
            parts.append(z)
        n_layers = len(self.discriminator_sizes) + 1
        return mlp(params, torch.cat(parts, dim=2), n_layers, prefix=DISCRIMINATOR)

    def made(self, params: Params, z: Tensor, given: Tensor) -> Tensor:
        """Return rows (T, R, d), as tasks see them, made of noise (T, R, b)."""
        return self._through(params, z, given, GENERATOR)

    def encoded(self, params: Params, x: Tensor, given: Tensor) -> Tensor:
        """Return the noise (T, R, b) that rows (T, R, d) seem to be made of."""
        return self._through(params, x, given, ENCODER)

    def missed(self, params: Params, x: Tensor, z: Tensor, given: Tensor) -> Tensor:
        """Return the mean squared errors (T, R) of rows made of noise in place of x."""
        return (self.made(params, z, given) - x).square().mean(dim=2)

    def _through(self, params: Params, x: Tensor, given: Tensor, prefix: str) -> Tensor:
        if self.conditional:
            x = torch.cat([x, given.expand(*x.shape[:2], -1)], dim=2)
        return mlp(params, x, len(self.generator_sizes) + 1, prefix=prefix)

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return the loss of the duel and, if supervised, the separation."""
        state = self.adapt(params, *batch.given)
        duel = self.duel(params, state, batch)
        if not self.supervised:
            return duel
        return self.separated(params, state, batch) + self.adversarial_weight * duel

    def duel(self, params: Params, state: Params, batch: Batch) -> Tensor:
        r"""Return the discriminator's loss plus that of those who mislead it.

        With real rows x and made rows G(z), the former is
        :math:`\mathrm{softplus}(-D(x)) + \mathrm{softplus}(D(G(z)))`, the latter
        :math:`\mathrm{softplus}(-D(G(z)))` and, for an encoder's pairs,
        :math:`\mathrm{softplus}(D(x, E(x)))` and what G(E(x)) misses of x. Each side
        takes the other as given.
        """
        x = self.seen(params, state, inliers(batch))
        given = state["normal"].detach()
        noise = torch.Generator().manual_seed(batch.seed)
        z = torch.randn(*x.shape[:2], self.latent_size, generator=noise).to(x.dtype)
        made = self.made(params, z, given)
        embedded = self.encode(params, x)
        fixed = {
            name: value.detach() if name.startswith((NETWORK, DISCRIMINATOR)) else value
            for name, value in params.items()
        }
        fooled = self._real(fixed, self.encode(fixed, made), given, z)
        misled, code = softplus(-fooled), None
        if self.paired:
            code = self.encoded(params, x, given)
            told = self._real(fixed, embedded.detach(), given, code)
            missed = self.missed(params, x, code, given)
            misled = misled + softplus(told) + self.cycle_weight * missed
            code = code.detach()
        real = self._real(params, embedded, state["normal"], code)
        fake = self.encode(params, made.detach())
        fake = self._real(params, fake, state["normal"], z)
        return (softplus(-real) + softplus(fake) + misled).mean()

    def _real(
        self, params: Params, embedded: Tensor, given: Tensor, z: Tensor | None
    ) -> Tensor:
        return self.judged(params, embedded, given, z)[..., REAL]
