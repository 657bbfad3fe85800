"""Distances under a task's own covariance, against one explicit inverse per task."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from skmetaad import MetaPrototypeDetector
from skmetaad.core.gaussian import (
    NU,
    RIDGE,
    WIDEST,
    fit_gaussian,
    fleet_whitening,
    gaussian_distances,
)
from skmetaad.datasets import make_fleet
from skmetaad.detectors import _prototype


def fleet_of(d, n_tasks=4, n_rows=30, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_tasks, n_rows, d)) @ rng.normal(size=(d, d)) / d
    rows += rng.normal(size=(n_tasks, 1, d))
    code = np.repeat(np.arange(n_tasks), n_rows)
    return torch.tensor(rows.reshape(-1, d)), torch.tensor(code)


def by_hand(W, rows, query):
    """Return the squared distances per column of query rows to a task of rows."""
    away = rows - rows.mean(axis=0)
    covariance = (NU * W + away.T @ away) / (NU + len(rows))
    gap = query - rows.mean(axis=0)
    return ((gap @ np.linalg.inv(covariance)) * gap).sum(axis=1) / rows.shape[1]


def test_the_whitening_is_that_of_the_mean_within_task_covariance():
    rows, code = fleet_of(5)
    kept = torch.arange(len(rows)) >= 10  # tasks of unequal size
    rows, code = rows[kept], code[kept]
    W = np.mean([np.cov(rows[code == t].T) for t in range(4)], axis=0)
    W = (1 - RIDGE) * W + RIDGE * np.trace(W) / 5 * np.eye(5)
    A = fleet_whitening(rows, code).numpy()
    np.testing.assert_allclose(A @ A.T, np.linalg.inv(W), rtol=1e-9)


@pytest.mark.parametrize(("d", "n_support"), [(3, 8), (6, 6), (12, 4), (1, 5), (4, 1)])
def test_distances_equal_those_of_an_explicit_inverse(d, n_support):
    whitening = fleet_whitening(*fleet_of(d))
    W = np.linalg.inv((whitening @ whitening.mT).numpy())
    rng = np.random.default_rng(1)
    rows, query = rng.normal(size=(3, n_support, d)), rng.normal(size=(3, 7, d))
    inlier = torch.ones(3, n_support, dtype=torch.bool)
    inlier[1, n_support // 2 + 1 :] = False
    n = inlier.sum(dim=1)
    state = fit_gaussian(whitening, torch.tensor(rows), inlier)
    found = gaussian_distances(whitening, state, n, torch.tensor(query))
    for t in range(3):
        own = rows[t, inlier[t].numpy()]
        np.testing.assert_allclose(found[t], by_hand(W, own, query[t]), rtol=1e-7)
        for i in range(len(own) if len(own) > 1 else 0):
            want = by_hand(W, np.delete(own, i, axis=0), own[i : i + 1])[0]
            np.testing.assert_allclose(state["gauss.own"][t, i], want, rtol=1e-7)


def test_wide_rows_are_whitened_by_one_number():
    rng = np.random.default_rng(0)
    rows = torch.tensor(rng.normal(size=(20, WIDEST + 1)))
    whitening = fleet_whitening(rows, torch.arange(20) % 2)
    assert whitening.dim() == 0
    state = fit_gaussian(whitening, rows[None, :10], torch.ones(1, 10).bool())
    near, far = gaussian_distances(
        whitening, state, torch.tensor([10]), torch.stack([rows[:10], 3 * rows[:10]])
    )
    assert (near < far).all()


def test_constant_columns_and_huge_rows_stay_finite():
    rows, code = fleet_of(4)
    rows[:, 0] = 1.0
    for fleet in (rows, torch.ones_like(rows)):
        whitening = fleet_whitening(fleet, code).float()
        for support in (rows[:5], 1e9 * rows[:5], torch.ones(5, 4)):
            x = support[None].float()
            state = fit_gaussian(whitening, x, torch.ones(1, 5).bool())
            query = torch.cat([x, -x, 0 * x], dim=1)
            found = gaussian_distances(whitening, state, torch.tensor([5]), query)
            for value in (found, *state.values()):
                assert torch.isfinite(value).all()
                assert value is state["gauss.mean"] or (found >= 0).all()


@pytest.mark.parametrize("times", [1.0, 300.0, 3000.0])
def test_supports_of_far_larger_scatter_than_the_fleet_keep_their_distances(times):
    whitening = fleet_whitening(*fleet_of(6)).float()
    W = np.linalg.inv((whitening @ whitening.mT).double().numpy())
    rng = np.random.default_rng(1)
    support, query = (
        (times * rng.normal(size=(n, 6))).astype(np.float32) for n in (12, 30)
    )
    n, inlier = torch.tensor([12]), torch.ones(1, 12).bool()
    state = fit_gaussian(whitening, torch.tensor(support)[None], inlier)
    found = gaussian_distances(whitening, state, n, torch.tensor(query)[None])
    want = by_hand(W, support.astype(float), query.astype(float))
    np.testing.assert_allclose(found[0], want, rtol=0.02)


@pytest.mark.parametrize("where", ["shifted tasks", "far labelled outliers"])
def test_thresholds_of_far_off_rows_are_those_of_the_task_alone(where):
    fleet = make_fleet(n_tasks=10, n_rows=120, random_state=0)
    unit = np.concatenate([t.X for t in fleet]).std(0)
    det = MetaPrototypeDetector(n_iter=20, n_networks=1, random_state=0)
    det.fit(fleet[:8])
    X = fleet[8].X[fleet[8].y == 1][:40]
    if where == "shifted tasks":
        X = X + 1e4 * unit
        other = fleet[9].X[fleet[9].y == 1][:60]
        task = ["a"] * 40 + ["b"] * 60
        both = det.adapt(np.concatenate([X, other]), task=task).task_offsets_[0]
        alone = det.adapt(X, task=task[:40]).task_offsets_[0]
    else:
        y = [1] * 40 + [-1]
        alone = det.adapt(np.concatenate([X, X[:1] + 1e2 * unit]), y).offset_
        both = det.adapt(np.concatenate([X, X[:1] + 1e5 * unit]), y).offset_
    assert both == pytest.approx(alone, abs=1e-5)


def test_a_departure_across_correlated_columns_is_found_from_one_row():
    # Both columns alone are as usual: only the fleet's covariance tells.
    rng = np.random.default_rng(0)
    common = rng.normal(size=(12, 60, 1))
    X = common + 0.1 * rng.normal(size=(12, 60, 4)) + rng.normal(size=(12, 1, 1))
    y = np.ones((12, 60))
    X[:, 50:, 0] -= 2 * common[:, 50:, 0]
    y[:, 50:] = -1
    task = np.repeat(np.arange(12), 60)
    rows, label = X.reshape(-1, 4), y.ravel()
    train = task < 8
    det = MetaPrototypeDetector(n_iter=30, random_state=0)
    det.fit(rows[train], label[train], task=task[train])
    scores = det.adapt(X[8, :1]).score_samples(X[8, 1:])
    near = np.linalg.norm(X[8, 1:] - X[8, 0], axis=1)
    assert roc_auc_score(y[8, 1:] == -1, -scores) > 0.8
    assert roc_auc_score(y[8, 1:] == -1, near) < 0.7


@pytest.mark.parametrize("apart", [1.0, 100.0])
def test_the_covariance_inside_tasks_counts_however_far_apart_these_are(apart):
    # Within tasks far apart, all variance is that between them but for a little.
    rows, code = fleet_of(5)
    middle = torch.stack([rows[code == t].mean(dim=0) for t in range(4)])
    rows = (rows - middle[code]) / apart + middle[code]
    A = fleet_whitening(rows / (rows.std(dim=0) * 5**0.5), code)
    unit = rows.std(dim=0).numpy() * 5**0.5
    W = np.mean([np.cov(rows[code == t].T) for t in range(4)], axis=0)
    W = W / unit / unit[:, None]
    W = (1 - RIDGE) * W + RIDGE * np.trace(W) / 5 * np.eye(5)
    np.testing.assert_allclose(A @ A.mT, np.linalg.inv(W), rtol=1e-7)


def test_the_whitening_of_the_blend_has_not_seen_its_tasks(monkeypatch):
    fleet = make_fleet(n_tasks=6, n_features=3, random_state=0)
    det = MetaPrototypeDetector(n_iter=2, random_state=0)
    seen = []
    made = _prototype.data_whitening

    def noted(params, draw, without):
        seen.append(np.asarray(without))
        return made(params, draw, without)

    monkeypatch.setattr(_prototype, "data_whitening", noted)
    det.fit(fleet)
    # One share after the other, and at last nothing is left out.
    assert sorted(np.concatenate(seen)) == list(range(6))
    assert len(seen) == 4
    assert not len(seen[-1])
