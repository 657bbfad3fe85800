"""Encoders for tables and pictures, and the augmentation of episodes."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from skmetaad import (
    DeepClusteringDetector,
    GraphNetworkDetector,
    MAMLClassifierDetector,
    MatchingNetworkDetector,
    MetaGANDetector,
    MetaPrototypeDetector,
    MetaSVDDDetector,
    RelationNetworkDetector,
    SiameseDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.core.augment import add_noise, distort, rotate
from skmetaad.core.encoders import Conv4, Dense, Module
from skmetaad.core.losses import crossed_separation
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet


def small_network(n_features):
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 3)
    )


def with_buffers(n_features):
    return torch.nn.Sequential(torch.nn.Linear(n_features, 4), torch.nn.BatchNorm1d(4))


@pytest.fixture(scope="module")
def digits():
    X, classes = load_digits(return_X_y=True)
    kept = np.concatenate([np.flatnonzero(classes == c)[:40] for c in range(10)])
    return TaskCollection.from_classes(X[kept], classes[kept])


@pytest.fixture(scope="module")
def glyphs():
    """Classes of 8 x 8 pictures: a pattern of 2 x 2 squares each, and noise."""
    rng = np.random.default_rng(0)
    patterns = np.kron(rng.random((60, 4, 4)) < 0.4, np.ones((2, 2)))
    X = np.repeat(patterns.reshape(60, 64), 12, axis=0)
    X = X + rng.normal(0, 0.4, X.shape)
    return TaskCollection.from_classes(X, np.repeat(range(60), 12))


@pytest.mark.parametrize(
    "encoder",
    [
        Dense((36, 10, 5)),
        Conv4((1, 6, 6), n_channels=8),
        Conv4((4, 3, 3), n_channels=6),
        Module(small_network, 36),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_rows_are_embedded_one_by_one_by_several_networks(encoder):
    g = torch.Generator().manual_seed(0)
    nets = [encoder.init(g) for _ in range(2)]
    params = {k: torch.stack([n[k] for n in nets]).double() for k in nets[0]}
    x = torch.randn(3, 7, 36, generator=g, dtype=torch.float64)
    found = encoder.apply(params, x)
    assert found.shape == (2, 3, 7, encoder.width)
    for i in range(2):
        one = {k: v[i : i + 1] for k, v in params.items()}
        alone = encoder.apply(one, x[1:2, 4:5])[0, 0, 0]
        close = 1e-5 if isinstance(encoder, Conv4) else 1e-11
        np.testing.assert_allclose(found[i, 1, 4], alone, rtol=close, atol=close)


def test_conv4_of_omniglot_has_four_blocks():
    encoder = Conv4((1, 28, 28), n_channels=64)
    assert encoder.width == 64 * 2 * 2
    params = encoder.init(torch.Generator().manual_seed(0))
    assert [params[f"weight{i}"].shape[1] for i in range(4)] == [1, 64, 64, 64]


@pytest.mark.parametrize(
    "cls",
    [
        DeepClusteringDetector,
        MatchingNetworkDetector,
        MetaGANDetector,
        MetaPrototypeDetector,
        MetaSVDDDetector,
        RelationNetworkDetector,
        SiameseDetector,
    ],
)
def test_pictures_of_unseen_classes_are_told_apart(cls, glyphs):
    det = cls(
        encoder="conv4",
        n_channels=16,
        standardize=False,
        augment="rotate",
        n_support=5,
        n_query=12,
        n_iter=150,
        meta_batch_size=8,
        random_state=0,
    ).fit(glyphs[:50])
    scores = few_shot_scores(det, glyphs[50:], n_support=5)
    assert np.mean(list(scores.values())) > 0.8


def test_a_module_of_ones_own_and_the_global_generator_stays(digits):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    det = MatchingNetworkDetector(encoder=small_network, n_iter=5, random_state=0)
    det.fit(digits[:4]).adapt(digits[5].X[:5]).predict(digits[5].X)
    assert torch.equal(before, torch.get_rng_state())
    assert det.meta_["net.0.weight"].shape == (8, 64)


@pytest.mark.parametrize(
    ("encoder", "error", "message"),
    [
        (with_buffers, ValueError, "buffers"),
        (lambda n: None, TypeError, "torch.nn.Module"),
        ("resnet", ValueError, "encoder"),
    ],
)
def test_encoders_that_do_not_fit_are_named(encoder, error, message, digits):
    with pytest.raises(error, match=message):
        SiameseDetector(encoder=encoder, n_iter=2).fit(digits[:3])


@pytest.mark.parametrize("shape", [(8, 9), (64,), (1, 1, 64), (-8, -8), None])
def test_shapes_that_do_not_fit_are_named(shape):
    fleet = make_fleet(n_tasks=3, n_features=63 if shape is None else 64)
    with pytest.raises(ValueError, match="image_shape"):
        SiameseDetector(encoder="conv4", image_shape=shape, n_iter=2).fit(fleet)


@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8)])
@pytest.mark.parametrize("image_shape", [None, (8, 8), (1, 8, 8)])
def test_pictures_may_come_as_pictures(shape, image_shape, digits):
    X, _, task = digits[:4].arrays()
    pictures, new = X.reshape(-1, *shape), digits[5].X[:20]
    made = [
        SiameseDetector(
            encoder="conv4",
            n_channels=4,
            image_shape=image_shape,
            n_iter=3,
            random_state=0,
        ).fit(rows, task=task)
        for rows in (X, pictures)
    ]
    expected = made[0].adapt(new[:5]).decision_function(new)
    adapted = made[1].adapt(new[:5].reshape(-1, *shape))
    found = adapted.decision_function(new.reshape(-1, *shape))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("shape", [(4, 16, 16), (18, 8), (1, 7, 9), (3, 9, 5)])
def test_pictures_keep_the_shape_that_they_come_in(shape):
    """Also where their number of values is a square."""
    X, task = np.random.default_rng(0).random((30, *shape)), np.repeat(range(3), 10)
    options = {"encoder": "conv4", "n_channels": 4, "n_iter": 2, "random_state": 0}
    options["n_calibration_networks"] = 0
    told = SiameseDetector(image_shape=shape, **options)
    told.fit(X.reshape(30, -1), task=task)
    seen = SiameseDetector(**options).fit(X, task=task)
    np.testing.assert_array_equal(
        seen.adapt(X[:5]).score_samples(X),
        told.adapt(X[:5].reshape(5, -1)).score_samples(X.reshape(30, -1)),
    )


@pytest.mark.parametrize("shape", [(16, 4, 4), (9, 5, 3)])
def test_channels_that_come_last_are_refused(shape):
    X, task = np.random.default_rng(0).random((30, *shape)), np.repeat(range(3), 10)
    with pytest.raises(ValueError, match="channels first"):
        SiameseDetector(encoder="conv4", n_iter=2).fit(X, task=task)


def test_departures_of_one_task_of_pictures_are_pictures(digits):
    det = SiameseDetector(encoder="conv4", n_channels=8, n_iter=2, random_state=0)
    det.fit(digits[:4])
    rows = digits[5].X[digits[5].y == 1]
    found = few_shot_scores(det, rows.reshape(-1, 8, 8))
    assert found == few_shot_scores(det, rows)


def test_pictures_of_another_shape_are_named(digits):
    X, _, task = digits[:4].arrays()
    det = SiameseDetector(encoder="conv4", image_shape=(8, 8), n_iter=2)
    with pytest.raises(ValueError, match=r"shape \(4, 16\)"):
        det.fit(X.reshape(-1, 4, 16), task=task)


def test_only_square_pictures_are_rotated(digits):
    det = SiameseDetector(augment="rotate", image_shape=(4, 16), n_iter=2)
    with pytest.raises(ValueError, match="square"):
        det.fit(digits[:3])


# ------------------------------------------------- all tasks of a meta-batch at once


@pytest.mark.parametrize(
    ("cls", "options"),
    [
        (DeepClusteringDetector, {}),
        (GraphNetworkDetector, {}),
        (MAMLClassifierDetector, {"algorithm": "anil"}),
        (MatchingNetworkDetector, {}),
        (MetaGANDetector, {}),
        (MetaPrototypeDetector, {}),
        (MetaSVDDDetector, {}),
        (RelationNetworkDetector, {}),
        (SiameseDetector, {}),
    ],
)
def test_negatives_of_the_whole_meta_batch(cls, options, glyphs):
    det = cls(
        hidden_sizes=(32, 16),
        standardize=False,
        negatives="batch",
        n_support=5,
        n_iter=120,
        random_state=0,
        **options,
    ).fit(glyphs[:50])
    scores = few_shot_scores(det, glyphs[50:], n_support=5)
    assert np.mean(list(scores.values())) > 0.8


def test_crossed_separation_equals_a_loop():
    n_tasks, n_rows = 3, 2
    g = torch.Generator().manual_seed(0)
    score = torch.randn(n_tasks, n_tasks * n_rows, generator=g, dtype=torch.float64)
    s = score.numpy()
    multi_class, own, other = [], [], []
    for row in range(n_tasks * n_rows):
        mine = row // n_rows
        multi_class.append(np.log(np.exp(s[:, row]).sum()) - s[mine, row])
        for task in range(n_tasks):
            sign = -1 if task == mine else 1
            loss = np.log1p(np.exp(sign * s[task, row]))
            (own if task == mine else other).append(loss)
    expected = 0.5 * np.mean(multi_class) + 0.25 * (np.mean(own) + np.mean(other))
    assert float(crossed_separation(score)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("cls", "options"),
    [(MatchingNetworkDetector, {}), (MAMLClassifierDetector, {"algorithm": "anil"})],
)
def test_a_meta_batch_scores_each_row_for_each_task(cls, options):
    core = cls(standardize=False, negatives="batch", hidden_sizes=(5,), **options)
    core = core._core(4)
    g = torch.Generator().manual_seed(0)
    params = {k: v.requires_grad_() for k, v in core.init(g).items()} | {
        "row_scale": torch.ones(4),
        "within": torch.ones(4),
        "between": torch.ones(4),
    }
    x = torch.randn(3, 7, 4, generator=g)
    y = torch.ones(3, 2, dtype=torch.int8)
    query_y = torch.tensor([[1, 1, 1, -1, -1]] * 3)
    batch = Batch(x[:, :2], y, x[:, 2:], query_y)
    state = core.adapt(params, batch.support, y, y != 0)
    rows = batch.query[:, :3].reshape(1, 9, 4).expand(3, -1, -1)
    expected = crossed_separation(core.score(params, state, rows))
    torch.testing.assert_close(core.loss(params, batch), expected)


@pytest.mark.parametrize(
    ("params", "n_tasks", "message"),
    [
        ({}, 4, "standardize=False"),
        ({"standardize": False}, 1, "at least 2"),
        ({"standardize": False, "meta_batch_size": 1}, 4, "at least 2"),
    ],
)
def test_negatives_of_a_batch_need_rows_that_tasks_share(params, n_tasks, message):
    det = SiameseDetector(negatives="batch", n_iter=2, **params)
    with pytest.raises(ValueError, match=message):
        det.fit(make_fleet(n_tasks=n_tasks, n_features=4))


@pytest.mark.parametrize("channels", [(8, 0), (8, 8, 8, 8), (8, "wide"), ()])
def test_channels_that_do_not_fit_the_pictures(digits, channels):
    det = MetaPrototypeDetector(encoder="conv4", n_channels=channels, n_iter=2)
    with pytest.raises(ValueError, match="n_channels=.*1 to 3 positive ints"):
        det.fit(digits)


def test_each_block_has_channels_of_its_own(digits):
    det = MetaPrototypeDetector(
        encoder="conv4", n_channels=(4, 6), n_networks=2, n_iter=2, random_state=0
    ).fit(digits)
    assert det.meta_["net.weight1"].shape == (2, 6, 4, 3, 3)
    assert det.embed(digits[0].X[:3], task=[digits.ids[0]] * 3).shape == (3, 48)


@pytest.mark.parametrize("n_channels", [1, 4, 6, 8])
def test_few_channels_of_a_single_pixel_still_tell_pictures_apart(n_channels):
    rng = np.random.default_rng(0)
    tasks = np.repeat(np.arange(6), 12)
    X = rng.random((72, 8, 8)) * (1 + tasks[:, None, None])
    det = MetaPrototypeDetector(
        encoder="conv4",
        n_channels=n_channels,
        standardize=False,
        n_iter=3,
        n_networks=1,
        random_state=0,
    ).fit(X, task=tasks)
    assert det.embed(X, task=tasks).std(axis=0).max() > 0.01
    assert det.adapt(X[:1]).predict(X[:1]).shape == (1,)
    core = Conv4((1, 8, 8), n_channels)
    params = core.init(torch.Generator().manual_seed(0))
    stacked = {k: v.expand(3, *v.shape) for k, v in params.items()}
    rows = torch.rand(3, 5, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        core.per_task(stacked, rows), core.per_task(params, rows), rtol=1e-3, atol=1e-5
    )


@pytest.mark.parametrize(
    ("params", "message"),
    [({}, "algorithm='anil'"), ({"max_tasks_at_once": 4}, "max_tasks_at_once=None")],
)
def test_negatives_of_a_batch_need_an_embedding_that_tasks_share(params, message):
    params = {"algorithm": "anil" if params else "maml", **params}
    det = MAMLClassifierDetector(negatives="batch", standardize=False, **params)
    with pytest.raises(ValueError, match=message):
        det.fit(make_fleet(n_tasks=4, n_features=4))


# ---------------------------------------------------------------------- augmentation


def batch_of(n_episodes=30, width=9):
    g = torch.Generator().manual_seed(0)
    rows = torch.randn(n_episodes, 5, width, generator=g)
    y = torch.ones(n_episodes, 5).int()
    return Batch(rows, y, rows.flip(1), y)


def test_an_episode_is_rotated_as_a_whole():
    batch = batch_of()
    turned = rotate(batch, (1, 3, 3), torch.Generator().manual_seed(1))
    seen = set()
    for before, after, query in zip(
        batch.support, turned.support, turned.query, strict=True
    ):
        pictures = before.reshape(5, 3, 3)
        matches = [
            k
            for k in range(4)
            if torch.equal(pictures.rot90(k, dims=(1, 2)).flatten(1), after)
        ]
        assert len(matches) == 1
        torch.testing.assert_close(query.flip(0), after)
        seen.add(matches[0])
    assert seen == {0, 1, 2, 3}


def test_an_episode_is_mirrored_too_where_pictures_are_distorted(monkeypatch):
    monkeypatch.setattr("skmetaad.detectors._encoded.distort", lambda batch, *_: batch)
    batch, one = batch_of(100), torch.ones(9)
    g = torch.Generator().manual_seed(1)
    found = SiameseDetector(augment="distort")._augmented(batch, g, one, 0 * one, one)
    seen = set()
    for before, after in zip(batch.support, found.support, strict=True):
        pictures, turned = (rows.reshape(5, 3, 3) for rows in (before, after))
        seen |= {
            (k, mirrored)
            for k in range(4)
            for mirrored, picture in enumerate((pictures, pictures.flip(2)))
            if torch.equal(picture.rot90(k, dims=(1, 2)), turned)
        }
    assert len(seen) == 8


def test_each_picture_is_distorted_a_bit_and_by_itself():
    ink = torch.zeros(30, 5, 1, 20, 20)
    ink[..., 7:13, 7:13] = 1.0
    y = torch.ones(30, 5).int()
    batch = Batch(ink.flatten(2), y, ink.flatten(2), y)
    found = distort(batch, (1, 20, 20), torch.Generator().manual_seed(0))
    pictures = found.support.reshape(150, 400)
    assert len(torch.unique(pictures, dim=0)) == 150
    assert not torch.equal(found.support, found.query)
    # Still a square about as large, and still near the middle.
    assert ((pictures.sum(1) > 20) & (pictures.sum(1) < 55)).all()
    place = torch.arange(20.0).expand(20, 20).flatten()
    middle = (pictures * place).sum(1) / pictures.sum(1)
    assert (middle - 9.5).abs().max() < 3


def test_pictures_are_turned_as_they_came_and_not_as_scaled():
    det = SiameseDetector(augment="rotate")
    batch = batch_of()
    scale, center = torch.arange(1.0, 10.0), torch.arange(9.0)
    g = torch.Generator().manual_seed(1)
    found = det._augmented(batch, g, torch.ones(9), center, scale)
    raw = batch._replace(support=batch.support * scale + center)
    expected = rotate(raw, (1, 3, 3), torch.Generator().manual_seed(1))
    torch.testing.assert_close(found.support * scale + center, expected.support)


def test_noise_drops_the_same_features_from_support_and_query():
    batch = batch_of(width=40)
    spread = torch.full((40,), 2.0)
    noisy = add_noise(batch, torch.Generator().manual_seed(1), spread)
    gone = (noisy.support == 0).all(dim=1)
    torch.testing.assert_close(gone, (noisy.query == 0).all(dim=1))
    assert 0.05 < gone.float().mean() < 0.2
    change = (noisy.support - batch.support)[~gone.unsqueeze(1).expand(-1, 5, -1)]
    assert 0.16 < change.std() < 0.24


@pytest.mark.parametrize("apart", [1.0, 100.0])
def test_noise_is_that_of_tasks_however_far_apart_these_are(apart):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(24, 60, 1)) + 0.3 * rng.normal(size=(24, 60, 6))
    X[:, 50:] = rng.normal(size=(24, 10, 6))  # columns no longer go together
    X += apart * rng.normal(size=(24, 1, 6))
    tasks = TaskCollection(
        [Task(str(i), x, np.where(np.arange(60) < 50, 1, -1)) for i, x in enumerate(X)]
    )
    det = MetaSVDDDetector(
        augment="noise", n_iter=60, n_calibration_networks=0, random_state=0
    )
    scores = few_shot_scores(det.fit(tasks[:18]), tasks[18:], n_support=10)
    assert np.mean(list(scores.values())) > 0.94


def test_augmentation_is_seeded_and_off_at_scoring():
    fleet = make_fleet(n_tasks=5, n_features=4, random_state=0)

    def made(augment):
        det = SiameseDetector(augment=augment, n_iter=5, random_state=0)
        return det.fit(fleet[:4])

    scores = [made("noise").score_samples(fleet[4].X) for _ in range(2)]
    np.testing.assert_array_equal(*scores)
    assert not np.allclose(scores[0], made(None).score_samples(fleet[4].X))
    det = made("noise")
    np.testing.assert_array_equal(
        det.score_samples(fleet[4].X), det.score_samples(fleet[4].X)
    )


def test_averaged_shifts_are_the_mean_of_five_embeddings():
    plain = Conv4((2, 6, 5), n_channels=8)
    params = plain.init(torch.Generator().manual_seed(0))
    nets = {name: torch.stack([value, 2 * value]) for name, value in params.items()}
    x = torch.randn(3, 4, 60, generator=torch.Generator().manual_seed(1))
    found = Conv4((2, 6, 5), n_channels=8, average_shifts=True).apply(nets, x)
    pictures = x.reshape(3, 4, 2, 6, 5).numpy()
    pictures = np.pad(pictures, ((0, 0),) * 3 + ((1, 1), (1, 1)), mode="edge")
    moved = [
        pictures[..., 1 + i : 7 + i, 1 + j : 6 + j].reshape(3, 4, 60)
        for i, j in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    ]
    want = sum(plain.apply(nets, torch.from_numpy(y)) for y in moved) / 5
    torch.testing.assert_close(found, want)
    averaged = Conv4((2, 6, 5), n_channels=8, average_shifts=True)
    own = {name: torch.stack([value] * 3) for name, value in params.items()}
    torch.testing.assert_close(averaged.per_task(own, x), want[0])


@pytest.mark.parametrize("cls", [MetaPrototypeDetector, MAMLClassifierDetector])
def test_shifts_are_averaged_after_meta_training_only(cls, glyphs):
    options = {"encoder": "conv4", "n_channels": 8, "n_iter": 5, "random_state": 0}
    options["n_calibration_networks"] = 0
    plain = cls(**options).fit(glyphs[:40])
    averaged = cls(**options, average_shifts=True).fit(glyphs[:40])
    np.testing.assert_array_equal(averaged.history_["loss"], plain.history_["loss"])
    new = glyphs[50].X
    scores = [det.adapt(new[:5]).score_samples(new[5:]) for det in (plain, averaged)]
    assert not np.allclose(*scores)


@pytest.mark.parametrize("name", ["average_shifts", "mixed_precision"])
def test_what_is_for_pictures_only_says_so(glyphs, name):
    det = MetaPrototypeDetector(n_iter=1, **{name: True})
    with pytest.raises(ValueError, match=f"{name}=True with encoder='dense'"):
        det.fit(glyphs[:10])


def test_mixed_precision_keeps_embeddings_and_gradients_to_two_digits():
    plain = Conv4((1, 20, 20), n_channels=16, activation="tanh")
    params = plain.init(torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    x, weight = torch.randn(3, 20, 400, generator=g), torch.randn(64, generator=g)
    found = []
    for encoder in (plain, replace(plain, mixed_precision=True)):
        own = {k: v.clone().requires_grad_() for k, v in params.items()}
        z = encoder.per_task(own, x)
        up = torch.autograd.grad((z * weight).sum(), own.values())
        found.append([z.detach(), *up])
        assert all(part.dtype == torch.float32 for part in found[-1])
    for exact, mixed in zip(*found, strict=True):
        assert 0 < (mixed - exact).norm() < 0.03 * exact.norm()


@pytest.mark.parametrize("cls", [MetaPrototypeDetector, MAMLClassifierDetector])
def test_precision_is_mixed_in_meta_training_only(cls, glyphs):
    options = {"encoder": "conv4", "n_channels": 8, "n_iter": 5, "random_state": 0}
    if cls is MAMLClassifierDetector:  # whose convolutions then share their weights
        options["algorithm"] = "anil"
    plain = cls(**options).fit(glyphs[:40])
    mixed = cls(**options, mixed_precision=True).fit(glyphs[:40])
    assert not np.array_equal(mixed.history_["loss"], plain.history_["loss"])
    # Later on, what rounding changed is learned from.
    np.testing.assert_allclose(
        mixed.history_["loss"][:3], plain.history_["loss"][:3], rtol=0.05
    )
    # What was learned is scored with in single precision.
    new = glyphs[50].X
    scores = [
        det.adapt(new[:5]).score_samples(new[5:])
        for det in (mixed, copy.deepcopy(mixed).set_params(mixed_precision=False))
    ]
    np.testing.assert_array_equal(*scores)


def test_dropout_is_off(digits):
    def dropping(n):
        return torch.nn.Sequential(torch.nn.Linear(n, 8), torch.nn.Dropout(0.5))

    det = MatchingNetworkDetector(encoder=dropping, n_iter=3, random_state=0)
    before = torch.get_rng_state()
    scores = det.fit(digits[:4]).score_samples(digits[5].X)
    np.testing.assert_array_equal(scores, det.score_samples(digits[5].X))
    assert torch.equal(before, torch.get_rng_state())


def test_pictures_have_the_shape_of_those_in_fit(digits):
    X, _, task = digits[:4].arrays()
    det = SiameseDetector(encoder="conv4", n_channels=4, n_iter=2)
    det.fit(X.reshape(-1, 8, 8), task=task)
    det.adapt(X[:5].reshape(-1, 1, 8, 8)).predict(X)
    for call in (det.adapt, det.predict):
        with pytest.raises(ValueError, match=r"\(4, 16\): expected the shape seen in"):
            call(X.reshape(-1, 4, 16))
