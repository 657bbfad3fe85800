"""The outer loss of MAML against a plain loop over tasks and finite differences."""

import numpy as np
import pytest
import torch

from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.codecs import DenseCodec
from skmetaad.core.forms import LowRank, Spanned
from skmetaad.core.maml import ALGORITHMS
from skmetaad.core.nets import HEAD, NETWORK
from skmetaad.core.train import RATE, Batch

STRENGTH = 10.0


def make_batch(n_tasks=3, n_support=4, n_query=6, width=5):
    g = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    y = torch.ones(n_tasks, n_query, dtype=torch.int8)
    y[:, n_query // 2 :] = -1
    support_y = torch.ones(n_tasks, n_support, dtype=torch.int8)
    return Batch(
        draw(n_tasks, n_support, width), support_y, 2 * draw(n_tasks, n_query, width), y
    )


def make_params(core, width=5):
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double() for k, v in params.items()}
    params[HEAD + "feature"] = torch.linspace(-1, 1, width, dtype=torch.float64)
    params[HEAD + "level"] = torch.tensor(0.3, dtype=torch.float64)
    params |= {k: 3 * v for k, v in params.items() if k.startswith(NETWORK)}
    g = torch.Generator().manual_seed(3)
    wide = torch.rand(width, generator=g, dtype=torch.float64)
    return params, {"within": 0.2 + wide, "between": 0.5 + wide}


def plain_loss(core, params, fixed, batch):
    """The same outer loss, one task, one row and one parameter at a time."""
    order = 1 if core.algorithm in ("fomaml", "reptile") else 2
    moving = [k for k in params if k.startswith(NETWORK)]
    if core.algorithm == "anil":
        moving = moving[-2:]
    pull = 0.0
    total_rec, n_rec, logistic, pairs = 0.0, 0, [], []
    names = [k for k in params if k.startswith(NETWORK)]
    weight = torch.softmax(params[HEAD + "feature"], 0)

    def forward(net, row):
        for i in range(core.codec.n_layers):
            row = row @ net[f"{NETWORK}weight{i}"] + net[f"{NETWORK}bias{i}"]
            if i < core.codec.n_layers - 1:
                row = torch.relu(row)
        return row

    def log_error(net, row):
        return torch.log(((forward(net, row) - row) ** 2 * weight).sum() + 1e-6)

    for support, query, labels in zip(
        batch.support, batch.query, batch.query_y, strict=True
    ):
        k = len(support)
        mean = (support.sum(0) / fixed["within"]) / (
            k / fixed["within"] + 1 / fixed["between"]
        )
        variance = (STRENGTH * fixed["within"] + ((support - mean) ** 2).sum(0)) / (
            STRENGTH + k
        )
        squash = lambda v: torch.where(  # noqa: E731
            v.abs() <= 8, v, v.sign() * (8 + torch.asinh(v.abs() - 8))
        )
        rows = [squash((row - mean) / variance.sqrt()) for row in support]
        net = {name: params[name] for name in names}
        if core.algorithm == "reptile":
            net = {k: v.detach().requires_grad_() for k, v in net.items()}
        for step in range(core.inner_steps):
            loss = sum(((forward(net, r) - r) ** 2).mean() for r in rows) / k
            grads = torch.autograd.grad(
                loss, [net[n] for n in moving], create_graph=order == 2
            )
            if core.inner_clip is not None:
                norm = sum((g**2).sum() for g in grads).sqrt()
                grads = [g * torch.clamp(core.inner_clip / norm, max=1) for g in grads]
            for n, g in zip(moving, grads, strict=True):
                if core.algorithm == "meta-sgd":
                    rate = params[RATE + n]
                elif core.learn_rates and core.algorithm != "reptile":
                    rate = params[RATE + n].exp()[step]
                else:
                    rate = core.inner_rate
                net = {**net, n: net[n] - rate * g}
        if core.algorithm == "reptile":
            net = {n: v.detach() for n, v in net.items()}
            for n in names:
                away = (params[n].detach() - net[n]) / core.inner_rate
                pull = pull + (away * params[n]).sum() / len(batch.support)
        level = sum(log_error(net, r) for r in rows) / k
        scores = []
        for row, label in zip(query, labels, strict=True):
            z = squash((row - mean) / variance.sqrt())
            error = log_error(net, z) - params[HEAD + "level"] * level
            s = params[HEAD + "bias"] - params[HEAD + "slope"].exp() * error
            scores.append(s)
            logistic.append(torch.log1p(torch.exp(-label * s)))
            if label == 1:
                total_rec = total_rec + ((forward(net, z) - z) ** 2).mean()
                n_rec += 1
        for s, a in zip(scores, labels, strict=True):
            for t, b in zip(scores, labels, strict=True):
                if a == 1 and b == -1:
                    pairs.append(torch.log1p(torch.exp(-(s - t))))
    apart = 0.5 * (sum(logistic) / len(logistic) + sum(pairs) / len(pairs))
    # Reptile's direction adds to the gradient, and nothing to the value.
    pull = pull - pull.detach() if core.algorithm == "reptile" else 0.0
    return total_rec / n_rec + core.separation_weight * apart + pull


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("learn_rates", [False, True])
@pytest.mark.parametrize(("inner_steps", "clip"), [(1, None), (3, None), (2, 0.3)])
def test_outer_gradient_equals_plain_loop(algorithm, learn_rates, inner_steps, clip):
    core = MAMLAutoencoder(
        DenseCodec((5, 7, 3, 7, 5)),
        inner_steps=inner_steps,
        learn_rates=learn_rates,
        algorithm=algorithm,
        inner_clip=clip,
    )
    params, fixed = make_params(core)
    g = torch.Generator().manual_seed(4)
    for name in params:
        if name.startswith(RATE):
            draw = torch.rand(params[name].shape, generator=g, dtype=torch.float64)
            params[name] = params[name] + 0.05 * draw
    batch = make_batch()
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    loss = core.loss({**fixed, **leaves}, batch)
    plain = {k: v.clone().requires_grad_() for k, v in params.items()}
    expected = plain_loss(core, plain, fixed, batch)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-10)
    grads = torch.autograd.grad(loss, list(leaves.values()))
    wanted = torch.autograd.grad(expected, list(plain.values()))
    for name, got, want in zip(leaves, grads, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "reptile", "anil"])
