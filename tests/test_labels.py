"""Outlier labels in the forms that users have them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, KFold

from skmetaad import FewShotDetector, LabelsIgnoredWarning, MetaPrototypeDetector, Task
from skmetaad.datasets import make_fleet
from skmetaad.labels import check_labels, from_pyod_labels, to_pyod_labels


@pytest.mark.parametrize(
    "y",
    [
        np.array([1, -1, 0], object),
        np.array([1.0, -1, 0], object),
        pd.Series([1, -1, 0], dtype="Int64"),
        pd.Series([1, -1, 0], dtype="category"),
        np.array([[0.5, 1], [0.1, -1], [0.2, 0]], object)[:, 1],
    ],
)
def test_numbers_in_an_array_of_objects_are_labels(y):
    labels = check_labels(y, n_rows=3)
    assert labels.dtype == np.int8
    assert labels.tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("y", "first"),
    [
        (["ok", "bad"], "ok"),
        (np.array(["ok", "bad"], object), "ok"),
        (["1", "-1"], "1"),
        (pd.Series(["1", "-1"]), "1"),
        (np.array([1, "-1"], object), "-1"),
    ],
)
def test_text_is_ignored_and_called_so(y, first):
    message = f"text such as '{first}'.*-1 .outlier"
    with pytest.warns(LabelsIgnoredWarning, match=message):
        assert check_labels(y) is None


def test_booleans_are_no_labels_of_a_task_in_whatever_array():
    with pytest.raises(ValueError, match="y of task 'a' is boolean"):
        Task("a", np.ones((2, 1)), np.array([True, False], object))


def test_booleans_are_not_taken_for_ones_of_either_convention():
    with pytest.raises(ValueError, match="y is boolean"):
        to_pyod_labels([False, True])
    assert from_pyod_labels([False, True]).tolist() == [1, -1]


def test_text_that_is_ignored_holds_no_row_out():
    fleet = make_fleet(n_tasks=4, n_rows=40, random_state=0)
    det = MetaPrototypeDetector(n_iter=2, n_calibration_networks=0, random_state=0)
    one = FewShotDetector(FrozenEstimator(det.fit(fleet[:3])))
    X, y = fleet[3].X, fleet[3].y.astype(str)
    with pytest.warns(LabelsIgnoredWarning):
        found = one.fit_predict(X, pd.Series(y))
    np.testing.assert_array_equal(found, one.fit_predict(X))


@pytest.mark.parametrize("convert", [from_pyod_labels, to_pyod_labels])
def test_masked_labels_are_not_converted(convert):
    with pytest.raises(ValueError, match="y masks some values"):
        convert(np.ma.array([1, 0, 1], mask=[0, 1, 0]))


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_label_beside_others_is_refused(missing):
    with pytest.raises(ValueError, match="y holds nan"):
        check_labels(np.array([1, -1, missing], object))


@pytest.mark.parametrize("y", [[1, 1], [1.0, 1.0], [0, 0], [0], []])
def test_labels_that_say_that_there_is_no_outlier_do_not_warn(y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_labels(np.array(y)) is None


@pytest.mark.parametrize("y", [[0, 1], [False, True], [True, True]])
def test_labels_of_another_convention_name_the_converter(y):
    with pytest.warns(LabelsIgnoredWarning, match="from_pyod_labels"):
        assert check_labels(y) is None
    assert from_pyod_labels(y).tolist() == [1 - 2 * int(v) for v in y]


def test_class_labels_are_ignored_without_that_hint():
    with pytest.warns(LabelsIgnoredWarning) as caught:
        assert check_labels([1, 2, 3]) is None
    assert "pyod" not in str(caught[0].message)


def test_the_warning_points_at_the_line_of_the_user():
    X = np.random.default_rng(0).normal(size=(20, 2))
    det = MetaPrototypeDetector(n_iter=2, random_state=0)
    search = GridSearchCV(det, {"n_iter": [2]}, cv=KFold(2))
    for call in (det.fit, det.score, search.fit):
        with pytest.warns(LabelsIgnoredWarning) as caught:
            call(X, np.arange(20) % 2)
        ours = [w for w in caught if w.category is LabelsIgnoredWarning]
        assert {w.filename for w in ours} == {__file__}
