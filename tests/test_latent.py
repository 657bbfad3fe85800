"""Codes and residuals under Mahalanobis distances, by explicit inverses."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetaad import MAMLAutoencoderDetector, few_shot_scores
from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.blend import FLOOR
from skmetaad.core.codecs import DenseCodec
from skmetaad.core.gaussian import NU, RIDGE
from skmetaad.core.latent import FARTHEST, SPACES, WHITENING, LatentAutoencoder
from skmetaad.core.nets import NETWORK
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet
from skmetaad.utils.estimator_checks import check_meta_detector

WIDTH, HIDDEN = 4, 2
SIZES = (WIDTH, 5, HIDDEN, 5, WIDTH)
N_NETWORKS = 2


def made(n_networks=N_NETWORKS, **options):
    """Return a core and parameters, rows standing for what whitens them."""
    single = MAMLAutoencoder(DenseCodec(SIZES), **options)
    core = LatentAutoencoder(single, n_networks)
    g = torch.Generator().manual_seed(0)
    params = {
        k: v.double() + 0.3 * torch.rand(v.shape, generator=g, dtype=torch.float64)
        for k, v in core.init(g).items()
    }
    for space, size in zip(SPACES, (HIDDEN, WIDTH), strict=True):
        square = torch.randn(n_networks, size, size, generator=g, dtype=torch.float64)
        params[WHITENING + space] = square + 2 * torch.eye(size)
    wide = 0.5 + torch.rand(WIDTH, generator=g, dtype=torch.float64)
    fixed = {"within": wide, "between": wide, "row_scale": 2 * wide}
    square = torch.randn(WIDTH, WIDTH, generator=g, dtype=torch.float64)
    fixed["gauss.whitening"] = square + 2 * torch.eye(WIDTH)
    return core, params | fixed


def rows(n_rows, seed=2):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, n_rows, WIDTH, generator=g, dtype=torch.float64)


def described_by_hand(params, i, state, task, x):
    """Return the codes and residuals of a task's rows by network i."""
    z = (x - state[f"{i}.mean"][task]) / state[f"{i}.scale"][task]
    net = {
        k.removeprefix(f"{i}.{NETWORK}"): v[task].numpy()
        for k, v in state.items()
        if k.startswith(f"{i}.{NETWORK}")
    }
    z = z.numpy()
    hidden = np.maximum(z @ net["weight0"] + net["bias0"], 0)
    code = hidden @ net["weight1"] + net["bias1"]
    hidden = np.maximum(np.maximum(code, 0) @ net["weight2"] + net["bias2"], 0)
    return code, hidden @ net["weight3"] + net["bias3"] - z


def error_by_hand(net, residual):
    """Return squared errors under the learned feature weights."""
    weight = np.exp(net["head.feature"].numpy())
    return residual**2 @ (weight / weight.sum()) + 1e-6


def mahalanobis_by_hand(A, own, query):
    W = np.linalg.inv(A @ A.T)
    away = own - own.mean(axis=0)
    covariance = (NU * W + away.T @ away) / (NU + len(own))
    gap = query - own.mean(axis=0)
    squared = ((gap @ np.linalg.inv(covariance)) * gap).sum(axis=1) / own.shape[1]
    return 0.5 * np.log(squared + FLOOR**2)


def nearest_by_hand(A, own, query):
    away = (query @ A)[:, None] - (own @ A)[None]
    squared = (away**2).sum(axis=2).min(axis=1) / own.shape[1]
    return 0.5 * np.log(squared + FLOOR**2)