@pytest.mark.parametrize("activation", ["relu", "tanh", "silu"])
def test_wide_layers_have_the_gradient_of_autograd(algorithm, activation, monkeypatch):
    """Wide layers and few rows: tasks have no such weights of their own."""
    width = 120
    core = MAMLAutoencoder(
        DenseCodec((width, 20, 10, 20, width), activation),
        inner_steps=3,
        algorithm=algorithm,
    )
    params, fixed = make_params(core, width)
    batch = make_batch(n_support=2, width=width)
    batch.support_y[0, 1] = -1
    mask = torch.ones(3, 2, dtype=torch.bool)
    results = []
    for by_hand in (True, False):
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        everything = fixed | leaves
        if not by_hand:
            monkeypatch.setattr(
                MAMLAutoencoder, "_by_hand", MAMLAutoencoder._by_autograd
            )
        (state,) = core.states(everything, batch.support, batch.support_y, mask)
        for layer in (0, 3):
            ours = by_hand and not (layer == 0 and algorithm == "anil")
            weight = state.get(f"{NETWORK}weight{layer}")
            assert isinstance(weight, LowRank | Spanned) == ours
        loss = core.score(everything, state, batch.query).square().mean()
        loss = loss + core.pull(everything, state)
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        dense = core.adapt(everything, batch.support, batch.support_y, mask)
        results.append((loss.detach(), grads, dense))
    np.testing.assert_allclose(results[0][0], results[1][0], rtol=1e-9)
    for name, got, want in zip(params, results[0][1], results[1][1], strict=True):
        assert (got is None) == (want is None), name
        if got is not None:
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9, err_msg=name)
    for name, value in results[0][2].items():
        np.testing.assert_allclose(
            value.detach(),
            results[1][2][name].detach(),
            rtol=1e-9,
            atol=1e-15,
            err_msg=name,
        )


@pytest.mark.parametrize("algorithm", ["maml", "anil", "meta-sgd"])
def test_outer_gradient_equals_finite_differences(algorithm):
    # tanh has no kinks for a finite step to fall across.
    core = MAMLAutoencoder(
        DenseCodec((5, 7, 3, 7, 5), "tanh"), inner_steps=2, algorithm=algorithm
    )
    params, fixed = make_params(core)
    batch = make_batch()
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    grads = torch.autograd.grad(
        core.loss({**fixed, **leaves}, batch), list(leaves.values())
    )
    step = 1e-6
    for name, grad in zip(leaves, grads, strict=True):
        value = params[name]
        for flat in range(0, value.numel(), max(1, value.numel() // 4)):
            moved = []
            for sign in (1, -1):
                other = {k: v.clone() for k, v in params.items()}
                other[name].view(-1)[flat] += sign * step
                with torch.enable_grad():
                    probe = {k: v.requires_grad_() for k, v in other.items()}
                    moved.append(core.loss({**fixed, **probe}, batch).item())
            difference = (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(
                grad.reshape(-1)[flat], difference, rtol=1e-4, atol=1e-7, err_msg=name
            )


def test_first_order_differs_from_second_order():
    batch = make_batch()
    grads = []
    for algorithm in ("fomaml", "maml"):
        core = MAMLAutoencoder(DenseCodec((5, 7, 3, 7, 5)), algorithm=algorithm)
        params, fixed = make_params(core)
        leaves = {k: v.requires_grad_() for k, v in params.items()}
        loss = core.loss({**fixed, **leaves}, batch)
        grads.append(torch.autograd.grad(loss, leaves[NETWORK + "weight0"])[0])
    assert (grads[0] - grads[1]).abs().max() > 1e-4
