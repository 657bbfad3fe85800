"""The convolutional autoencoder: its layers by torch's own, its gradient, its use."""

from math import prod

import numpy as np
import pytest
import torch
from _plain import check_gradients
from torch.nn import functional as F

from skmetaad import MAMLAutoencoderDetector, few_shot_scores
from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.codecs import ConvCodec
from skmetaad.core.train import Batch
from skmetaad.tasks import Task, TaskCollection

SHAPE = (2, 7, 6)
CODEC = ConvCodec(SHAPE, (3, 4), width=5, activation="tanh")


def drawn(codec, n_tasks=None):
    """Parameters in double, one set for all tasks or one for each."""
    sets = [codec.init(torch.Generator().manual_seed(i)) for i in range(n_tasks or 1)]
    net = {k: torch.stack([one[k] for one in sets]).double() for k in sets[0]}
    return net if n_tasks else {k: v[0] for k, v in net.items()}


def rows(n_tasks, n_rows, width=84):
    g = torch.Generator().manual_seed(9)
    return torch.randn(n_tasks, n_rows, width, generator=g, dtype=torch.float64)


def plain_encode(net, picture):
    for i in range(2):
        weight, bias = net[f"weight{i}"], net[f"bias{i}"]
        picture = torch.tanh(F.conv2d(picture, weight, bias, stride=2, padding=1))
    return picture.flatten() @ net["weight2"] + net["bias2"]


def plain_decode(net, hidden):
    x = torch.tanh(hidden @ net["weight3"] + net["bias3"]).reshape(1, 4, 2, 2)
    for i, size in ((4, (4, 3)), (5, (7, 6))):
        weight, bias = net[f"weight{i}"], net[f"bias{i}"]
        rest = tuple(n - (2 * m - 1) for n, m in zip(size, x.shape[2:], strict=True))
        x = F.conv_transpose2d(x, weight, bias, 2, 1, output_padding=rest)
        assert x.shape[2:] == size
        x = torch.tanh(x) if i == 4 else x
    return x.flatten()


@pytest.mark.parametrize("own", [False, True])
def test_tasks_side_by_side_are_pictures_one_by_one(own):
    net, x = drawn(CODEC, 3 if own else None), rows(3, 4)
    hidden = CODEC.encode(net, x)
    found = CODEC.decode(net, torch.tanh(hidden))
    assert found.shape == x.shape
    for t in range(3):
        one = {k: v[t] for k, v in net.items()} if own else net
        for r in range(4):
            expected = plain_encode(one, x[t, r].reshape(1, *SHAPE))
            np.testing.assert_allclose(hidden[t, r], expected, rtol=1e-10)
            back = plain_decode(one, torch.tanh(expected))
            np.testing.assert_allclose(found[t, r], back, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 13), (1, 2, 3)])
def test_pictures_come_back_in_their_own_size(shape):
    codec = ConvCodec(shape, (4, 4, 4), width=3)
    x = rows(2, 3, prod(shape))
    assert codec.decode(drawn(codec), codec.encode(drawn(codec), x)).shape == x.shape


@pytest.mark.parametrize("variant", ["plain", "variational"])
def test_outer_gradient_equals_finite_differences(variant):
    codec = ConvCodec((1, 5, 4), (2,), width=3, activation="tanh")
    core = MAMLAutoencoder(codec, standardize=False, inner_steps=2, variant=variant)
    params = {
        k: v.double() for k, v in core.init(torch.Generator().manual_seed(0)).items()
    }
    fixed = {k: torch.full((20,), 0.7).double() for k in ("within", "between")}
    fixed["row_scale"] = torch.linspace(0.5, 1.5, 20, dtype=torch.float64)
    query_y = torch.tensor([[1, 1, -1, -1]] * 2)
    y = torch.ones(2, 3, dtype=torch.int8)
    batch = Batch(rows(2, 3, 20), y, 2 * rows(2, 4, 20), query_y)
    check_gradients(lambda p: core.loss(fixed | p, batch), params, list(params))


def stripes(n_tasks, seed):
    """Tasks with waves of a direction of their own; outliers run across it."""
    rng = np.random.default_rng(seed)
    yy, xx = np.mgrid[:12, :12]
    tasks = []
    for i in range(n_tasks):
        own = rng.uniform(0, np.pi)
        angle = np.where(np.arange(60) < 40, own, own + rng.uniform(1, 2))[:, None]
        phase = rng.uniform(0, 2 * np.pi, (60, 1))
        wave = np.cos(angle) * xx.ravel() + np.sin(angle) * yy.ravel()
        X = np.sin(wave + phase) + 0.3 * rng.normal(size=(60, 144))
        tasks.append(Task(f"{seed}-{i}", X, np.where(np.arange(60) < 40, 1, -1)))
    return TaskCollection(tasks)


@pytest.mark.slow
def test_pictures_are_learned():
    det = MAMLAutoencoderDetector(
        architecture="conv",
        hidden_sizes=(8, 16, 16),
        standardize=False,
        n_support=(5, 20),
        n_query=16,
        meta_batch_size=8,
        n_iter=80,
        random_state=0,
    )
    det.fit(stripes(24, 0))
    scores = few_shot_scores(det, stripes(8, 1), n_support=10)
    assert np.mean(list(scores.values())) > 0.85
    assert det.state_["net.weight0"].shape == (24, 8, 1, 3, 3)


def test_shapes_that_do_not_fit_are_named():
    det = MAMLAutoencoderDetector(architecture="conv", image_shape=(5, 5))
    with pytest.raises(ValueError, match=r"image_shape=\(5, 5\).*144"):
        det.fit(stripes(3, 0))
