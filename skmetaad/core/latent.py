r"""Autoencoders whose latent code and residual are judged by Mahalanobis distances.

An adapted network turns a row into a code, the values of the bottleneck before any
activation, and a residual, the output minus the input. Of each, a task has a mean and
covariance from its support, shrunk to the covariance over all tasks
(`core.gaussian`).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.autoencoder import CRITIC, MAMLAutoencoder
from skmetaad.core.blend import log_distances, log_odds
from skmetaad.core.gaussian import (
    described_rows,
    fit_gaussian,
    fleet_whitening,
    gaussian_distances,
    row_distances,
    whitened,
)
from skmetaad.core.nets import HEAD, NETWORK, Params, nearest, sq_distances, under
from skmetaad.core.scaling import as_seen
from skmetaad.core.state import finite
from skmetaad.core.train import RATE, Batch

SPACES = ("code", "residual")
WHITENING = "whitening."
KEPT = ("mean", "directions")
# Parameters with a leading axis of networks.
STACKED = (NETWORK, RATE, HEAD, CRITIC, WHITENING)
# Mean squared residuals, in units of a task's features, of networks gone astray.
ASTRAY = 100.0
# Logarithms of distances beyond this come from networks gone astray: finite rows, in
# units of the fleet, stay below.
FARTHEST = 25.0


@dataclass(frozen=True)
class LatentAutoencoder:
    """The pure functions of the score, for several networks that adapt side by side."""

    single: MAMLAutoencoder
    n_networks: int = 1

    def init(self, generator: torch.Generator) -> Params:
        nets = [self.single.init(generator) for _ in range(self.n_networks)]
        return {name: torch.stack([net[name] for net in nets]) for name in nets[0]}

    def network(self, params: Params, i: int) -> Params:
        """Return the parameters with those of network i, without the leading axis."""
        return {k: v[i] if k.startswith(STACKED) else v for k, v in params.items()}

    def alone(self, net: Params) -> Params:
        """Return the parameters of a network with the leading axis, as one of one."""
        return {k: v[None] if k.startswith(STACKED) else v for k, v in net.items()}

    def networks(self, params: Params) -> list[Params]:
        n = len(params[HEAD + "bias"])
        return [self.network(params, i) for i in range(n)]

    def adapt(self, params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
        """Return each task's networks and what they make of its support.

        Those that leave the finite numbers are all infinite, unless none is left.
        """
        state, nets = guard_state(params, support, y, mask), []
        for net in self.networks(params):
            own = self.single.adapt(net, support, y, mask)
            nets.append(own | self.fitted(net, own, support, state["inlier"]))
        astray = torch.stack([~finite(own) for own in nets])
        astray &= ~astray.all(dim=0)
        for i, (own, gone) in enumerate(zip(nets, astray, strict=True)):
            for name, value in own.items():
                if gone.any():
                    value = value.clone()
                    value[gone] = torch.inf
                state[f"{i}.{name}"] = value
        return state

    def fitted(
        self, net: Params, state: Params, support: Tensor, inlier: Tensor
    ) -> Params:
        """Return mean and directions of each task's codes and residuals, and codes."""
        described = self.described(net, state, support)
        fitted = {"codes": whitened(net[WHITENING + "code"], described[0])}
        for space, rows in zip(SPACES, described, strict=True):
            found = fit_gaussian(net[WHITENING + space], rows, inlier)
            fitted |= {f"{space}.{k}": found[f"gauss.{k}"] for k in KEPT}
        return fitted

    def described(self, net: Params, state: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the codes (T, R, b) and residuals (T, R, d) of rows (T, R, d)."""
        z = as_seen(net, state, x, self.single.standardize)
        return self.single.describe(net | state, z)

    def evidence(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return the parts of the score, (T, R, 7), higher = more abnormal.

        Logarithms, the mean over networks, of: the reconstruction error; the
        distances of code and residual to the support's means under its covariances;
        the distance to the nearest code of the support. Then those of the row itself to
        the nearest row and to the mean. At last by how much the nearest code of a
        labelled outlier is nearer than that of an inlier, 0 where it is not or there is
        none.
        """
        total = 0.0
        nets = self.networks(params)
        for i, net in enumerate(nets):
            own = under(state, f"{i}.")
            own |= {k: state[k] for k in ("inlier", "outlier")}
            total = total + self.evidence_of(net, own, query)
        return with_guard(total / len(nets), params, state, query)

    def evidence_of(self, net: Params, state: Params, query: Tensor) -> Tensor:
        """Return what of the evidence comes from one network.

        A network that has gone astray finds all rows alike, and far.
        """
        code, residual = self.described(net, state, query)
        n = state["inlier"].sum(dim=1)
        found = [
            gaussian_distances(net[WHITENING + space], gaussian(state, space), n, rows)
            for space, rows in zip(SPACES, (code, residual), strict=True)
        ]
        code = whitened(net[WHITENING + "code"], code)
        away = sq_distances(code, state["codes"]) / code.shape[2]
        near, odd = (nearest(away, state[who]) for who in ("inlier", "outlier"))
        logs = log_distances([*found, near, odd])
        margin = (logs[..., 2] - logs[..., 3]).clamp_min(0.0)
        score = self.single.score(net, state, query)
        error = 0.5 * (net[HEAD + "bias"] - score) / net[HEAD + "slope"].exp()
        found = torch.stack([error, *logs[..., :3].unbind(-1), margin], dim=-1)
        return found.nan_to_num(nan=FARTHEST).clamp(-FARTHEST, FARTHEST)

    def score(self, params: Params, state: Params, query: Tensor) -> Tensor:
        """Return the log-odds of an inlier, (T, R)."""
        n = state["inlier"].sum(dim=1).clamp_min(1)
        return log_odds(params, self.evidence(params, state, query), n)

    def weighed(self, net: Params, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the evidence by one network on episodes, and their inliers' number."""
        state = guard_state(net, *batch.given)
        state |= self.single.adapt(net, *batch.given)
        state |= self.fitted(net, state, batch.support, state["inlier"])
        evidence = self.evidence_of(net, state, batch.query)
        evidence = with_guard(evidence, net, state, batch.query)
        return evidence, state["inlier"].sum(dim=1)

    def known(self, net: Params, batches: Iterable[Batch]) -> Params:
        """Return what whitens one network's codes and residuals within tasks.

        They are those of the queries' inliers: rows that the network was not adapted
        to.
        """
        rows: dict[str, list[Tensor]] = {space: [] for space in SPACES}
        episodes: list[Tensor] = []
        for batch in batches:
            state = self.single.adapt(net, *batch.given)
            found = self.described(net, state, batch.query)
            error = found[1].square().mean(dim=(1, 2))
            kept = (batch.query_y == 1) & (error < ASTRAY).unsqueeze(1)
            episode = torch.arange(len(kept)).unsqueeze(1).expand(kept.shape)
            episodes.append(episode[kept] + len(kept) * len(episodes))
            for space, values in zip(SPACES, found, strict=True):
                rows[space].append(values[kept])
        _, code = torch.cat(episodes).unique(return_inverse=True)
        return {
            WHITENING + space: whitening(torch.cat(values), code)
            for space, values in rows.items()
        }


def guard_state(params: Params, support: Tensor, y: Tensor, mask: Tensor) -> Params:
    """Return the support's labels, rows, and their mean and directions."""
    inlier = mask & (y != -1)
    found = described_rows(params, support, inlier)
    found.pop("gauss.own")
    return {"inlier": inlier, "outlier": mask & (y == -1)} | found


def with_guard(
    evidence: Tensor, params: Params, state: Params, query: Tensor
) -> Tensor:
    """Return the networks' evidence, and before its last part that of the rows."""
    guard = log_distances(row_distances(params, state, query))
    parts = [evidence[..., :-1], guard, evidence[..., -1:]]
    return torch.cat(parts, dim=-1)


def gaussian(state: Params, space: str) -> Params:
    return {f"gauss.{k}": state[f"{space}.{k}"] for k in KEPT}


def whitening(rows: Tensor, code: Tensor) -> Tensor:
    """Return what whitens rows (n, e) within groups, columns brought to one unit first.

    A matrix, or for wide rows one number per column.
    """
    n = torch.bincount(code)[:, None].clamp_min(1)
    mean = rows.new_zeros(len(n), rows.shape[1]).index_add_(0, code, rows) / n
    spread = (rows - mean[code]).square().sum(dim=0) / max(1, len(rows))
    # Columns that hardly ever vary must not decide alone.
    least = 1e-4 * spread.mean() + 1e-12
    unit = (spread.maximum(least) * rows.shape[1]).rsqrt()
    found = fleet_whitening(rows * unit, code).to(rows.dtype)
    return unit.unsqueeze(1) * found if found.dim() == 2 else unit * found
