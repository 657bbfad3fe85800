"""Where the outliers of meta-training come from."""

import numpy as np
import pytest
import torch

from skmetaad import (
    FewShotScorer,
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    RelationNetworkDetector,
    SiameseDetector,
    Task,
    TaskCollection,
)
from skmetaad.core.outliers import with_made
from skmetaad.core.siamese import Siamese
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet
from skmetaad.detectors import _episode_drawer


def batch(n_inliers, n_outliers):
    g = torch.Generator().manual_seed(0)
    support, query = (torch.randn(3, n, 4, generator=g) for n in (5, n_inliers))
    outliers = torch.randn(3, n_outliers, 4, generator=g) + 9
    y = torch.tensor([1] * n_inliers + [-1] * n_outliers, dtype=torch.int8)
    labels = torch.ones(3, 5, dtype=torch.int8)
    return Batch(support, labels, torch.cat([query, outliers], 1), y.expand(3, -1))


def drawn(given, how):
    return with_made(given, torch.Generator().manual_seed(1), how)


@pytest.mark.parametrize("how", ["synthetic", "transferred"])
@pytest.mark.parametrize(("n_outliers", "n_made"), [(1, 0), (6, 3), (7, 3), (8, 4)])
def test_half_of_the_outliers_give_way_to_those_made(n_outliers, n_made, how):
    given = batch(4, n_outliers)
    found = drawn(given, how)
    kept = 4 + n_outliers - n_made
    assert found.query.shape == given.query.shape
    assert torch.equal(found.query_y, given.query_y)
    assert torch.equal(found.query[:, :kept], given.query[:, :kept])
    made = found.query[:, kept:]
    assert made.shape[1] == n_made
    assert not (made.unsqueeze(2) == given.query.unsqueeze(1)).all(dim=3).any()


@pytest.mark.parametrize(("n_outliers", "n_made"), [(6, 3), (7, 3), (14, 4)])
def test_synthetic_outliers_depart_from_inliers_one_from_each(n_outliers, n_made):
    given = batch(4, n_outliers)
    found, kept = drawn(given, "synthetic").query, 4 + n_outliers - n_made
    assert torch.equal(found[:, :kept], given.query[:, :kept])
    assert found.shape == given.query.shape
    assert found[:, kept:].abs().median() < 5  # outliers are 9 away


def test_transferred_outliers_are_an_inlier_and_what_sets_another_task_s_apart():
    # Each task has its own place, and one kind of outlier of its own.
    place = torch.tensor([0.0, 100.0, 1000.0])[:, None, None] * torch.ones(3, 1, 3)
    away = torch.eye(3)[:, None] * 8
    inliers = place + torch.tensor([-1e-3, 1e-3])[:, None]
    query = torch.cat([inliers, (place + away).expand(-1, 40, -1)], 1)
    y = torch.tensor([1] * 2 + [-1] * 40, dtype=torch.int8).expand(3, -1)
    support, labels = inliers, torch.ones(3, 2, dtype=torch.int8)
    found = drawn(Batch(support, labels, query, y), "transferred")
    for task in range(3):
        moved = found.query[task, -20:] - place[task]
        kinds = set(moved.argmax(1).tolist())
        assert kinds == {0, 1, 2} - {task}
        size = moved.amax(1) / 8
        assert size.min() > 0.49
        assert size.max() < 1.51
        assert size.std() > 0.1
        rest = moved.sort(1).values[:, :2]
        assert rest.abs().max() < 2e-3


def test_one_episode_has_its_own_outliers_transferred():
    one = Batch(*(part[:1] for part in batch(4, 8)[:4]))
    made = drawn(one, "transferred").query[0, -4:]
    inliers, outliers = one.query[0, :4], one.query[0, 4:]
    away = outliers - inliers.mean(0)
    rest = made[:, None] - inliers  # of every made one, from every inlier
    parallel = torch.nn.functional.cosine_similarity(
        rest[:, :, None], away[None, None], dim=3
    )
    assert (parallel.amax((1, 2)) > 1 - 1e-5).all()


@pytest.mark.parametrize("how", [None, "synthetic", "transferred"])
def test_a_query_of_inliers_gets_as_many_departures_whatever_is_asked(how):
    given = batch(6, 0)
    found = drawn(given, how)
    assert found.query_y.tolist() == [[1] * 6 + [-1] * 6] * 3
    assert torch.equal(found.query[:, :6], given.query)
    assert torch.equal(found.query, drawn(given, None).query)


def test_outliers_stay_as_they_are_when_nothing_is_asked():
    given = batch(4, 4)
    assert drawn(given, None) is given


def fleet(n_tasks, feature, seed):
    """Return tasks whose outliers are off in one feature."""
    rng = np.random.default_rng(seed)
    tasks = []
    for i in range(n_tasks):
        X = rng.normal(size=(120, 6)) + rng.normal(size=6)
        X[:20, feature] += 6 * rng.choice([-1, 1], size=20)
        tasks.append(Task(f"{seed}-{i}", X, np.r_[-np.ones(20), np.ones(100)]))
    return TaskCollection(tasks)


auroc = FewShotScorer(n_support=10)


