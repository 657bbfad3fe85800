"""Denoising, variational and adversarial autoencoders: their errors by hand."""

import numpy as np
import pytest
import torch
from _plain import check_gradients
from torch.nn.functional import softplus

from skmetaad import MAMLAutoencoderDetector, few_shot_scores
from skmetaad.core.autoencoder import CRITIC, VARIANTS, MAMLAutoencoder, white
from skmetaad.core.codecs import DenseCodec
from skmetaad.core.nets import NETWORK
from skmetaad.core.scaling import as_seen
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet
from skmetaad.utils.estimator_checks import check_meta_detector

WIDTH, HIDDEN = 4, 2
SIZES = (WIDTH, 5, HIDDEN, 5, WIDTH)


def made(variant, activation="relu", **options):
    core = MAMLAutoencoder(DenseCodec(SIZES, activation), variant=variant, **options)
    params = core.init(torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    params = {
        k: v.double() + 0.3 * torch.rand(v.shape, generator=g, dtype=torch.float64)
        for k, v in params.items()
    }
    wide = 0.5 + torch.rand(WIDTH, generator=g, dtype=torch.float64)
    return core, params, {"within": wide, "between": wide}


def rows(n_tasks=2, n_rows=3):
    g = torch.Generator().manual_seed(2)
    return torch.randn(n_tasks, n_rows, WIDTH, generator=g, dtype=torch.float64)


def layer(params, i, x):
    return x @ params[f"{NETWORK}weight{i}"] + params[f"{NETWORK}bias{i}"]


def encoded(params, x):
    return layer(params, 1, torch.relu(layer(params, 0, x)))


def decoded(params, hidden):
    return layer(params, 3, torch.relu(layer(params, 2, hidden)))


def test_noise_goes_into_the_input_and_not_into_the_target():
    core, params, _ = made("denoising", noise=0.5)
    x = rows()
    for noise in (None, core.drawn(x.shape[1])):
        seen = x if noise is None else x + 0.5 * noise
        expected = (decoded(params, torch.relu(encoded(params, seen))) - x) ** 2
        error, penalty = core.errors(params, x, noise)
        np.testing.assert_allclose(error, expected, rtol=1e-10)
        assert not penalty.any()


def test_the_bound_of_few_columns_does_not_leave_the_finite_numbers():
    fleet = make_fleet(12, 150, 5, random_state=0)[:8]
    MAMLAutoencoderDetector(n_iter=10, random_state=0, variant="variational").fit(fleet)


@pytest.mark.parametrize("width", [1, 2, 6])
def test_adapting_descends_on_the_bound_also_with_few_columns(width):
    """By the bound of the documentation, of fewer columns than codes a part."""
    codec = DenseCodec((width, 5, HIDDEN, 5, width), "tanh")
    core = MAMLAutoencoder(codec, variant="variational", inner_steps=1)
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double().requires_grad_() for k, v in params.items()}
    wide = torch.ones(width, dtype=torch.float64)
    fixed = {"within": wide, "between": wide}
    g = torch.Generator().manual_seed(2)
    x = torch.randn(1, 4, width, generator=g, dtype=torch.float64)
    y = torch.ones(1, 4)
    state = core.adapt(params | fixed, x, y, y > 0)
    z = as_seen(params | fixed, state, x, True)
    error, penalty = core.errors(params, z, core.drawn(4))
    loss = (error.mean(dim=2) + penalty).mean() * width / max(width, 4, HIDDEN)
    rates = core.rates(params)
    names = [name for name in params if name in state]
    assert any("weight" in name for name in names)
    grads = torch.autograd.grad(loss, [params[name] for name in names])
    for name, grad in zip(names, grads, strict=True):
        moved = (params[name] - state[name][0]).detach()
        np.testing.assert_allclose(moved, (rates[name][0] * grad).detach(), rtol=1e-9)


def test_the_evidence_lower_bound_by_hand():
    core, params, _ = made("variational")
    x = rows()
    both = encoded(params, x)
    # log(1 + exp(r)) of the bound less the network's output r, taken from the bound.
    bounded = 2.0 - torch.log1p(torch.exp(2.0 - both[..., HIDDEN:]))
    mean, variance = both[..., :HIDDEN], bounded.exp()
    for noise in (None, core.drawn(x.shape[1])):
        hidden = mean if noise is None else mean + variance.sqrt() * noise
        found = decoded(params, hidden)
        error, penalty = core.errors(params, x, noise)
        got = (error.mean(dim=2) + penalty) * WIDTH / 2
        normal = torch.distributions.Normal
        likelihood = normal(found, 1.0).log_prob(x).sum(2)
        likelihood = likelihood + 0.5 * WIDTH * np.log(2 * np.pi)
        divergence = torch.distributions.kl_divergence(
            normal(mean, variance.sqrt()), normal(0.0, 1.0)
        ).sum(2)
        np.testing.assert_allclose(got, divergence - likelihood, rtol=1e-6)


def test_variances_of_unlike_rows_stay_bounded():
    core, params, _ = made("variational")
    params = {k: 1e3 * v if "weight" in k else v for k, v in params.items()}
    wide = {**params, NETWORK + "bias1": params[NETWORK + "bias1"] + 1e3}
    _, penalty = core.errors(wide, rows(), core.drawn(3))
    mean = encoded(wide, rows())[..., :HIDDEN]
    bound = (mean.square() + np.exp(2.0)).sum(2) / WIDTH
    assert penalty.isfinite().all() and (penalty <= bound).all()


