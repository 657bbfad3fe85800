"""One-class MAML against a plain loop, and per-task encoders against one task each."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skmetaad import MAMLClassifierDetector, TaskCollection, few_shot_scores
from skmetaad.core.classifier import LAST, LAYERS, MAMLClassifier
from skmetaad.core.encoders import Conv4, Dense, Module
from skmetaad.core.losses import separation
from skmetaad.core.maml import ALGORITHMS
from skmetaad.core.nets import NETWORK
from skmetaad.core.train import RATE, Batch
from skmetaad.datasets import make_fleet

WIDTH = 5


def small_network(n_features):
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3)
    )


@pytest.mark.parametrize(
    ("encoder", "close"),
    [
        (Dense((36, 10, 5)), 1e-12),
        (Conv4((1, 6, 6), n_channels=8), 1e-10),
        (Conv4((4, 3, 3), n_channels=6), 1e-10),
        (Module(small_network, 36), 1e-12),
    ],
)
@pytest.mark.parametrize("shared", ["none", "first", "all"])
def test_each_task_is_embedded_by_its_own_network(encoder, close, shared):
    g = torch.Generator().manual_seed(0)
    nets = [encoder.init(g) for _ in range(3)]
    x = torch.randn(3, 7, 36, generator=g, dtype=torch.float64)
    params = {k: torch.stack([n[k] for n in nets]).double() for k in nets[0]}
    for i, name in enumerate(params):
        if shared == "all" or (shared == "first" and i < 2):
            params[name] = params[name][0]
    if shared == "none":
        biased = {
            k: v + 0.1 * torch.rand(v.shape, generator=g) for k, v in params.items()
        }
        params = biased
    found = encoder.per_task(params, x)
    assert found.shape == (3, 7, encoder.width)
    for t in range(3):
        own = {k: v if v.dim() == nets[0][k].dim() else v[t] for k, v in params.items()}
        own = {k: v.unsqueeze(0) for k, v in own.items()}
        alone = encoder.apply(own, x[t : t + 1])[0, 0]
        # `apply` convolves in single precision.
        tolerance = 1e-5 if isinstance(encoder, Conv4) else close
        np.testing.assert_allclose(found[t], alone, rtol=tolerance, atol=tolerance)


def made(**options):
    core = MAMLClassifier(Dense((WIDTH, 6, 4), "tanh"), **options)
    params = core.init(torch.Generator().manual_seed(0))
    params = {k: v.double() for k, v in params.items()}
    g = torch.Generator().manual_seed(2)
    wide = torch.rand(WIDTH, generator=g, dtype=torch.float64)
    return (
        core,
        params,
        {"within": 0.2 + wide, "between": 0.5 + wide, "row_scale": wide},
    )


def make_batch(labels, n_tasks=3, n_query=6):
    g = torch.Generator().manual_seed(1)
    draw = lambda n: torch.randn(n_tasks, n, WIDTH, generator=g, dtype=torch.float64)  # noqa: E731
    y = torch.ones(n_tasks, n_query, dtype=torch.int8)
    y[:, n_query // 2 :] = -1
    support_y = torch.tensor([labels] * n_tasks)
    return Batch(draw(len(labels)), support_y, 2 * draw(n_query), y)


def plain_loss(core, params, fixed, batch):
    """The outer loss, one task and one row at a time, rows in their common unit."""
    names = [k for k in params if k.startswith(NETWORK)]
    moving = [LAST + "weight", LAST + "bias"] if core.algorithm == "anil" else names
    logistic, pairs, pull = [], [], 0.0

    def logit(net, row):
        z = row * fixed["row_scale"]
        z = torch.tanh(z @ net[LAYERS + "weight0"] + net[LAYERS + "bias0"])
        z = z @ net[LAYERS + "weight1"] + net[LAYERS + "bias1"]
        size, z = len(z) ** 0.5, torch.cat([z, z.new_tensor([0.37 * len(z) ** 0.5])])
        z = z * size / z.square().sum().sqrt()
        return (z @ net[LAST + "weight"] + net[LAST + "bias"])[0]

    def cross_entropy(net, row, label):
        return torch.log1p(torch.exp(-label * logit(net, row)))

    for support, y, query, query_y in zip(*batch[:4], strict=True):
        net = {n: params[n] for n in names}
        if core.algorithm == "reptile":
            net = {n: v.detach().requires_grad_() for n, v in net.items()}
        for step in range(core.inner_steps):
            loss = 0.0
            for label in (1, -1):
                rows = [
                    r
                    for r, a in zip(support, y, strict=True)
                    if (a == -1) == (label == -1)
                ]
                loss += sum(cross_entropy(net, r, label) for r in rows) / max(
                    len(rows), 1
                )
            first_order = core.algorithm in ("fomaml", "reptile")
            grads = torch.autograd.grad(
                loss, [net[n] for n in moving], create_graph=not first_order
            )
            for n, g in zip(moving, grads, strict=True):
                rate = core.inner_rate
                if core.algorithm == "meta-sgd":
                    rate = params[RATE + n]
                elif core.algorithm != "reptile":
                    rate = params[RATE + n].exp()[step]
                net = {**net, n: net[n] - rate * g}
        if core.algorithm == "reptile":
            net = {n: v.detach() for n, v in net.items()}
            for n in names:
                away = (params[n].detach() - net[n]) / core.inner_rate
                pull = pull + (away * params[n]).sum() / len(batch.support)
        scores = [logit(net, row) for row in query]
        for s, a in zip(scores, query_y, strict=True):
            logistic.append(torch.log1p(torch.exp(-a * s)))
            for t, b in zip(scores, query_y, strict=True):
                if a == 1 and b == -1:
                    pairs.append(torch.log1p(torch.exp(-(s - t))))
    pull = pull - pull.detach() if core.algorithm == "reptile" else 0.0
    return 0.5 * (sum(logistic) / len(logistic) + sum(pairs) / len(pairs)) + pull


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("labels", [[1, 1, 0], [1, 1, -1, 0, -1]])
def test_outer_gradient_equals_plain_loop(algorithm, labels):
    core, params, fixed = made(algorithm=algorithm, inner_steps=2, standardize=False)
    batch = make_batch(labels)
    # A mask of ones: unlabelled rows (0) are inliers here, not padding.
    leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
    everything = {**fixed, **leaves}
    mask = torch.ones(batch.support_y.shape, dtype=torch.bool)
    state = core.adapt(everything, batch.support, batch.support_y, mask)
    score = core.score(everything, state, batch.query)
    loss = separation(score, batch.query_y) + core.pull(everything, state)
    plain = {k: v.clone().requires_grad_() for k, v in params.items()}
    expected = plain_loss(core, plain, fixed, batch)
    np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-10)
    grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    wanted = torch.autograd.grad(expected, list(plain.values()), allow_unused=True)
    for name, got, want in zip(leaves, grads, wanted, strict=True):
        if want is None or got is None:
            assert (got is None or not got.any()) and (want is None or not want.any())
            continue
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-9, err_msg=name)


@pytest.mark.slow
def test_pictures_of_unseen_classes_are_told_apart():
    rng = np.random.default_rng(0)
    patterns = np.kron(rng.random((60, 4, 4)) < 0.4, np.ones((2, 2)))
    X = np.repeat(patterns.reshape(60, 64), 12, axis=0)
    X = X + rng.normal(0, 0.3, X.shape)
    glyphs = TaskCollection.from_classes(X, np.repeat(range(60), 12))
    det = MAMLClassifierDetector(
        encoder="conv4",
        n_channels=16,
        standardize=False,
        n_support=5,
        n_query=12,
        meta_batch_size=8,
        n_iter=250,
        random_state=0,
    ).fit(glyphs[:50])
    scores = few_shot_scores(det, glyphs[50:], n_support=5)
    assert np.mean(list(scores.values())) > 0.75


@pytest.mark.parametrize("algorithm", ["maml", "fomaml", "anil", "meta-sgd"])
def test_every_algorithm_learns(algorithm):
    fleet = make_fleet(n_tasks=40, random_state=0)
    det = MAMLClassifierDetector(
        algorithm=algorithm, n_calibration_networks=0, random_state=0
    ).fit(fleet[:30])
    scores = few_shot_scores(det, fleet[30:], n_support=10)
    assert np.mean(list(scores.values())) > 0.97


def test_labelled_outliers_in_the_support_help():
    fleet = make_fleet(n_tasks=40, random_state=0)
    det = MAMLClassifierDetector(n_calibration_networks=0, random_state=0)
    det.fit(fleet[:30])
    new = fleet[30]
    normal, odd = new.X[new.y == 1], new.X[new.y == -1]
    rows, y = [*normal[:5], odd[0]], [1] * 5 + [-1]
    before = det.adapt(rows[:5]).score_samples(odd[:1])
    assert det.adapt(rows, y).score_samples(odd[:1]) < before


def test_steps_on_inliers_do_not_favour_what_lies_far_out():
    core, params, fixed = made(inner_steps=5, inner_rate=0.5, standardize=False)
    g = torch.Generator().manual_seed(0)
    rows = 1 + 0.3 * torch.randn(1, 50, WIDTH, generator=g, dtype=torch.float64)
    support, near = rows[:, :25], rows[:, 25:]
    y = torch.ones(support.shape[:2])
    params = {k: v.requires_grad_() for k, v in params.items()} | fixed
    state = core.adapt(params, support, y, y == 1)
    score = core.score(params, state, torch.cat([near, -20 * near], dim=1))[0]
    assert score[25:].max() < score[:25].min()


@pytest.mark.slow
def test_more_rows_of_a_digit_do_not_mislead():
    X, y = load_digits(return_X_y=True)
    digits = TaskCollection.from_classes(X, y)
    det = MAMLClassifierDetector(n_iter=150, random_state=0).fit(digits[:7])
    few, many = [
        np.mean(list(few_shot_scores(det, digits[7:], n_support=k).values()))
        for k in (5, 50)
    ]
    assert min(few, many) > 0.75