def test_the_evidence_by_hand():
    core, params = made()
    support, query = rows(6), rows(5, seed=3)
    y = torch.tensor([[1, 1, 0, 1, -1, 0], [1, -1, -1, 1, 1, 1]])
    mask = torch.tensor([[True] * 5 + [False], [True] * 6])
    state = core.adapt(params, support * mask[..., None], y, mask)
    found = core.evidence(params, state, query)
    for task in range(2):
        kept, odd = (mask & (y != -1))[task], (mask & (y == -1))[task]
        want = []
        for i in range(N_NETWORKS):
            own = [
                described_by_hand(params, i, state, task, x[task])
                for x in (support, query)
            ]
            A = [params[WHITENING + space][i].numpy() for space in SPACES]
            parts = [
                mahalanobis_by_hand(A[s], own[0][s][kept], own[1][s]) for s in (0, 1)
            ]
            near, away = (
                nearest_by_hand(A[0], own[0][0][who], own[1][0]) for who in (kept, odd)
            )
            net = core.network(params, i)
            one = {
                k.removeprefix(f"{i}."): v
                for k, v in state.items()
                if k.startswith(f"{i}.")
            }
            error = np.log(
                error_by_hand(net, own[1][1])
                / np.exp(net["head.level"].numpy() * one["level"][task].numpy())
            )
            margin = np.maximum(near - away, 0)
            want.append(np.stack([error / 2, *parts, near, margin], axis=1))
        want = np.mean(want, axis=0)
        unit = params["row_scale"].numpy() / np.sqrt(WIDTH)
        own, other = support[task][kept].numpy() * unit, query[task].numpy() * unit
        covariance = mahalanobis_by_hand(params["gauss.whitening"].numpy(), own, other)
        # Rows in this unit are those of a column already.
        near = nearest_by_hand(np.eye(WIDTH) * np.sqrt(WIDTH), own, other)
        guard = np.stack([near, covariance], axis=1)
        want = np.concatenate([want[:, :4], guard, want[:, 4:]], axis=1)
        np.testing.assert_allclose(found[task], want, rtol=1e-7)


def test_codes_and_residuals_are_whitened_within_episodes():
    core, params = made(n_networks=1)
    net = core.network(params, 0)
    y, query_y = torch.ones(2, 3, dtype=torch.int8), torch.tensor([[1] * 8 + [-1]] * 2)
    batches = [Batch(rows(3, s), y, rows(9, s + 10), query_y) for s in (1, 2)]
    described = []
    for batch in batches:
        state = core.single.adapt(net, batch.support, batch.support_y, y != 0)
        described.append(core.described(net, state, batch.query[:, :8]))
    found = core.known(net, batches)
    for i, space in enumerate(SPACES):
        values = np.concatenate([each[i].numpy() for each in described])
        d = values.shape[2]
        spread = values.var(axis=1).mean(axis=0)
        unit = 1 / np.sqrt(d * np.maximum(spread, 1e-4 * spread.mean()))
        W = np.mean([np.cov(episode.T) for episode in values * unit], axis=0)
        W = (1 - RIDGE) * W + RIDGE * np.trace(W) / d * np.eye(d)
        A = found[WHITENING + space].numpy()
        whitened = unit[:, None] * np.linalg.inv(W) * unit
        np.testing.assert_allclose(A @ A.T, whitened, rtol=1e-5)


@pytest.mark.parametrize("astray", [torch.nan, 1e30])
def test_a_network_gone_astray_leaves_the_rest_alone(astray):
    core, params = made(n_networks=1)
    net = core.network(params, 0)
    y, query_y = torch.ones(2, 3, dtype=torch.int8), torch.tensor([[1] * 8 + [-1]] * 2)
    batch = Batch(rows(3), y, rows(9, 3), query_y)
    adapt = core.single.adapt

    def spoilt(*args):
        state = adapt(*args)
        state["net.weight3"][1:] = astray
        return state

    object.__setattr__(core.single, "adapt", spoilt)
    evidence, n_inliers = core.weighed(net, batch)
    assert evidence.isfinite().all()
    assert (evidence[1, :, 0] > 20).all()
    assert (evidence <= FARTHEST).all()
    assert n_inliers.tolist() == [3, 3]
    both = core.known(net, [batch])
    one = core.known(net, [Batch(*[v[:1] for v in batch[:4]])])
    for name in both:
        np.testing.assert_allclose(both[name], one[name])
        assert both[name].isfinite().all()


