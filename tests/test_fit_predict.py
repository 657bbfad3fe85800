"""Labels of the rows that a detector was fitted to."""

import warnings

import numpy as np
import pytest

from skmetaad import (
    MetaPrototypeDetector,
    PyODDetector,
    SiameseDetector,
    Task,
    TaskCollection,
    UniversalDetector,
)
from skmetaad.datasets import make_fleet
from skmetaad.exceptions import LabelsIgnoredWarning


@pytest.mark.parametrize(
    "det",
    [
        MetaPrototypeDetector(n_iter=60, random_state=0),
        SiameseDetector(n_iter=60, random_state=0),
        SiameseDetector(n_iter=60, max_support=40, random_state=0),
        UniversalDetector(),
    ],
    ids=["nearest rows left out", "halves", "thinned halves", "rows left out"],
)
def test_rows_of_tasks_are_judged_without_themselves(det):
    X, y, task = make_fleet(n_tasks=15, n_rows=80, random_state=0).arrays()
    labels = det.fit_predict(X, task=task)
    assert 0.05 < (labels == -1).mean() < 0.15
    assert (labels[y == -1] == -1).mean() > 0.6


def test_thinned_tasks_of_several_sizes_are_judged_row_by_row():
    fleet = make_fleet(n_tasks=6, n_rows=90, random_state=0)
    fleet = TaskCollection(
        [Task(t.id, t.X[: 90 - 14 * i]) for i, t in enumerate(fleet)]
    )
    det = MetaPrototypeDetector(n_iter=10, max_support=50, random_state=0)
    labels = det.fit_predict(fleet)
    start = 0
    for i, task in enumerate(fleet):
        ids = [task.id] * len(task)
        scores, _ = det.adapt(task.X, task=ids)._own_scores(task.X, None, ids)
        # One row more or less at the border: rounding in other blocks.
        own = np.where(scores < det.task_offsets_[i], -1, 1)
        assert (labels[start : start + len(task)] != own).sum() <= 1
        start += len(task)


def test_pyods_labels_of_its_training_rows():
    knn = pytest.importorskip("pyod.models.knn").KNN()
    fleet = make_fleet(n_tasks=3, n_rows=50, random_state=0)
    labels = PyODDetector(knn).fit_predict(fleet)
    for i, task in enumerate(fleet):
        theirs = type(knn)().fit(task.X[task.y != -1]).labels_
        ours = labels[50 * i : 50 * i + 50][task.y != -1]
        np.testing.assert_array_equal(ours == -1, theirs == 1)


def test_labels_that_are_ignored_are_warned_of_once():
    X, y, task = make_fleet(n_tasks=4, n_rows=30, random_state=0).arrays()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        UniversalDetector().fit_predict(X, (y == -1).astype(int), task=task)
        SiameseDetector(n_iter=2).fit_predict(X, (y == -1).astype(int), task=task)
    assert [w.category for w in seen] == [LabelsIgnoredWarning] * 2
