"""Supports with outliers that nobody has labelled."""

import numpy as np
import pytest

from skmetaad import (
    MetaPrototypeDetector,
    SiameseDetector,
    UniversalDetector,
    few_shot_scores,
)
from skmetaad.core.siamese import Siamese
from skmetaad.datasets import make_fleet
from skmetaad.utils import all_detectors

FLEET = make_fleet(n_tasks=40, random_state=0)


def mean_auroc(detector, share):
    scores = few_shot_scores(
        detector, FLEET[30:], n_support=20, contamination=share, n_repeats=2
    )
    return np.mean(list(scores.values()))


@pytest.mark.parametrize("cls", dict(all_detectors()).values())
def test_every_detector_stays_sane(cls):
    if cls is UniversalDetector:
        det = cls(random_state=0).fit(FLEET[:2])  # of more it learns thresholds
    else:
        det = cls(n_iter=150, n_calibration_networks=0, random_state=0).fit(FLEET[:30])
    clean = mean_auroc(det, 0.0)
    # It has seen no task of this fleet.
    assert clean > (0.92 if cls is UniversalDetector else 0.95)
    assert mean_auroc(det, 0.1) > clean - 0.05
    assert mean_auroc(det, 0.2) > clean - 0.1


def test_several_neighbours_withstand_copies_of_one_outlier():
    """Unlabelled outliers hide what is like them, unless inliers outvote them."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    odd = np.full((12, 4), 4.0) + 0.1 * rng.normal(size=(12, 4))
    support = np.concatenate([X[:20], odd[:2]])
    gaps = []
    for det in (
        MetaPrototypeDetector(n_iter=100, random_state=0),
        MetaPrototypeDetector(n_neighbors=5, n_iter=100, random_state=0),
    ):
        det.fit(FLEET[:10].arrays()[0][:, :4], task=FLEET[:10].arrays()[2])
        adapted = det.adapt(support)
        normal, abnormal = map(adapted.score_samples, (X[20:], odd[2:]))
        gaps.append((normal[:, None] > abnormal).mean())
    assert gaps[0] < 0.7
    assert gaps[1] > 0.95


def test_training_supports_are_contaminated_as_asked(monkeypatch):
    drawn = []

    def spy(core, params, batch):
        drawn.append(batch)
        return original(core, params, batch)

    original = Siamese.loss
    monkeypatch.setattr(Siamese, "loss", spy)
    # Rows of different tasks lie far apart, so that those of another one are seen.
    task = np.repeat(range(4), 30)
    X = 1e3 * task[:, None] + np.random.default_rng(0).normal(size=(120, 3))
    det = SiameseDetector(
        n_support=10,
        contamination_in_support=0.3,
        n_iter=3,
        n_calibration_networks=0,
        random_state=0,
    ).fit(X, task=task)
    assert det.n_iter_ == 3
    for batch in drawn:
        assert (batch.support_y == 1).all()
        own = batch.query[:, :1]  # the first row of a query is an inlier
        far = (batch.support - own).norm(dim=2) > 0.3  # in units of all rows' spread
        # A row that the query has as well is given up.
        assert ((far.sum(dim=1) >= 1) & (far.sum(dim=1) <= 3)).all()
        assert (far.sum(dim=1) == 3).any()


@pytest.mark.parametrize("share", [-0.1, 0.6, "some"])
def test_shares_that_cannot_be_are_named(share):
    det = SiameseDetector(contamination_in_support=share)
    with pytest.raises(ValueError, match="contamination_in_support"):
        det.fit(FLEET[:3])