def test_mixed_negatives_teach_outliers_of_kinds_that_have_no_label():
    known, same, other = fleet(20, 0, 0), fleet(8, 0, 1), fleet(8, 3, 2)
    params = {"n_calibration_networks": 0, "random_state": 0}
    labels, mixed = (
        RelationNetworkDetector(negatives=negatives, **params).fit(known)
        for negatives in ("labels", "mixed")
    )
    assert auroc(mixed, same) > 0.95
    assert auroc(mixed, other) > auroc(labels, other) + 0.1
    assert auroc(mixed, other) > 0.9


@pytest.mark.parametrize(
    ("negatives", "how"),
    [("auto", "transferred"), ("labels", None), ("mixed", "synthetic")],
)
def test_parts_of_a_score_are_weighed_on_outliers_as_they_come(
    negatives, how, monkeypatch
):
    asked = []

    def noted(given, generator, how=None, share=0.5):
        asked.append((len(given.query), how, share))
        return with_made(given, generator, how, share)

    monkeypatch.setattr(_episode_drawer, "with_made", noted)
    MetaPrototypeDetector(
        negatives=negatives, n_iter=3, meta_batch_size=7, random_state=0
    ).fit(fleet(6, 0, 0))
    assert {each[1:] for each in asked if each[0] == 7} == {(how, 0.5)}  # training
    assert {each[1] for each in asked if each[0] != 7} == {None}


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("n_tasks", "n_made"), [(2, 8), (10, 8), (20, 4), (100, 0)])
def test_the_more_tasks_there_are_the_fewer_outliers_are_made(
    n_tasks, n_made, labelled
):
    rng = np.random.default_rng(0)
    code = np.repeat(np.arange(n_tasks), 40)
    y = np.tile(np.where(np.arange(40) < 20, -1, 1), n_tasks).astype(np.int8)
    rows = torch.from_numpy(rng.normal(size=(len(y), 3)))
    options = {"made": "auto", "n_support": 3, "n_query": 32}
    draw = _episode_drawer.EpisodeDrawer(
        rows, y if labelled else None, code, rng, **options
    )
    found = draw(7, np.arange(n_tasks)).query.reshape(-1, 3)
    made = ~(found[:, None] == rows).all(2).any(1)
    assert made.reshape(7, 32).sum(1).tolist() == [n_made] * 7


def test_without_labels_half_of_the_outliers_are_synthetic():
    tasks = [Task(task.id, task.X[task.y == 1]) for task in fleet(6, 0, 0)]
    auto, mixed = (
        RelationNetworkDetector(negatives=negatives, n_iter=3, random_state=0)
        .fit(TaskCollection(tasks))
        .meta_
        for negatives in ("auto", "mixed")
    )
    for name, value in auto.items():
        np.testing.assert_array_equal(value, mixed[name], err_msg=name)


def test_transferred_outliers_teach_kinds_that_tasks_like_these_had_no_label_of():
    """A task's place tells its kind of outliers in training, and not afterwards."""

    def tasks(kinds, seed):
        for place, kind in enumerate(kinds):
            for task in fleet(3, kind, 10 * seed + place):
                X = task.X + 5 * (np.arange(6) == place)
                yield Task(f"{place} {task.id}", X, task.y)

    known = TaskCollection(list(tasks([0, 1, 2, 3, 4, 5], 1)))
    new = TaskCollection(list(tasks([1, 2, 3, 4, 5, 0], 2)))
    params = {"standardize": False, "n_calibration_networks": 0, "random_state": 0}
    labels, auto = (
        RelationNetworkDetector(negatives=negatives, **params).fit(known)
        for negatives in ("labels", "auto")
    )
    assert auroc(auto, new) > max(0.99, auroc(labels, new) + 0.015)


def test_supports_of_meta_training_hold_labelled_outliers_as_asked(monkeypatch):
    seen, loss = [], Siamese.loss

    def spy(core, params, batch):
        seen.append((batch.support_y == -1).sum(dim=1))
        return loss(core, params, batch)

    monkeypatch.setattr(Siamese, "loss", spy)
    params = {"n_support": 5, "n_support_outliers": 3, "n_calibration_networks": 0}
    SiameseDetector(n_iter=2, random_state=0, **params).fit(
        make_fleet(n_tasks=6, n_rows=60, n_features=4, random_state=0)
    )
    assert len(seen) == 2 and (torch.cat(seen) == 3).all()


def test_mixed_negatives_of_one_unlabelled_task_are_synthetic():
    X = fleet(1, 0, 0)[0].X
    params = {"n_iter": 3, "random_state": 0}
    one, two = (
        MAMLAutoencoderDetector(negatives=negatives, **params).fit(X).meta_
        for negatives in ("mixed", "synthetic")
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)


def test_what_stands_where_a_support_has_no_row_is_not_departed_from():
    given = batch(4, 0)
    labels = given.support_y.clone()
    labels[:, 3:] = 0
    near, far = (
        given._replace(support_y=labels, support=given.support.clone()) for _ in "ab"
    )
    far.support[:, 3:] = 1e4
    assert torch.equal(drawn(near, None).query, drawn(far, None).query)
    given.support[:, 3:] = 1e4  # as rows that exist they do count
    assert drawn(given, None).query.abs().max() > 100
