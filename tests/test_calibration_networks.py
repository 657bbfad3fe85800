"""Networks that set thresholds on tasks that they were not trained on."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.utils import shuffle

from skmetaad import (
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    RelationNetworkDetector,
    SiameseDetector,
    _held_out,
)
from skmetaad._held_out import learned_offsets
from skmetaad.datasets import make_fleet
from skmetaad.detectors._torch import TorchMetaDetector


def spied_training(monkeypatch):
    """Note the tasks of each training, and those that thresholds are learned on."""
    trained, judged = [], []
    train, learn = TorchMetaDetector._train, learned_offsets

    def spy_train(self, core, ground, parts, *args):
        trained.extend(set(part) for part in parts)
        return train(self, core, ground, parts, *args)

    def spy_learn(judges, *args):
        judged.extend(set(tasks) for _, tasks in judges)
        return learn(judges, *args)

    monkeypatch.setattr(TorchMetaDetector, "_train", spy_train)
    monkeypatch.setattr("skmetaad.detectors._torch.learned_offsets", spy_learn)
    return trained, judged


@pytest.mark.parametrize("n", [1, 3, 6])
def test_networks_set_thresholds_on_tasks_that_they_have_not_seen(monkeypatch, n):
    trained, judged = spied_training(monkeypatch)
    fleet = make_fleet(n_tasks=9, n_rows=40, random_state=0)
    SiameseDetector(n_iter=2, n_calibration_networks=n, random_state=0).fit(fleet)
    every = set(range(9))
    assert trained[0] == every
    assert [every - part for part in trained[1:]] == judged and all(judged)
    assert sum(map(len, judged)) == len(set().union(*judged))
    assert n < 6 or set().union(*judged) == every


@pytest.mark.parametrize("options", [{}, {"n_cohort": 4, "n_prototypes": 2}])
def test_each_of_several_networks_judges_its_own_share(monkeypatch, options):
    trained, judged = spied_training(monkeypatch)
    fleet = make_fleet(n_tasks=9, n_rows=40, random_state=0)
    det = MetaPrototypeDetector(n_iter=2, n_networks=3, random_state=0, **options)
    assert det.fit(fleet).decision_function(fleet).shape == (9 * 40,)
    assert len(trained) == 3
    assert [set(range(9)) - part for part in trained] == judged and all(judged)
    assert sum(map(len, judged)) == 9


@pytest.mark.parametrize("n_tasks, n", [(1, 1), (2, 1), (9, 0)])
def test_without_further_networks_the_first_one_sets_thresholds(
    monkeypatch, n_tasks, n
):
    trained, judged = spied_training(monkeypatch)
    fleet = make_fleet(n_tasks=n_tasks, n_rows=40, random_state=0)
    SiameseDetector(n_iter=2, n_calibration_networks=n, random_state=0).fit(fleet)
    assert trained == judged == [set(range(n_tasks))]


def test_further_networks_leave_scores_as_they_are():
    fleet = make_fleet(n_tasks=6, n_rows=40, random_state=0)
    first, second = (
        RelationNetworkDetector(n_iter=5, n_calibration_networks=n, random_state=0).fit(
            fleet
        )
        for n in (0, 2)
    )
    np.testing.assert_array_equal(
        first.score_samples(fleet), second.score_samples(fleet)
    )
    assert (first.task_offsets_ != second.task_offsets_).all()


@pytest.mark.parametrize(
    "cls", [SiameseDetector, RelationNetworkDetector, MAMLAutoencoderDetector]
)
def test_few_tasks_learned_by_heart_do_not_set_thresholds(cls):
    """Seven digits to learn from, three new ones."""
    X, digit = shuffle(*load_digits(return_X_y=True), random_state=0)
    known = ~np.isin(digit, (3, 4, 5))
    shares = []
    for n in (0, 2):
        det = cls(n_iter=150, n_calibration_networks=n, random_state=0)
        det.fit(X[known], task=digit[known])
        flagged = [
            det.adapt(X[digit == new][:10]).predict(X[digit == new][10:]) == -1
            for new in (3, 4, 5)
        ]
        shares.append(np.mean(np.concatenate(flagged)))
    assert 0.04 < shares[1] < 0.16 and shares[1] < shares[0] - 0.06, shares


def test_thresholds_are_learned_from_episodes_with_finite_scores(monkeypatch):
    def astray(*args):
        own, scores = judged(*args)
        scores[::3, 0], own[::3] = -np.inf, np.nan
        return own, scores

    judged = _held_out._judged
    monkeypatch.setattr(_held_out, "_judged", astray)
    fleet = make_fleet(n_tasks=6, n_rows=40, random_state=0)
    det = SiameseDetector(n_iter=5, random_state=0).fit(fleet)
    for fleet_offsets in (det.offset_prior_, *det.offset_prior_["labelled"]):
        assert np.isfinite(fleet_offsets["level"]).all()
    assert np.isfinite(det.task_offsets_).all()