def test_a_task_is_judged_by_the_networks_that_stay_finite():
    """And where none does, adapting fails, by name."""
    fleet = make_fleet(n_tasks=9, n_features=3, random_state=0)
    det = MAMLAutoencoderDetector(
        anomaly_score="mahalanobis", n_iter=60, random_state=0
    ).fit(fleet[:6])
    support = [task.X[task.y == 1][:10] for task in fleet[6:]]
    stacked, names = np.concatenate(support), np.repeat(["a", "b", "c"], 10)
    X, y = fleet[6].X, fleet[6].y
    plain = det.adapt(stacked, task=names)
    weight = det.meta_["net.weight0"]
    weight[0] *= np.float32(1e25)
    adapted = det.adapt(stacked, task=names)
    scores = adapted.score_samples(X, task=["a"] * len(X))
    assert np.isfinite(scores).all() and np.isfinite(adapted.task_offsets_).all()
    want = roc_auc_score(y, plain.score_samples(X, task=["a"] * len(X)))
    assert roc_auc_score(y, scores) > want - 0.1
    weight[1:] *= np.float32(1e25)
    with pytest.raises(ValueError, match="adapting to task 'a'.*not finite"):
        det.adapt(stacked, task=names)


def test_wide_codes_are_whitened_by_a_number_each():
    core = LatentAutoencoder(MAMLAutoencoder(DenseCodec((1100, 4, 1100))), 1)
    params = core.init(torch.Generator().manual_seed(0))
    fixed = dict.fromkeys(("within", "between", "row_scale"), torch.ones(1100))
    net = core.network(params | fixed | {"gauss.whitening": torch.tensor(1.0)}, 0)
    x = torch.randn(2, 9, 1100, generator=torch.Generator().manual_seed(1))
    y = torch.ones(2, 9, dtype=torch.int8)
    batch = Batch(x[:, :4], y[:, :4], x[:, 4:], y[:, 4:])
    net |= core.known(net, [batch])
    assert net[WHITENING + "residual"].shape == (1100,)
    evidence, _ = core.weighed(net, batch)
    assert evidence.isfinite().all()


def test_each_network_leaves_a_share_of_the_tasks_out():
    fleet = make_fleet(n_tasks=6, n_features=3, random_state=0)
    det = MAMLAutoencoderDetector(anomaly_score="mahalanobis", n_iter=2)
    parts = det._parts(np.arange(6), np.random.default_rng(0))
    left_out = np.concatenate([np.setdiff1d(np.arange(6), part) for part in parts])
    assert sorted(left_out) == list(range(6))
    det.set_params(n_networks=2, random_state=0).fit(fleet)
    assert det.meta_["net.weight0"].shape == (2, 3, 64)
    assert det.meta_["whitening.code"].shape == (2, 16, 16)
    assert not np.array_equal(*det.meta_["net.weight0"])


@pytest.mark.parametrize("params", [{}, {"variant": "variational"}])
def test_it_learns(params):
    fleet = make_fleet(n_tasks=30, random_state=0)
    det = MAMLAutoencoderDetector(
        anomaly_score="mahalanobis", n_iter=100, random_state=0, **params
    )
    scores = few_shot_scores(det.fit(fleet[:24]), fleet[24:], n_support=10)
    assert np.mean(list(scores.values())) > 0.95


def test_a_labelled_outlier_lowers_the_scores_of_rows_like_it():
    fleet = make_fleet(n_tasks=12, random_state=0)
    det = MAMLAutoencoderDetector(anomaly_score="mahalanobis", n_iter=30)
    det.set_params(random_state=0).fit(fleet[:10])
    new = fleet[11]
    rows = np.r_[np.flatnonzero(new.y == 1)[:10], np.flatnonzero(new.y == -1)[:1]]
    odd = new.X[rows[-1:]]
    plain, labelled = det.adapt(new.X[rows[:10]]), det.adapt(new.X[rows], new.y[rows])
    assert labelled.score_samples(odd) < plain.score_samples(odd)


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["maml", "reptile", "anil"])
def test_it_keeps_the_contract(algorithm):
    check_meta_detector(
        MAMLAutoencoderDetector(
            anomaly_score="mahalanobis", algorithm=algorithm, n_iter=100
        )
    )


@pytest.mark.slow
@parametrize_with_checks(
    [MAMLAutoencoderDetector(anomaly_score="mahalanobis", n_iter=10)]
)
def test_it_keeps_scikit_learns_contract(estimator, check):
    check(estimator)
