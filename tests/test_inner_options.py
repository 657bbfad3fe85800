"""Losses after every inner step, recomputed inner steps, meta-batches in parts."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn import config_context
from test_maml_gradients import make_batch, make_params, plain_loss

from skmetaad import MAMLAutoencoderDetector, MAMLClassifierDetector
from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.classifier import MAMLClassifier
from skmetaad.core.codecs import ConvCodec, DenseCodec
from skmetaad.core.encoders import Dense
from skmetaad.core.forms import LowRank
from skmetaad.core.maml import ALGORITHMS, step_weights
from skmetaad.core.pieces import in_pieces, kept_bytes
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet

FLEET = make_fleet(n_tasks=12, n_rows=40, random_state=0)
BOTH = [MAMLAutoencoderDetector, MAMLClassifierDetector]


def differentiated(core, params, fixed, batch, weights=None):
    leaves = {k: v.detach().clone().requires_grad_() for k, v in params.items()}
    loss = core.loss(fixed | leaves, batch, weights)
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return loss.item(), dict(zip(leaves, grads, strict=True))


def assert_equal(found, expected, rtol):
    np.testing.assert_allclose(found[0], expected[0], rtol=rtol)
    for name, want in expected[1].items():
        got = found[1][name]
        assert (got is None) == (want is None), name
        if want is not None:
            np.testing.assert_allclose(got, want, rtol, atol=rtol, err_msg=name)


def test_weights_move_to_the_last_step():
    np.testing.assert_allclose(step_weights(4, 0.0), [0.25] * 4)
    np.testing.assert_allclose(step_weights(4, 0.5), [0.125, 0.125, 0.125, 0.625])
    assert step_weights(4, 1.0) is None
    assert step_weights(4, 3.0) is None


@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"reptile"}))
def test_multi_step_gradient_equals_plain_loops(algorithm):
    core = MAMLAutoencoder(
        DenseCodec((5, 7, 3, 7, 5)), inner_steps=3, algorithm=algorithm
    )
    params, fixed = make_params(core)
    batch, weights = make_batch(), [0.2, 0.3, 0.5]
    plain = {k: v.clone().requires_grad_() for k, v in params.items()}
    loss = sum(
        weight * plain_loss(replace(core, inner_steps=s), plain, fixed, batch)
        for s, weight in enumerate(weights, start=1)
    )
    grads = torch.autograd.grad(loss, list(plain.values()))
    expected = loss.item(), dict(zip(plain, grads, strict=True))
    assert_equal(differentiated(core, params, fixed, batch, weights), expected, 1e-8)


def inputs(core):
    codec = getattr(core, "codec", None)
    width = codec.n_features if codec else 5
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double() for k, v in params.items()}
    fixed = dict.fromkeys(("within", "between"), torch.ones(width).double())
    batch = make_batch(n_support=2, width=width)
    batch.support_y[0, 1] = -1
    return params, fixed, batch


def cores():
    for algorithm in ALGORITHMS:
        options = {"algorithm": algorithm, "inner_steps": 5, "inner_clip": 0.5}
        yield MAMLAutoencoder(DenseCodec((5, 7, 3, 7, 5)), **options)
        yield MAMLClassifier(Dense((5, 6, 4), "tanh"), **options)
    yield MAMLAutoencoder(DenseCodec((120, 20, 10, 20, 120)), inner_steps=3)
    yield MAMLAutoencoder(DenseCodec((5, 7, 3, 7, 5)), variant="variational")
    yield MAMLAutoencoder(ConvCodec((1, 5, 4), (2,), width=3), inner_steps=4)


@pytest.mark.parametrize("core", [c for c in cores() if c.algorithm != "reptile"])
def test_multi_step_gradient_is_that_of_shorter_loops(core):
    core = replace(core, learn_rates=False)
    params, fixed, batch = inputs(core)
    weights = [0.1 * s for s in range(1, core.inner_steps + 1)]
    total, grads = 0.0, dict.fromkeys(params, 0.0)
    for s, weight in enumerate(weights, start=1):
        shorter = replace(core, inner_steps=s)
        loss, found = differentiated(shorter, params, fixed, batch)
        total += weight * loss
        grads = {name: grads[name] + weight * g for name, g in found.items()}
    found = differentiated(core, params, fixed, batch, weights)
    assert_equal(found, (total, grads), 1e-8)


@pytest.mark.parametrize("weights", [None, "each"])
@pytest.mark.parametrize("core", list(cores()))
def test_recomputed_steps_have_the_same_gradient(core, weights):
    params, fixed, batch = inputs(core)
    weights = weights and [1.0 / core.inner_steps] * core.inner_steps
    expected = differentiated(core, params, fixed, batch, weights)
    again = replace(core, checkpoint_inner=True)
    assert_equal(differentiated(again, params, fixed, batch, weights), expected, 1e-10)
    everything = fixed | {k: v.requires_grad_() for k, v in params.items()}
    mask = batch.support_y != 0
    (state,) = again.states(everything, batch.support, batch.support_y, mask)
    wide = any(isinstance(value, LowRank) for value in state.values())
    assert wide == (batch.support.shape[2] == 120)


def test_recomputed_steps_let_gradients_reach_the_rows():
    core = MAMLAutoencoder(DenseCodec((5, 7, 3, 7, 5)), variant="denoising")
    params, fixed = make_params(core)
    found = []
    for checkpoint in (False, True):
        one = replace(core, checkpoint_inner=checkpoint)
        support = make_batch().support.requires_grad_()
        loss = one.loss(fixed | params, make_batch()._replace(support=support))
        found.append(torch.autograd.grad(loss, support)[0])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-10)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells peaks")
@pytest.mark.parametrize(
    "variant", ["dense", pytest.param("conv", marks=pytest.mark.slow)]
)
def test_recomputed_steps_take_less_memory(variant):
    code = """
        import sys, torch
        from dataclasses import replace
        from skmetaad.core.autoencoder import MAMLAutoencoder
        from skmetaad.core.codecs import ConvCodec, DenseCodec
        from skmetaad.core.train import Batch

        n_steps, codec = 200, DenseCodec((20, 64, 16, 64, 20))
        if sys.argv[1] == "conv":
            n_steps, codec = 49, ConvCodec((1, 12, 12), (8, 16), 16)
        core = MAMLAutoencoder(
            codec, inner_steps=n_steps, inner_rate=1e-3,
            checkpoint_inner=sys.argv[2] == "True",
        )
        g, width = torch.Generator().manual_seed(0), codec.n_features
        fixed = dict.fromkeys(("within", "between"), torch.ones(width))
        rows = torch.randn(8, 20, width, generator=g)
        y = torch.ones(8, 20, dtype=torch.int8)

        def peak():  # getrusage would tell the parent's, if that was higher
            with open("/proc/self/status") as file:
                return next(int(x.split()[1]) for x in file if x.startswith("VmHWM"))

        def run(core):
            params = {k: v.requires_grad_() for k, v in core.init(g).items()}
            core.loss(fixed | params, Batch(rows, y, rows, y)).backward()
            return peak()

        # The first call imports and allocates.
        print(-run(replace(core, inner_steps=2)) + run(core))
    """
    kept, again = (
        int(
            subprocess.run(
                [sys.executable, "-c", textwrap.dedent(code), variant, str(checkpoint)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for checkpoint in (False, True)
    )
    assert again < 0.5 * kept, (again, kept)


@pytest.mark.parametrize("cls", BOTH)
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_parts_add_up_to_the_whole(cls, epsilon, size):
    detector = cls(adversarial_epsilon=epsilon)
    core = detector._core(5)
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double().requires_grad_() for k, v in params.items()}
    fixed = dict.fromkeys(("within", "between"), torch.ones(5).double())
    everything, batch = fixed | params, make_batch(n_tasks=5)
    whole = detector._loss(core, everything, [batch], 0.0)
    pieces = list(in_pieces([batch], size))
    assert [len(piece.support) for _, (piece,) in pieces][0] == min(size, 5)
    parts = sum(w * detector._loss(core, everything, p, 0.0) for w, p in pieces)
    leaves = list(params.values())
    found = parts.item(), torch.autograd.grad(parts, leaves, allow_unused=True)
    wanted = whole.item(), torch.autograd.grad(whole, leaves, allow_unused=True)
    found, wanted = (
        (value, dict(zip(params, grads, strict=True)))
        for value, grads in (found, wanted)
    )
    assert_equal(found, wanted, 1e-10)


@pytest.mark.parametrize("variant", ["plain", "adversarial"])
def test_parts_of_every_variant_add_up(variant):
    algorithm = "fomaml" if variant == "adversarial" else "reptile"
    detector = MAMLAutoencoderDetector(variant=variant, algorithm=algorithm)
    core = detector._core(5)
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double() for k, v in params.items()}
    fixed = dict.fromkeys(("within", "between"), torch.ones(5).double())
    batch = make_batch(n_tasks=5)
    expected = differentiated(core, params, fixed, batch)
    total, grads = 0.0, dict.fromkeys(params, 0.0)
    for weight, (piece,) in in_pieces([batch], 2):
        loss, found = differentiated(core, params, fixed, piece)
        total += weight * loss
        grads = {name: grads[name] + weight * g for name, g in found.items()}
    assert_equal((total, grads), expected, 1e-10)


def test_a_batch_without_task_codes_is_cut_too():
    batch = make_batch(n_tasks=3)
    assert batch.task is None
    sizes = [len(piece.query) for _, (piece,) in in_pieces([batch], 2)]
    assert sizes == [2, 1]
    whole = Batch(*batch[:4], torch.arange(3))
    codes = [piece.task.tolist() for _, (piece,) in in_pieces([whole], 2)]
    assert codes == [[0, 1], [2]]


@pytest.mark.parametrize("cls", BOTH)
def test_saving_memory_changes_no_result(cls):
    def trained(**params):
        det = cls(n_iter=5, early_stopping=True, random_state=0, **params)
        return det.fit(FLEET).history_

    plain = trained()
    for params in ({"checkpoint_inner": True}, {"max_tasks_at_once": 3}):
        found = trained(**params)
        for name, value in plain.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-4)


@pytest.mark.parametrize("cls", BOTH)
def test_a_limit_of_memory_cuts_a_meta_batch(cls, monkeypatch):
    """Without max_tasks_at_once, by scikit-learn's working_memory."""
    sizes = []

    def spied(batches, size):
        sizes.append(size)
        return in_pieces(batches, size)

    monkeypatch.setattr("skmetaad.detectors._torch.in_pieces", spied)

    def trained(**config):
        sizes.clear()
        with config_context(**config):
            det = cls(inner_steps=5, n_iter=3, meta_batch_size=8, random_state=0)
            return det.fit(FLEET).history_["loss"], sizes[0]

    whole, size = trained()
    assert size > 8
    cut, size = trained(working_memory=1e-6)
    assert size == 1
    np.testing.assert_allclose(cut, whole, rtol=1e-4)
    with kept_bytes() as kept:
        x = torch.ones(1000, requires_grad=True)
        y = x * torch.ones(1000)
        (y + y.exp()).sum()
    # Of float32: the factor and the exponential; sums keep nothing.
    assert kept.total == 2 * 4 * 1000


@pytest.mark.parametrize("cls", BOTH)
def test_multi_step_loss_ends_with_the_last_step_alone(cls):
    """With a rate of nothing, losses differ by the weights alone."""

    def trained(share):
        det = cls(n_iter=10, learning_rate=1e-12, multi_step_loss=share, random_state=0)
        return det.fit(FLEET).history_["loss"]

    plain, half, whole = trained(0.0), trained(0.5), trained(1.0)
    assert (half[:5] != plain[:5]).all()
    np.testing.assert_allclose(half[5:], plain[5:], rtol=1e-5)
    assert (whole[1:] != half[1:]).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"multi_step_loss": 1.5}, "multi_step_loss"),
        ({"checkpoint_inner": "yes"}, "checkpoint_inner"),
        ({"max_tasks_at_once": 0}, "max_tasks_at_once"),
    ],
)
@pytest.mark.parametrize("cls", BOTH)
def test_values_out_of_range_are_named(cls, params, message):
    with pytest.raises(ValueError, match=message):
        cls(**params).fit(FLEET)
