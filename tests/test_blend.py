"""How the parts of a score are weighed."""

import pytest
import torch
from torch.nn.functional import softplus

from skmetaad.core import blend


def episodes(B=40, Q=30, C=4):
    g = torch.Generator().manual_seed(0)
    y = torch.ones(B, Q, dtype=torch.int8)
    y[:, ::3] = -1
    z = torch.randn(B, Q, C, generator=g, dtype=torch.float64)
    z[..., 1] -= 1.5 * y  # the second part tells outliers, the others do not
    n_support = torch.tensor([1.0, 5.0, 50.0, 10.0] * (B // 4), dtype=torch.float64)
    return z, y, n_support


def objective(params, pairs, n_support):
    k = n_support.log() / 4 - 0.5
    weight = softplus(params["blend.weight"] + params["blend.shots"] * k[:, None])
    outlier, inlier = (torch.einsum("bqc,bc->bq", z, weight) for z in pairs)
    level = (params["blend.bias"][0] + params["blend.bias"][1] * k)[:, None]
    odds = softplus(inlier - level) + softplus(level - outlier)
    loss = (0.5 * softplus(inlier - outlier) + 0.25 * odds).mean()
    away = params["blend.weight"] - blend.START
    return loss + 0.003 * (away.square().sum() + params["blend.shots"].square().sum())


def test_gradients_of_the_weights_are_those_of_the_objective():
    z, y, n_support = episodes()
    pairs = blend._paired(z, y)
    g = torch.Generator().manual_seed(1)
    params = {
        f"blend.{name}": torch.randn(n, generator=g, dtype=torch.float64)
        for name, n in (("weight", 4), ("shots", 4), ("bias", 2))
    }
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    wanted = torch.autograd.grad(
        objective(leaves, pairs, n_support), list(leaves.values())
    )
    found = blend._gradients(params, pairs, n_support)
    for name, want in zip(leaves, wanted, strict=True):
        torch.testing.assert_close(found[name], want, rtol=1e-12, atol=1e-14)


def test_the_part_that_tells_outliers_weighs_most():
    z, y, n_support = episodes()
    params = blend.fit_blend(z, y, n_support, learn=True)
    weight = blend.weights(params, n_support)[0].mean(dim=0)
    assert weight.argmax() == 1
    equal = blend.weights(blend.fit_blend(z, y, n_support, learn=False), n_support)[0]
    assert torch.equal(equal, equal[:1, :1].expand_as(equal))
    odds = blend.log_odds(params, z, n_support)
    # They are log-odds: as many inliers are expected as there are.
    assert float(odds.sigmoid().mean()) == pytest.approx(2 / 3, abs=0.02)