def test_the_critic_descends_and_the_encoder_ascends():
    core, params, _ = made("adversarial")
    x = rows()
    hidden = encoded(params, x).requires_grad_()
    inlier = torch.tensor([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    critic = {k: v.clone().requires_grad_() for k, v in params.items() if CRITIC in k}

    def score(net, h):
        h = torch.relu(h @ net[CRITIC + "weight0"] + net[CRITIC + "bias0"])
        return (h @ net[CRITIC + "weight1"] + net[CRITIC + "bias1"])[..., 0]

    def plain(net, h):
        real = white(3, HIDDEN, seed=1).double()
        lost = softplus(-score(net, real)) + softplus(score(net, h))
        return (lost * inlier).sum() / 3

    loss, expected = core.duel(critic, hidden, inlier), plain(critic, hidden)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-10)
    leaves = [*critic.values(), hidden]
    got = torch.autograd.grad(loss, leaves)
    want = torch.autograd.grad(expected, leaves)
    for a, b in zip(got[:-1], want[:-1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got[-1], -want[-1], rtol=1e-9, atol=1e-12)


def test_noise_is_the_same_whatever_else_is_in_the_batch():
    few, many = white(3, WIDTH, seed=5), white(300, WIDTH, seed=5)
    assert torch.equal(few, many[:, :3])
    assert abs(float(many.std()) - 1) < 0.1
    assert len(many.flatten().unique()) == many.numel()


@pytest.mark.parametrize("variant", ["denoising", "variational"])
def test_training_never_sees_the_same_noise_twice(variant):
    """A network trained on few vectors learns these by heart, not to take noise off."""
    core, params, fixed = made(variant)
    y, query_y = torch.ones(2, 3, dtype=torch.int8), torch.tensor([[1, 1, -1, -1]] * 2)
    batch = Batch(rows(), y, 2 * rows(2, 4), query_y)
    leaves = fixed | {k: v.requires_grad_() for k, v in params.items()}
    losses = [core.loss(leaves, batch._replace(seed=i)) for i in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert not torch.equal(core.drawn(4), core.drawn(4, query=True))


def test_every_meta_batch_has_noise_of_its_own(monkeypatch):
    seeds, loss = [], MAMLAutoencoder.loss

    def noted(core, params, batch, weights=None):
        seeds.append(batch.seed)
        return loss(core, params, batch, weights)

    monkeypatch.setattr(MAMLAutoencoder, "loss", noted)
    fleet = make_fleet(n_tasks=6, random_state=0)
    det = MAMLAutoencoderDetector(
        variant="denoising", n_iter=5, max_tasks_at_once=8, n_calibration_networks=0
    )
    for seed in (0, 0, 1):
        det.set_params(random_state=seed).fit(fleet)
    first, again, other = (seeds[i : i + 10] for i in (0, 10, 20))
    assert first == again and first[::2] == first[1::2]  # two parts each
    assert len({*first, *other}) == 10


def test_labelled_outliers_are_pushed_up_in_the_inner_loop():
    """One step of the documented inner loss, by hand."""
    core, params, fixed = made("plain", inner_steps=1, learn_rates=False)
    support = rows(1, 4)
    y = torch.tensor([[1, 0, -1, -1]])
    mask = torch.ones(1, 4, dtype=torch.bool)
    with torch.no_grad():
        state = core.adapt(params | fixed, support, y, mask)
    z = (support - state["mean"]) / state["scale"]
    net = {k: v.clone().requires_grad_() for k, v in params.items() if NETWORK in k}
    error = (decoded(net, torch.relu(encoded(net, z))) - z).square().mean(2)[0]
    loss = error[:2].mean() + torch.log1p(torch.exp(1 - error[2:])).mean()
    grads = torch.autograd.grad(loss, list(net.values()))
    for (name, value), grad in zip(net.items(), grads, strict=True):
        expected = (value - 0.1 * grad).detach()
        np.testing.assert_allclose(state[name][0], expected, rtol=1e-9)


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"plain"}))
def test_outer_gradient_equals_finite_differences(variant):
    core, params, fixed = made(variant, activation="tanh", inner_steps=2)
    y = torch.ones(2, 3, dtype=torch.int8)
    query_y = torch.tensor([[1, 1, -1, -1]] * 2)
    batch = Batch(rows(), y, 2 * rows(2, 4), query_y)
    names = list(params)
    if variant == "adversarial":
        # They ascend on the critic's loss: no function has this gradient.
        names = [n for n in names if not n.startswith((NETWORK, "rate."))]
    check_gradients(lambda p: core.loss(fixed | p, batch), params, names)


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"plain"}))
def test_every_variant_learns(variant):
    fleet = make_fleet(n_tasks=30, random_state=0)
    det = MAMLAutoencoderDetector(
        variant=variant, n_iter=250, n_calibration_networks=0, random_state=0
    )
    scores = few_shot_scores(det.fit(fleet[:24]), fleet[24:], n_support=10)
    assert np.mean(list(scores.values())) > 0.92


def test_a_critic_is_of_no_use_to_reptile():
    det = MAMLAutoencoderDetector(variant="adversarial", algorithm="reptile")
    with pytest.raises(ValueError, match="algorithm='reptile'.*outer loop"):
        det.fit(make_fleet(n_tasks=3, random_state=0))


@pytest.mark.slow
@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"plain"}))
def test_every_variant_keeps_the_contract(variant):
    check_meta_detector(MAMLAutoencoderDetector(variant=variant, n_iter=100))
