"""Where the outliers of meta-training come from."""

import numpy as np
import pytest
import torch

from skmetaad import (
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    RelationNetworkDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.core.losses import with_departures
from skmetaad.core.train import Batch
from skmetaad.detectors import _episode_drawer


def batch(n_inliers, n_outliers):
    g = torch.Generator().manual_seed(0)
    support, query = (torch.randn(3, n, 4, generator=g) for n in (5, n_inliers))
    outliers = torch.randn(3, n_outliers, 4, generator=g) + 9
    y = torch.tensor([1] * n_inliers + [-1] * n_outliers, dtype=torch.int8)
    labels = torch.ones(3, 5, dtype=torch.int8)
    return Batch(support, labels, torch.cat([query, outliers], 1), y.expand(3, -1))


def drawn(given, share):
    return with_departures(given, torch.Generator().manual_seed(1), share)


@pytest.mark.parametrize(("n_outliers", "n_made"), [(1, 0), (6, 3), (7, 3), (14, 4)])
def test_a_share_of_the_outliers_gives_way_to_departures(n_outliers, n_made):
    given = batch(4, n_outliers)
    found = drawn(given, 0.5)
    kept = 4 + n_outliers - n_made
    assert found.query.shape == given.query.shape
    assert torch.equal(found.query_y, given.query_y)
    assert torch.equal(found.query[:, :kept], given.query[:, :kept])
    made = found.query[:, kept:]
    assert made.shape[1] == n_made
    assert not (made.unsqueeze(2) == given.query.unsqueeze(1)).all(dim=3).any()
    # They are departures from inliers, not from outliers, which are 9 away.
    assert n_made == 0 or made.abs().median() < 5


def test_a_query_of_inliers_gets_as_many_departures_whatever_the_share():
    given = batch(6, 0)
    for share in (0.0, 0.5):
        found = drawn(given, share)
        assert found.query_y.tolist() == [[1] * 6 + [-1] * 6] * 3
        assert torch.equal(found.query[:, :6], given.query)
        assert torch.equal(found.query, drawn(given, 0.0).query)


def test_outliers_stay_as_they_are_without_a_share():
    given = batch(4, 4)
    assert drawn(given, 0.0) is given


def fleet(n_tasks, feature, seed):
    """Return tasks whose outliers are off in one feature."""
    rng = np.random.default_rng(seed)
    tasks = []
    for i in range(n_tasks):
        X = rng.normal(size=(120, 6)) + rng.normal(size=6)
        X[:20, feature] += 6 * rng.choice([-1, 1], size=20)
        tasks.append(Task(f"{seed}-{i}", X, np.r_[-np.ones(20), np.ones(100)]))
    return TaskCollection(tasks)


def auroc(detector, tasks):
    return np.mean(list(few_shot_scores(detector, tasks, n_support=10).values()))


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


def test_parts_of_a_score_are_weighed_on_outliers_as_they_come(monkeypatch):
    shares = []

    def noted(given, generator, share):
        shares.append((len(given.query), share))
        return with_departures(given, generator, share)

    monkeypatch.setattr(_episode_drawer, "with_departures", noted)
    MetaPrototypeDetector(
        negatives="mixed", n_iter=3, meta_batch_size=7, random_state=0
    ).fit(fleet(6, 0, 0))
    assert {share for n, share in shares if n == 7} == {0.5}  # training
    assert {share for n, share in shares if n != 7} == {0.0}


def test_mixed_negatives_of_one_unlabelled_task_are_synthetic():
    X = fleet(1, 0, 0)[0].X
    params = {"n_iter": 3, "random_state": 0}
    one, two = (
        MAMLAutoencoderDetector(negatives=negatives, **params).fit(X).meta_
        for negatives in ("mixed", "synthetic")
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name], err_msg=name)
