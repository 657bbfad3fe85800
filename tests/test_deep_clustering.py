"""Deep clustering: clusters, scores, losses and gradients against plain loops."""

import numpy as np
import pytest
import torch
from _plain import check_gradients, drawn, mlp, parameters
from sklearn.metrics import roc_auc_score

from skmetaad import DeepClusteringDetector, Task, TaskCollection, few_shot_scores
from skmetaad.core import clustering
from skmetaad.core.clustering import Clustering, divergence, sharpened
from skmetaad.core.encoders import Dense
from skmetaad.core.losses import crossed_separation, separation
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet

WIDTH, E = 4, 3
LABELS = {"inliers only": [1, 1, 1, 1, 1], "with outliers": [1, 0, 1, -1, -1]}


def core_of(**options):
    options = {"standardize": False, "n_clusters": 2, **options}
    sizes = (E, 5, WIDTH)
    return Clustering(Dense((WIDTH, 6, E)), decoder_sizes=sizes, **options)


def embed(p, rows):
    return mlp(p, np.asarray(rows) * p["row_scale"], 2, "net.")


def distance(a, b):
    return ((a - b) ** 2).sum()


def clusters(rows, k):
    """Return centres and the shares of the rows at each, after plain k-means."""
    centers = [rows[np.argmin([distance(r, rows.mean(axis=0)) for r in rows])]]
    while len(centers) < k:
        away = [min(distance(r, c) for c in centers) for r in rows]
        centers.append(rows[np.argmax(away)])
    for _ in range(20):
        which = np.array([np.argmin([distance(r, c) for c in centers]) for r in rows])
        centers = [
            rows[which == j].mean(axis=0) if (which == j).any() else centers[j]
            for j in range(k)
        ]
    count = np.bincount(which, minlength=k)
    return centers, (count + 1) * (count > 0) / (len(rows) + sum(count > 0))


def kernel(p, a, b):
    return 1 / (1 + distance(a, b) / np.exp(p["head.width"]))


