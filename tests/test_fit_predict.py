"""Labels of the rows that a detector was fitted to."""

import warnings

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skmetaad import (
    FewShotDetector,
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


@pytest.fixture(scope="module")
def machines():
    fleet = make_fleet(n_tasks=42, n_rows=100, random_state=0)
    det = MetaPrototypeDetector(n_iter=80, random_state=0).fit(fleet[:40])
    return det, fleet[40:]


@pytest.mark.parametrize("labelled", [False, True])
def test_rows_of_a_new_task_are_held_out_too(machines, labelled):
    det, new = machines
    for task in new:
        labels = FewShotDetector(FrozenEstimator(det)).fit_predict(
            task.X, task.y if labelled else None
        )
        assert ((labels == -1) & (task.y == 1)).mean() < 0.15
        assert (labels[task.y == -1] == -1).mean() > 0.5


def test_a_row_is_judged_by_score_and_threshold_of_the_others(machines):
    det, new = machines
    few, found, want = FewShotDetector(FrozenEstimator(det)), [], []
    for i in range(0, 60, 2):
        pair = new[0].X[i : i + 2]
        found += few.fit_predict(pair).tolist()
        for one, other in ((0, 1), (1, 0)):
            adapted = det.adapt(pair[other : other + 1])
            want += adapted.predict(pair[one : one + 1]).tolist()
    assert found == want
    assert len(set(found)) == 2


def test_the_last_row_that_is_no_outlier_is_an_inlier(machines):
    det, new = machines
    few = FewShotDetector(FrozenEstimator(det))
    assert few.fit_predict(new[0].X[:1]).tolist() == [1]


def test_the_threshold_of_nested_pipelines_is_found(machines):
    _, new = machines
    pipe = make_pipeline(MinMaxScaler(), make_pipeline(UniversalDetector()))
    det = FewShotDetector(FrozenEstimator(pipe.fit(new[0].X)))
    assert isinstance(det.fit(new[1].X).offset_, float)


def test_what_a_detector_whose_fit_adapts_takes_it_labels(machines):
    det, new = machines
    few = FewShotDetector(FrozenEstimator(det))
    labels = few.fit_predict(new[0].X)
    assert len(few.fit_predict(new[:1])) == len(labels)
    assert (labels != few.fit(new[0].X).predict(new[0].X)).any()
    y = new[0].y[:, None]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        few.fit_predict(new[0].X, y)
    assert len(seen) == 1


def test_pyods_detectors_label_few_rows_by_their_own_scores():
    knn = pytest.importorskip("pyod.models.knn").KNN()
    X = np.random.default_rng(0).normal(size=(6, 2))
    few = FewShotDetector(FrozenEstimator(PyODDetector(knn).fit(X)))
    theirs = type(knn)().fit(X).labels_
    np.testing.assert_array_equal(few.fit_predict(X) == -1, theirs == 1)
