"""The prototype's scores by hand, and the promise never to fall below k-NN."""

import numpy as np
import pytest
import torch
from _plain import drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from skmetaad import MetaPrototypeDetector
from skmetaad.core.blend import CLEARLY, FLOOR, fit_blend, weights
from skmetaad.core.cohort import NEAREST
from skmetaad.core.encoders import Dense
from skmetaad.core.gaussian import NU
from skmetaad.core.kmeans import k_means
from skmetaad.core.prototype import Prototype
from skmetaad.core.scaling import row_unit
from skmetaad.datasets import make_fleet

WIDTH, STRENGTH = 4, 10.0


def made(**options):
    """Return a core and parameters in float64, none of them at a special value."""
    core = Prototype(Dense((WIDTH, 6, 3)), n_networks=2, **options)
    params = core.init(torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.rand(*shape, generator=g, dtype=torch.float64)  # noqa: E731
    fixed = {
        "within": 0.5 + draw(WIDTH),
        "between": 0.5 + draw(WIDTH),
        "row_scale": 0.5 + draw(WIDTH),
        "blend.weight": draw(5) - 0.5,
        "blend.shots": draw(5) - 0.5,
        "blend.bias": draw(2),
        "blend.center": draw(5),
        "blend.scale": 0.5 + draw(5),
        "gauss.whitening": draw(WIDTH, WIDTH) - 0.5,
    }
    return core, {k: v.double() for k, v in params.items()} | fixed


def own_distance(p, kept, query):
    """Return the distance of a row under its task's covariance, inverted as it is."""
    unit = p["row_scale"] / np.sqrt(WIDTH)
    rows, W = np.array(kept) * unit, p["gauss.whitening"]
    W = np.linalg.inv(W @ W.T)
    away = rows - rows.mean(axis=0)
    covariance = (NU * W + away.T @ away) / (NU + len(rows))
    gap = query * unit - rows.mean(axis=0)
    return np.sqrt(gap @ np.linalg.inv(covariance) @ gap / WIDTH)


def by_hand(core, params, support, y, query):
    """Score one row of one task with plain loops over rows and networks."""
    p = {name: value.numpy() for name, value in params.items()}
    kept = [row for row, label in zip(support, y, strict=True) if label != -1]
    n = len(kept)
    mean, scale = np.zeros(WIDTH), 1 / p["row_scale"]
    if core.standardize:
        total = sum(row / p["within"] for row in kept)
        mean = total / (n / p["within"] + 1 / p["between"])
        square = sum((row - mean) ** 2 for row in kept)
        scale = np.sqrt((STRENGTH * p["within"] + square) / (STRENGTH + n))

    def embed(row):
        z, out = (row - mean) / scale, []
        for i in range(2):
            hidden = np.maximum(z @ p["net.weight0"][i] + p["net.bias0"][i], 0)
            out.append(hidden @ p["net.weight1"][i] + p["net.bias1"][i])
        return np.concatenate(out) / np.sqrt(2)

    distance = lambda a, b: np.sqrt(((a - b) ** 2).sum())  # noqa: E731
    rows = [distance(query * p["row_scale"], r * p["row_scale"]) for r in kept]
    near = min(distance(embed(query), embed(row)) for row in kept)
    prototype = np.mean([embed(row) for row in kept], axis=0)
    log = lambda d: np.log(np.sqrt(d**2 + FLOOR**2))  # noqa: E731

    def level(point):
        away = sorted(distance(point, known) ** 2 for known in p["cohort.prototypes"])
        return log(np.sqrt(np.mean(away[:NEAREST])))

    beside = 0.0
    if "cohort.prototypes" in p:
        beside = (level(embed(query)) + level(prototype)) / 2
    logs = [
        log(min(rows) / np.sqrt(WIDTH)),
        log(near) - beside,
        log(distance(embed(query), prototype)) - beside,
        log(own_distance(p, kept, query)),
    ]
    outliers = [r for r, label in zip(support, y, strict=True) if label == -1]
    away = [distance(embed(query), embed(row)) for row in outliers]
    margin = max(0.0, log(near) - log(min(away))) if away else 0.0
    shots = np.log(n) / 4 - 0.5
    weight = np.log1p(np.exp(p["blend.weight"] + p["blend.shots"] * shots))
    evidence = (np.array([*logs, margin]) - p["blend.center"]) / p["blend.scale"]
    return p["blend.bias"][0] + p["blend.bias"][1] * shots - weight @ evidence


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize("labels", [[1, 1, 1, 1, 1], [1, 0, 1, -1, -1]])
def test_scores_equal_a_hand_computation(standardize, labels):
    core, params = made(standardize=standardize)
    support, query = drawn(WIDTH, n_tasks=3)
    y = torch.tensor([labels] * 3)
    state = core.adapt(params, torch.tensor(support), y, torch.ones(3, 5).bool())
    scores = core.score(params, state, torch.tensor(query))
    expected = [
        [by_hand(core, params, support[t], labels, row) for row in query[t]]
        for t in range(3)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n_known", [3, 30])
def test_scores_beside_a_cohort_equal_a_hand_computation(n_known):
    core, params = made()
    g = torch.Generator().manual_seed(3)
    params["cohort.prototypes"] = torch.randn(n_known, 6, generator=g).double()
    support, query = drawn(WIDTH, n_tasks=3)
    y = torch.ones(3, 5, dtype=torch.int8)
    state = core.adapt(params, torch.tensor(support), y, y != 0)
    scores = core.score(params, state, torch.tensor(query))
    expected = [
        [by_hand(core, params, support[t], [1] * 5, row) for row in query[t]]
        for t in range(3)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-6, atol=1e-6)


def test_a_fleet_told_apart_without_error_still_gets_finite_odds():
    evidence = torch.rand(30, 8, 5, generator=torch.Generator().manual_seed(0))
    evidence = evidence.double()
    y = torch.ones(30, 8)
    y[:, 4:] = -1
    evidence[:, 4:, :4] += 3.0
    params = fit_blend(evidence, y, torch.full((30,), 5.0).double(), learn=True)
    weight, bias = weights(params, torch.tensor([5.0]).double())
    z = (evidence[0] - params["blend.center"]) / params["blend.scale"]
    score = bias - z @ weight[0]
    assert (score[:4] > 2).all() and (score[4:] < -2).all() and score.abs().max() < 50


@pytest.mark.parametrize("far", [1.0, 1e8])
def test_absent_rows_change_nothing(far):
    core, params = made()
    support, query = map(torch.tensor, drawn(WIDTH, n_tasks=3))
    query = far * query
    y, mask = torch.ones(3, 5, dtype=torch.int8), torch.ones(3, 5).bool()
    want = core.score(params, core.adapt(params, support, y, mask), query)
    padded = torch.cat([support, torch.zeros(3, 2, WIDTH)], dim=1)
    y = torch.cat([y, torch.zeros(3, 2, dtype=torch.int8)], dim=1)
    mask = torch.cat([mask, torch.zeros(3, 2).bool()], dim=1)
    got = core.score(params, core.adapt(params, padded, y, mask), query)
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_several_neighbours_are_averaged_and_outvote_one_odd_row():
    core, params = made(n_neighbors=3)
    support, query = map(torch.tensor, drawn(WIDTH, n_tasks=3))
    state = core.adapt(
        params,
        support,
        torch.tensor([[1, 1, 1, 1, -1]] * 3),
        torch.tensor([[True] * 5, [True, True, False, False, True], [True] * 5]),
    )
    embedded = core.embed(params, state, query)
    rows, near, _, _, odd = core.distances(params, state, query, embedded)
    embedded = core.embed(params, state, query)
    for t, kept in ((0, 4), (1, 2)):
        for found, a, b in (
            (near, embedded, state["support"]),
            (rows, query * row_unit(params), state["rows"]),
        ):
            d = torch.cdist(a[t], b[t, :kept]).square().sort(dim=1).values[:, :3]
            np.testing.assert_allclose(found[t], d.mean(dim=1), rtol=1e-6)
        alone = torch.cdist(embedded[t], state["support"][t, 4:]).square()[:, 0]
        np.testing.assert_allclose(odd[t], alone, rtol=1e-6)


def test_held_out_scores_are_leave_one_out_scores():
    # Without standardisation the scaling does not know the row left out either.
    core, params = made(standardize=False)
    support, _ = drawn(WIDTH, n_tasks=3)
    y, mask = torch.tensor([[1, 1, 0, 1, -1]] * 3), torch.ones(3, 5).bool()
    rows = torch.tensor(support)
    found = core.held_out(params, core.adapt(params, rows, y, mask))
    for i in range(4):
        left = [j for j in range(5) if j != i]
        state = core.adapt(params, rows[:, left], y[:, left], mask[:, left])
        want = core.score(params, state, rows[:, i : i + 1])[:, 0]
        np.testing.assert_allclose(found[:, i], want, rtol=1e-5, atol=1e-5)
    assert torch.isnan(found[:, 4]).all()


def test_two_prototypes_find_two_modes():
    rng = np.random.default_rng(0)
    rows = np.r_[rng.normal(-5, 0.1, (6, 2)), rng.normal(5, 0.1, (3, 2))]
    centers = k_means(torch.tensor(rows[None]), torch.ones(1, 9).double(), 2)[0]
    order = centers[:, 0].argsort()
    want = [rows[:6].mean(axis=0), rows[6:].mean(axis=0)]
    np.testing.assert_allclose(centers[order], want)


def test_more_prototypes_than_rows_still_score():
    fleet = make_fleet(n_tasks=6, n_features=4, random_state=0)
    det = MetaPrototypeDetector(n_iter=10, n_prototypes=4, random_state=0).fit(fleet)
    assert np.isfinite(det.adapt(fleet[0].X[:2]).score_samples(fleet[0].X)).all()


def test_labelled_outliers_lower_the_scores_around_them():
    fleet = make_fleet(n_tasks=14, n_features=4, random_state=0)
    det = MetaPrototypeDetector(n_iter=60, random_state=0).fit(fleet[:10])
    gains = []
    for task in fleet[10:]:
        normal, odd = task.X[task.y == 1], task.X[task.y == -1]
        half = len(odd) // 2
        support = np.r_[normal[:10], odd[:half]]
        y = np.r_[np.ones(10), -np.ones(half)]
        query, truth = np.r_[normal[10:], odd[half:]], np.arange(len(normal) - 10)
        truth = np.r_[np.zeros(len(truth)), np.ones(len(odd) - half)]
        plain, labelled = det.adapt(normal[:10]), det.adapt(support, y)
        gains.append(
            roc_auc_score(truth, -labelled.score_samples(query))
            - roc_auc_score(truth, -plain.score_samples(query))
        )
    assert np.mean(gains) > -1e-9
    assert (labelled.score_samples(odd[:half]) < plain.score_samples(odd[:half])).all()


# ------------------------------------------------------------------- never below k-NN


def mean_auroc(score, y):
    return np.mean([roc_auc_score(a == 1, b) for a, b in zip(y, score, strict=True)])


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    strength=st.lists(st.floats(0, 3), min_size=4, max_size=4),
)
def test_the_blend_hardly_ranks_below_any_part(seed, strength):
    rng = np.random.default_rng(seed)
    y = np.tile(np.repeat([1, -1], 8), (6, 1))
    evidence = rng.normal(size=(6, 16, 5))
    evidence[..., :4] += (y == -1)[..., None] * np.array(strength)
    evidence[..., 4] = 0.0
    shots = torch.tensor([1.0, 1, 5, 5, 50, 50])
    params = fit_blend(torch.tensor(evidence), torch.tensor(y), shots, learn=True)
    weight, bias = weights(params, shots)
    z = (torch.tensor(evidence) - params["blend.center"]) / params["blend.scale"]
    score = bias.unsqueeze(1) - (z @ weight.unsqueeze(-1)).squeeze(-1)
    best = max(mean_auroc(-evidence[..., c], y) for c in range(4))
    assert mean_auroc(score.numpy(), y) >= best - CLEARLY - 1e-9


def test_on_held_out_tasks_it_does_not_fall_below_k_nn_on_rows_or_embedding():
    fleet = make_fleet(n_tasks=40, n_features=6, random_state=3)
    det = MetaPrototypeDetector(n_iter=100, random_state=0).fit(fleet[:30])
    found = {"detector": [], "rows": [], "embedding": []}
    for task in fleet[30:]:
        support = np.flatnonzero(task.y == 1)[:5]
        query = np.setdiff1d(np.arange(len(task.y)), support)
        new, outlier = det.adapt(task.X[support]), task.y[query] == -1
        embedded = new.embed(task.X)
        for name, rows in (("rows", task.X), ("embedding", embedded)):
            away = rows[query][:, None] - rows[support][None]
            nearest = np.linalg.norm(away, axis=2).min(axis=1)
            found[name].append(roc_auc_score(outlier, nearest))
        scores = new.score_samples(task.X[query])
        found["detector"].append(roc_auc_score(outlier, -scores))
    means = {name: np.mean(values) for name, values in found.items()}
    assert means["detector"] >= means["rows"] - 0.01, means
    assert means["detector"] >= means["embedding"] - 0.01, means


def test_embeddings_have_the_documented_shape():
    fleet = make_fleet(n_tasks=6, n_features=4, random_state=0)
    det = MetaPrototypeDetector(hidden_sizes=(8, 5), n_networks=2, n_iter=5)
    X, y, task = fleet.arrays()
    embedded = det.fit(X, y, task=task).embed(X, task=task)
    assert embedded.shape == (len(X), 10)


def test_a_cohort_of_training_tasks_is_kept_and_changes_scores():
    fleet = make_fleet(n_tasks=12, random_state=0)
    known, new = fleet[:10], fleet[10]
    params = {"n_iter": 20, "early_stopping": True, "random_state": 0}
    with_cohort = MetaPrototypeDetector(n_cohort=4, **params).fit(known)
    assert with_cohort.meta_["cohort.prototypes"].shape == (4, 3 * 32)
    every = MetaPrototypeDetector(n_cohort=50, **params).fit(known)
    assert len(every.meta_["cohort.prototypes"]) == 10
    adapted = with_cohort.adapt(new.X[new.y == 1][:10])
    one = [adapted.score_samples(new.X[i : i + 1])[0] for i in range(5)]
    np.testing.assert_allclose(one, adapted.score_samples(new.X)[:5], rtol=1e-9)
    assert roc_auc_score(new.y, adapted.score_samples(new.X)) > 0.6