def by_hand(p, support, labels, query, k):
    labels = np.array(labels)
    rows, odd = embed(p, support[labels != -1]), embed(p, support[labels == -1])
    centers, shares = clusters(rows, k)
    scores = []
    for row in embed(p, query):
        found = [kernel(p, row, c) for c in centers]
        density = sum(pi * each for pi, each in zip(shares, found, strict=True))
        closest = max(each for pi, each in zip(shares, found, strict=True) if pi)
        nearest_odd = max((kernel(p, row, o) for o in odd), default=0.0)
        less = max(0.0, np.log(nearest_odd / closest)) if nearest_odd else 0.0
        level = p["head.level"][0] + p["head.level"][1] * np.log(len(rows))
        scores.append(np.exp(p["head.slope"]) * (np.log(density) + level - less))
    return scores


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("n_clusters", [1, 2, 7])
def test_scores_equal_a_hand_computation(labels, n_clusters):
    core = core_of(n_clusters=n_clusters)
    params, (support, query) = parameters(core, WIDTH), drawn(WIDTH)
    p = {k: v.numpy() for k, v in params.items()}
    y, mask = torch.tensor([labels] * 2), torch.ones(2, 5, dtype=torch.bool)
    state = core.adapt(params, torch.tensor(support), y, mask)
    scores = core.score(params, state, torch.tensor(query))
    want = [by_hand(p, support[t], labels, query[t], n_clusters) for t in range(2)]
    np.testing.assert_allclose(scores, want, rtol=1e-9)
    # Absent rows change nothing.
    rows = torch.cat([torch.tensor(support), torch.zeros(2, 3, WIDTH)], dim=1)
    y = torch.cat([y, torch.zeros(2, 3, dtype=y.dtype)], dim=1)
    mask = torch.cat([mask, torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    state = core.adapt(params, rows, y, mask)
    again = core.score(params, state, torch.tensor(query))
    np.testing.assert_allclose(again, scores, rtol=1e-9)


def soft_assignments(n_rows=6, k=3):
    rng = np.random.default_rng(1)
    z, centers = rng.normal(size=(n_rows, E)), rng.normal(size=(k, E))
    found = 1 / (1 + ((z[:, None] - centers) ** 2).sum(axis=2))
    return z, centers, found, found / found.sum(axis=1, keepdims=True)


def target(q):
    """Return the paper's equation (3), element by element."""
    size = q.sum(axis=0)
    return np.array(
        [[row[j] ** 2 / size[j] for j in range(len(row))] for row in q]
        / np.array([[sum(row**2 / size)] for row in q])
    )


def test_the_divergence_equals_that_of_the_paper():
    _, _, found, q = soft_assignments()
    p = target(q)
    np.testing.assert_allclose(sharpened(torch.tensor(q)[None])[0], p, rtol=1e-12)
    got = divergence(torch.tensor(found).log()[None])
    assert got.item() == pytest.approx((p * np.log(p / q)).sum() / len(q), rel=1e-12)


def test_its_gradient_equals_that_of_the_paper():
    z, centers, found, q = soft_assignments()
    leaf = torch.tensor(z, requires_grad=True)
    away = leaf.unsqueeze(1) - torch.tensor(centers)
    log_kernel = -torch.log1p(away.square().sum(dim=2))
    (grad,) = torch.autograd.grad(divergence(log_kernel[None]), leaf)
    # Equation (4) with one degree of freedom.
    weight = found * (target(q) - q)
    want = 2 * (weight[:, :, None] * (z[:, None] - centers)).sum(axis=1)
    np.testing.assert_allclose(grad, want / len(z), rtol=1e-9)


def test_clusters_without_rows_take_no_part_in_the_divergence():
    _, _, found, _ = soft_assignments()
    log_kernel = torch.tensor(found).log()[None]
    absent = torch.full((1, len(found), 2), -1e12, dtype=log_kernel.dtype)
    more = torch.cat([log_kernel, absent], dim=2)
    assert divergence(more).item() == pytest.approx(divergence(log_kernel).item())
    assert divergence(log_kernel[..., :1]).item() == 0.0


def batch_of(support, query):
    support_y = torch.tensor([[1, 1, 1, 1, -1]] * 2)
    query_y = torch.tensor([[1, 1, -1, -1]] * 2)
    return Batch(torch.tensor(support), support_y, torch.tensor(query), query_y)


@pytest.mark.parametrize("crossed", [False, True])
def test_the_loss_is_the_sum_of_its_terms(crossed):
    core = core_of(crossed=crossed, clustering_weight=0.7, reconstruction_weight=0.3)
    params, (support, query) = parameters(core, WIDTH), drawn(WIDTH)
    batch, p = batch_of(support, query), {k: v.numpy() for k, v in params.items()}
    state = core.adapt(params, *batch.given)
    if crossed:
        everyone = batch.query[:, :2].reshape(1, 4, WIDTH).expand(2, -1, -1)
        want = crossed_separation(core.score(params, state, everyone)).item()
    else:
        score = core.score(params, state, batch.query)
        want = separation(score, batch.query_y).item()
    divergences, errors = [], []
    for t in range(2):
        centers, _ = clusters(embed(p, support[t, :4]), 2)
        for row in query[t, :2]:
            seen = row * p["row_scale"]
            errors.append(np.mean((mlp(p, embed(p, row), 2, "decoder.") - seen) ** 2))
        found = [[kernel(p, z, c) for c in centers] for z in embed(p, query[t, :2])]
        q = np.array(found) / np.sum(found, axis=1, keepdims=True)
        divergences += list((target(q) * np.log(target(q) / q)).sum(axis=1))
    want += 0.7 * np.mean(divergences) + 0.3 * np.mean(errors)
    assert core.loss(params, batch).item() == pytest.approx(want, rel=1e-9)


@pytest.mark.parametrize("crossed", [False, True])
def test_gradients_equal_finite_differences(crossed, monkeypatch):
    core = core_of(crossed=crossed)
    params, batch = parameters(core, WIDTH), batch_of(*drawn(WIDTH))
    names = [k for k in params if k.startswith(("net.", "head.", "decoder."))]
    # The target is held fixed, as in the paper.
    held, target_of = [], clustering.sharpened

    def hold(q):
        held.append(target_of(q))
        return held[0]

    monkeypatch.setattr(clustering, "sharpened", hold)
    check_gradients(lambda p: core.loss(p, batch), params, names)


def fleet_of_modes(n_tasks=36, n_rows=90, n_modes=3, seed=0):
    """Normal rows in three places; outliers lie on the way from one to another."""
    rng, tasks, n_odd = np.random.default_rng(seed), [], n_rows // 6
    for t in range(n_tasks):
        modes = 3.0 * rng.normal(size=(n_modes, 6))
        own = rng.integers(n_modes, size=n_rows)
        X = modes[own] + 0.4 * rng.normal(size=(n_rows, 6))
        way = rng.uniform(0.3, 0.7, size=(n_odd, 1))
        other = (own[:n_odd] + rng.integers(1, n_modes, size=n_odd)) % n_modes
        X[:n_odd] += way * (modes[other] - modes[own[:n_odd]])
        tasks.append(Task(f"t{t}", X, np.r_[-np.ones(n_odd), np.ones(n_rows - n_odd)]))
    return TaskCollection(tasks)


@pytest.fixture(scope="module")
def modes():
    return fleet_of_modes()


@pytest.fixture(scope="module")
def fitted(modes):
    return DeepClusteringDetector(n_iter=100, random_state=0).fit(modes[:28])


def test_several_clusters_beat_one_where_normal_rows_come_in_several(modes, fitted):
    one = DeepClusteringDetector(n_clusters=1, n_iter=100, random_state=0)
    several, single = (
        np.mean(list(few_shot_scores(det, modes[28:], n_support=30).values()))
        for det in (fitted, one.fit(modes[:28]))
    )
    assert several > 0.9
    assert several > single + 0.15


def test_some_odd_rows_in_the_support_count_by_their_share(modes, fitted):
    found = []
    for task in modes[28:]:
        inlier, odd = (np.flatnonzero(task.y == sign) for sign in (1, -1))
        support = np.r_[inlier[:36], odd[:4]]
        rest = np.setdiff1d(np.arange(len(task.y)), support)
        scores = fitted.adapt(task.X[support]).score_samples(task.X[rest])
        found.append(roc_auc_score(task.y[rest], scores))
    assert np.mean(found) > 0.85


def test_the_order_of_the_support_does_not_matter(modes, fitted):
    X, order = modes[30].X, np.random.default_rng(0).permutation(40)
    one, other = (fitted.adapt(rows) for rows in (X[:40], X[:40][order]))
    np.testing.assert_allclose(
        one.score_samples(X), other.score_samples(X), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("n", [1, 2, 5, 40])
def test_rows_that_repeat_make_one_cluster(modes, fitted, n):
    row = modes[30].X[-1:]
    adapted = fitted.adapt(np.repeat(row, n, axis=0))
    assert (adapted.reference_["share"] > 0).sum() == 1
    scores = adapted.score_samples(np.r_[row, row + 1, row + 1e12])
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1] > scores[2]


def test_supports_far_off_have_finite_scores(modes, fitted):
    rows = np.random.default_rng(0).normal(size=(20, 6))
    for scale in (1e-30, 1e8, 1e30):
        adapted = fitted.adapt(rows[:10] * scale)
        assert np.isfinite(adapted.score_samples(rows * scale)).all()
        assert np.isfinite(adapted.decision_function(modes[30].X)).all()


def test_labelled_outliers_lower_the_scores_around_them(modes, fitted):
    task = modes[30]
    inlier, odd = (task.X[task.y == sign] for sign in (1, -1))
    without = fitted.adapt(inlier[:20]).score_samples(odd)
    y = np.r_[np.ones(20), -1]
    adapted = fitted.adapt(np.r_[inlier[:20], odd[:1]], y)
    change = adapted.score_samples(odd) - without
    assert change[0] < -1
    assert np.argmin(change) == 0


def test_the_decoder_is_for_meta_training_alone(modes):
    options = {"n_iter": 5, "n_calibration_networks": 0, "random_state": 0}
    plain = DeepClusteringDetector(reconstruction_weight=0, **options).fit(modes[:4])
    det = DeepClusteringDetector(hidden_sizes=(8,), **options).fit(modes[:4])
    assert set(det.meta_) <= set(plain.meta_)
    stopped = DeepClusteringDetector(early_stopping=True, **options).fit(modes[:6])
    assert set(stopped.meta_) == set(plain.meta_)


@pytest.mark.parametrize("encoder", ["conv4", lambda d: torch.nn.Linear(d, 3)])
def test_other_encoders_have_a_decoder_too(encoder):
    fleet = make_fleet(n_tasks=4, n_rows=30, n_features=16, random_state=0)
    det = DeepClusteringDetector(
        encoder=encoder, n_channels=4, n_iter=3, random_state=0
    ).fit(fleet)
    assert np.isfinite(det.adapt(fleet[0].X[:5]).score_samples(fleet[0].X)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_clusters", 0),
        ("n_clusters", 2.5),
        ("clustering_weight", -1),
        ("reconstruction_weight", "some"),
    ],
)
def test_bad_parameters_are_named(modes, name, value):
    det = DeepClusteringDetector(**{name: value})
    with pytest.raises(ValueError, match=f"'{name}' parameter"):
        det.fit(modes[:4])
