"""Meta-learned support vector data description: a one-class hypersphere per task."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.metric import Metric, by_shots
from skmetaad.core.nets import Params, mean_of, nearest, sq_distances


@dataclass(frozen=True)
class SVDD(Metric):
    """The pure functions of the method; all state is passed in and out."""

    covariance: str = "spherical"

    def init_head(self, generator: torch.Generator) -> Params:
        head = {
            "head.radius": torch.tensor([1.0, 0.0]),
            "head.slope": torch.tensor(0.0),
        }
        if self.covariance != "spherical":
            head["head.variance"] = torch.zeros(self.encoder.width)
            head["head.strength"] = torch.tensor(10.0).log()
        return head

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        """Return center (T, 1, e), whitening, and the whitened labelled outliers."""
        inlier = state["inlier"]
        center = mean_of(embedded, inlier)
        found = {"center": center}
        away = embedded - center
        if self.covariance != "spherical":
            found["whitening"] = self._whitening(params, away, inlier)
        return found | {"support": self._whitened(found, away)}

    def _whitening(self, params: Params, away: Tensor, inlier: Tensor) -> Tensor:
        r"""Return W, with :math:`W W^\top` the inverse of the shrunk covariance."""
        strength = params["head.strength"].exp()
        prior = params["head.variance"].exp()
        weight = inlier.to(away.dtype).unsqueeze(2)
        n = weight.sum(dim=1, keepdim=True)
        own = away * weight
        if self.covariance == "diagonal":
            variance = (strength * prior + own.square().sum(1, keepdim=True)) / (
                strength + n
            )
            return variance.rsqrt()
        own = own.double()
        scatter = own.mT @ own
        # The least that a factor can tell from rounding.
        least = 1e-12 * scatter.diagonal(dim1=1, dim2=2).sum(dim=1)[:, None]
        ridge = torch.diag_embed(strength * prior + least)
        lower = torch.linalg.cholesky((ridge + scatter) / (strength + n))
        unit = torch.eye(lower.shape[-1], dtype=lower.dtype).expand_as(lower)
        inverse = torch.linalg.solve_triangular(lower, unit, upper=False)
        return inverse.mT.to(away.dtype)

    def _whitened(self, state: Params, away: Tensor) -> Tensor:
        if self.covariance == "spherical":
            return away
        if self.covariance == "diagonal":
            return away * state["whitening"]
        return away @ state["whitening"]

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        z = self._whitened(state, embedded - state["center"])
        inside = z.square().sum(dim=2)
        odd = nearest(sq_distances(z, state["support"]), state["outlier"])
        radius = by_shots(params["head.radius"], state)
        slope = params["head.slope"].exp()
        return slope * (radius - inside - (inside - odd).clamp_min(0.0))
