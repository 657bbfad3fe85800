"""The metric-based methods' scores and losses against plain loops in float64."""

import numpy as np
import pytest
import torch
from _plain import check_gradients, drawn, mlp, parameters, plain

from skmetaad import MetaSVDDDetector
from skmetaad.core.encoders import Dense
from skmetaad.core.graph import Graph
from skmetaad.core.matching import Matching
from skmetaad.core.relation import Relation
from skmetaad.core.siamese import Siamese
from skmetaad.core.svdd import SVDD
from skmetaad.core.train import Batch, meta_train
from skmetaad.datasets import make_fleet

WIDTH, E = 4, 3
LABELS = {"inliers only": [1, 1, 1, 1, 1], "with outliers": [1, 0, 1, -1, -1]}


def embed(p, row):
    return mlp(p, row * p["row_scale"], 2, "net.")


def parts(p, support, labels):
    """Return the embeddings of a task's inliers and of its labelled outliers."""
    inliers = [embed(p, r) for r, y in zip(support, labels, strict=True) if y != -1]
    odd = [embed(p, r) for r, y in zip(support, labels, strict=True) if y == -1]
    return inliers, odd


def check(core, by_hand, labels):
    params = parameters(core, WIDTH)
    support, query = drawn(WIDTH)
    y, mask = torch.tensor([labels] * 2), torch.ones(2, 5, dtype=torch.bool)
    state = core.adapt(params, torch.tensor(support), y, mask)
    scores = core.score(params, state, torch.tensor(query))
    p = plain(params)
    want = [
        [by_hand(p, *parts(p, support[t], labels), embed(p, row)) for row in query[t]]
        for t in range(2)
    ]
    np.testing.assert_allclose(scores, want, rtol=1e-6, atol=1e-6)
    # Absent rows change nothing, not even of rows farther off than any.
    far = 1e8 * torch.tensor(query)
    at_far = core.score(params, state, far)
    rows = torch.cat([torch.tensor(support), torch.zeros(2, 3, WIDTH)], dim=1)
    y = torch.cat([y, torch.zeros(2, 3, dtype=y.dtype)], dim=1)
    mask = torch.cat([mask, torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    state = core.adapt(params, rows, y, mask)
    again = core.score(params, state, torch.tensor(query))
    np.testing.assert_allclose(again, scores, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(core.score(params, state, far), at_far, rtol=1e-6)


def encoder():
    return Dense((WIDTH, 6, E))


def distance(a, b):
    return np.sqrt(((a - b) ** 2).sum())


def softmax(x):
    x = np.exp(np.array(x) - np.max(x))
    return x / x.sum()


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("full_context", [False, True])
def test_matching_network(labels, full_context):
    def read(row, rows):
        weight = softmax([row @ r / np.sqrt(E) for r in rows])
        return sum(w * r for w, r in zip(weight, rows, strict=True))

    def by_hand(p, inliers, odd, row):
        if full_context:
            rows = inliers + odd
            inliers, odd = (
                [r + read(r, rows) @ p["head.support"] for r in some]
                for some in (inliers, odd)
            )
            row = row + read(row, inliers + odd) @ p["head.query"]
        tau, constant = np.exp(p["head.temperature"]), np.exp(p["head.constant"])
        inliers, odd = ([np.r_[r, constant] for r in some] for some in (inliers, odd))
        row = np.r_[row, constant]
        cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
        attended = sum(np.exp(tau * cosine(row, r)) for r in inliers)
        null = np.exp(p["head.null"][0] + p["head.null"][1] * np.log(len(inliers)))
        against = null + sum(np.exp(tau * cosine(row, r)) for r in odd)
        return np.log(attended) - np.log(against)

    core = Matching(encoder(), standardize=False, full_context=full_context)
    check(core, by_hand, labels)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("aggregation", ["min", "mean", "kernel"])
def test_siamese_network(labels, aggregation):
    def by_hand(p, inliers, odd, row):
        d = sorted(distance(row, r) for r in inliers)
        found = {
            "min": d[0],
            "mean": np.mean(d[:2]),
            "kernel": -np.log(np.mean([np.exp(-0.5 * (2 * x / 0.8) ** 2) for x in d])),
        }[aggregation]
        nearest_odd = min([distance(row, r) for r in odd], default=np.inf)
        return -found - max(0.0, d[0] - nearest_odd)

    core = Siamese(
        encoder(),
        standardize=False,
        aggregation=aggregation,
        margin=0.8,
        n_neighbors=2,
    )
    check(core, by_hand, labels)


@pytest.mark.parametrize("objective", ["contrastive", "triplet"])
def test_siamese_losses(objective):
    core = Siamese(encoder(), standardize=False, objective=objective, margin=0.8)
    params, (support, query) = parameters(core, WIDTH), drawn(WIDTH)
    y = torch.tensor([[1, 1, -1, -1]] * 2)
    batch = Batch(torch.tensor(support), torch.ones(2, 5).int(), torch.tensor(query), y)
    p, alike, apart, triplets = plain(params), [], [], []
    for t in range(2):
        for anchor in support[t]:
            d = [distance(embed(p, anchor), embed(p, row)) for row in query[t]]
            alike += d[:2]
            apart += d[2:]
            triplets += [max(0, a - b + 0.8) for a in d[:2] for b in d[2:]]
    short = [max(0, 0.8 - d) ** 2 for d in apart]
    want = {
        "contrastive": 0.5 * (np.mean(np.square(alike)) + np.mean(short)),
        "triplet": np.mean(triplets),
    }[objective]
    assert core.loss(params, batch).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_relation_network(labels):
    def by_hand(p, inliers, odd, row):
        def relation(rows):
            mean = np.mean(rows, axis=0)
            pair = np.concatenate([row, mean, np.abs(row - mean)])
            return mlp(p, pair, 2, "head.")[0]

        score = relation(inliers)
        return score - (np.log1p(np.exp(relation(odd))) if odd else 0.0)

    core = Relation(encoder(), standardize=False, relation_sizes=(5,))
    check(core, by_hand, labels)


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
@pytest.mark.parametrize("covariance", ["spherical", "diagonal", "full"])
def test_svdd(labels, covariance):
    def by_hand(p, inliers, odd, row):
        center, n = np.mean(inliers, axis=0), len(inliers)
        sigma = np.eye(E)
        if covariance != "spherical":
            strength = np.exp(p["head.strength"])
            sigma = strength * np.diag(np.exp(p["head.variance"]))
            for r in inliers:
                sigma = sigma + np.outer(r - center, r - center)
            sigma = sigma / (strength + n)
        if covariance == "diagonal":
            sigma = np.diag(np.diag(sigma))
        between = lambda a, b: (a - b) @ np.linalg.inv(sigma) @ (a - b)  # noqa: E731
        inside = between(row, center)
        nearest_odd = min([between(row, r) for r in odd], default=np.inf)
        radius = p["head.radius"][0] + p["head.radius"][1] * np.log(n)
        less = max(0.0, inside - nearest_odd)
        return np.exp(p["head.slope"]) * (radius - inside - less)

    check(SVDD(encoder(), standardize=False, covariance=covariance), by_hand, labels)


@pytest.mark.parametrize("far", [1e4, 1e10])
def test_svdd_takes_a_support_row_out_of_all_bounds(far):
    fleet = make_fleet(n_tasks=5, random_state=0)
    det = MetaSVDDDetector(
        covariance="full", standardize=False, n_iter=3, n_calibration_networks=0
    )
    det.fit(fleet[:4])
    X = fleet[4].X[:10].copy()
    X[0] *= far
    task = np.repeat(["good", "bad"], 10)
    both = det.adapt(np.concatenate([fleet[3].X[:10], X]), task=task)
    assert np.isfinite(both.score_samples(X, task=task[10:])).all()
    np.testing.assert_allclose(
        both.score_samples(X, task=task[:10]),
        det.adapt(fleet[3].X[:10]).score_samples(X),
        rtol=1e-6,
    )


@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_graph_network(labels):
    def by_hand(p, inliers, odd, row):
        nodes = [np.r_[r, 1, 0] for r in inliers] + [np.r_[r, 0, 1] for r in odd]
        query = np.r_[row, 0, 0]

        def updated(i, node):
            edge = [mlp(p, np.abs(node - o), 2, f"head.edge{i}.")[0] for o in nodes]
            got = sum(a * o for a, o in zip(softmax(edge), nodes, strict=True))
            both = np.r_[node, got, np.abs(node - got)]
            message = mlp(p, both, 1, f"head.node{i}.")
            return np.r_[node, np.maximum(message, 0)]

        for i in range(2):
            query, nodes = updated(i, query), [updated(i, node) for node in nodes]
        return mlp(p, query, 1, "head.out.")[0]

    core = Graph(encoder(), standardize=False, message_sizes=(4, 2), edge_size=3)
    check(core, by_hand, labels)


@pytest.mark.parametrize(
    "core",
    [
        Matching(encoder(), full_context=True),
        Siamese(encoder()),
        Siamese(encoder(), objective="triplet"),
        Relation(encoder()),
        SVDD(encoder(), covariance="full"),
        Graph(encoder()),
    ],
    ids=lambda core: type(core).__name__,
)
def test_gradients_equal_finite_differences(core):
    params, (support, query) = parameters(core, WIDTH), drawn(WIDTH)
    batch = Batch(
        torch.tensor(support),
        torch.tensor([[1, 1, 1, 1, -1]] * 2),
        torch.tensor(query),
        torch.tensor([[1, 1, -1, -1]] * 2),
    )
    names = [k for k in params if k.startswith(("net.", "head."))]
    check_gradients(lambda p: core.loss(p, batch), params, names)


def test_only_the_weights_of_layers_decay():
    names = [
        "net.weight0",
        "net.bias0",
        "net.last.weight",
        "rate.net.weight0",
        "head.x",
    ]
    start = {name: torch.ones(2, 2) for name in names} | {"net.weight": torch.ones(3)}

    def losses_of(params, batches, share):
        yield 0.0 * sum(value.sum() for value in params.values())

    options = {"n_iter": 1, "learning_rate": 0.1, "weight_decay": 0.5}
    found = meta_train(start, losses_of, list, **options).params
    moved = {name for name, value in found.items() if (value != 1.0).all()}
    assert moved == {"net.weight0", "net.last.weight"}
    torch.testing.assert_close(found["net.weight0"], torch.full((2, 2), 0.95))
