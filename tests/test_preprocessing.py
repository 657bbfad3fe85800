"""Transformers before a detector: fitted task by task, or of pictures."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.ndimage import center_of_mass
from sklearn import config_context
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import DataConversionWarning
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetaad import (
    CenterPictures,
    MetaPrototypeDetector,
    PerTaskTransformer,
    TaskCollection,
    adapt,
)
from skmetaad.datasets import make_fleet


@parametrize_with_checks(
    [PerTaskTransformer(), PerTaskTransformer(PCA()), CenterPictures()]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=4, n_rows=30, n_features=3, random_state=0)


@pytest.mark.parametrize("inner", [None, MinMaxScaler(), RobustScaler()])
def test_each_task_is_scaled_by_its_own_rows(fleet, inner):
    X, _, task = fleet.arrays()
    order = np.random.default_rng(0).permutation(len(X))
    found = PerTaskTransformer(inner).fit(X, task=task)
    found = found.transform(X[order], task=task[order])
    for one in fleet:
        scaler = inner if inner is not None else StandardScaler()
        want = scaler.fit_transform(one.X)
        rows = found[task[order] == one.id]
        place = order[task[order] == one.id] - np.flatnonzero(task == one.id)[0]
        np.testing.assert_allclose(rows, want[place])


def test_rows_without_a_task_are_of_the_only_one(fleet):
    X, _, task = fleet.arrays()
    want = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(PerTaskTransformer().fit(X).transform(X), want)
    one = PerTaskTransformer().fit(X, task=["a"] * len(X))
    np.testing.assert_allclose(one.transform(X), want)
    with pytest.raises(ValueError, match="task=None, but .* 4 tasks.*routing"):
        PerTaskTransformer().fit(X, task=task).transform(X)


def test_a_pipeline_that_keeps_task_from_its_scaler_is_refused(fleet):
    """Without routing, scikit-learn hands `task` to the last step's predict alone."""
    X, y, task = fleet.arrays()
    pipe = make_pipeline(PerTaskTransformer(), MetaPrototypeDetector(n_iter=3))
    with config_context(enable_metadata_routing=True):
        pipe.fit(X, y, task=task)
        assert set(pipe.predict(X, task=task)) == {-1, 1}
    with pytest.raises(ValueError, match="metadata routing"):
        pipe.predict(X, task=task)


def test_labels_may_be_a_column(fleet):
    X, y, task = fleet.arrays()
    want = PerTaskTransformer().fit(X, y, task=task).transform(X, task=task)
    with pytest.warns(DataConversionWarning):
        found = PerTaskTransformer().fit(X, y[:, None], task=task)
    np.testing.assert_array_equal(found.transform(X, task=task), want)


def test_the_adapted_has_a_transformer_of_its_own(fleet):
    old = PerTaskTransformer(MinMaxScaler()).fit(fleet[0].X)
    old.adapt(fleet[1].X).set_params(transformer__feature_range=(0, 9))
    assert old.transformer.feature_range == (0, 1)


def test_adapting_fits_new_tasks_and_leaves_the_old_as_they_were(fleet):
    X, _, task = fleet[:3].arrays()
    old = PerTaskTransformer().fit(X, task=task)
    before = old.transform(X, task=task)
    new = old.adapt(fleet[3].X[:5])
    want = StandardScaler().fit(fleet[3].X[:5]).transform(fleet[3].X)
    np.testing.assert_allclose(new.transform(fleet[3].X), want)
    np.testing.assert_array_equal(old.transform(X, task=task), before)


def test_labelled_outliers_do_not_scale_their_task():
    X = [[0.0], [2.0], [100.0], [1.0]]
    y, task = [1, 1, -1, 0], ["a"] * 4
    found = PerTaskTransformer().fit(X, y, task=task)
    clean = PerTaskTransformer().fit([X[0], X[1], X[3]], task=["a"] * 3)
    for fitted in (found, found.adapt(X, y, task=task)):
        np.testing.assert_allclose(fitted.transform(X), clean.transform(X))
    np.testing.assert_allclose(
        PerTaskTransformer().fit_transform(X, y, task=task),
        clean.transform(X, task=task),
    )


def test_a_task_of_labelled_outliers_alone_is_named():
    with pytest.raises(ValueError, match="task 'b'"):
        PerTaskTransformer().fit([[0.0], [1.0]], [1, -1], task=["a", "b"])


def test_one_row_is_centred_only(fleet):
    new = PerTaskTransformer().fit(fleet[0].X).adapt(fleet[1].X[:1])
    np.testing.assert_allclose(new.transform(fleet[1].X), fleet[1].X - fleet[1].X[0])


def test_an_unknown_task_is_named(fleet):
    X, _, task = fleet.arrays()
    scaler = PerTaskTransformer().fit(X, task=task)
    with pytest.raises(ValueError, match="nobody"):
        scaler.transform(X[:2], task=["nobody", "nobody"])


def test_labelled_outliers_alone_without_a_task():
    with pytest.raises(ValueError, match="y labels every row as an outlier"):
        PerTaskTransformer().fit([[0.0], [1.0]], [-1, -1])


def test_a_frozen_transformer_stays_what_it_was_for_every_task(fleet):
    X, _, task = fleet.arrays()
    scaler = StandardScaler().fit(X)
    new = PerTaskTransformer(FrozenEstimator(scaler)).fit(X, task=task)
    np.testing.assert_array_equal(new.transform(X, task=task), scaler.transform(X))


@pytest.mark.parametrize("inner", ["scale", StandardScaler])
def test_what_is_no_transformer_is_named(inner):
    with pytest.raises(TypeError, match="transformer="):
        PerTaskTransformer(inner).fit([[0.0], [1.0]])


# ------------------------------------------------------- what the inner one can do


def test_columns_are_named_as_the_inner_transformer_names_them(fleet):
    X, _, task = fleet.arrays()
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=np.arange(len(X)) + 7)
    scaler = PerTaskTransformer().set_output(transform="pandas")
    found = scaler.fit_transform(frame, task=task)
    assert found.columns.tolist() == ["a", "b", "c"]
    assert found.index.equals(frame.index)
    plain = PerTaskTransformer().fit_transform(X, task=task)
    np.testing.assert_allclose(found.to_numpy(), plain)
    reduced = PerTaskTransformer(PCA(2)).fit(X, task=task)
    assert reduced.get_feature_names_out().tolist() == ["pca0", "pca1"]
    assert not hasattr(
        PerTaskTransformer(FunctionTransformer()), "get_feature_names_out"
    )


def test_missing_values_are_the_inner_transformers_to_judge():
    X = np.array([[0.0], [np.nan], [4.0], [10.0], [np.nan], [30.0]])
    task = ["a"] * 3 + ["b"] * 3
    assert get_tags(PerTaskTransformer()).input_tags.allow_nan
    assert not get_tags(PerTaskTransformer(PCA())).input_tags.allow_nan
    for inner in (SimpleImputer(), make_pipeline(SimpleImputer(), MinMaxScaler())):
        found = PerTaskTransformer(inner).fit_transform(X, task=task)
        assert found[1, 0] == pytest.approx((found[0, 0] + found[2, 0]) / 2)
        assert found[4, 0] == pytest.approx((found[3, 0] + found[5, 0]) / 2)
    X[1] = 0.0
    for rows in (X, pd.DataFrame(X)):
        with pytest.raises(ValueError, match="NaN"):
            PerTaskTransformer(PCA()).fit(rows, task=task)


@pytest.mark.parametrize("error", [ValueError, TypeError, UnicodeError])
def test_errors_of_the_inner_transformer_name_the_task(error):
    def picky(X):
        if X.max() > 5:
            raise error("too large")
        return X

    X, task = [[0.0], [1.0], [9.0]], ["a", "a", "b"]
    scaler = PerTaskTransformer(FunctionTransformer(picky)).fit(X, task=task)
    kind = TypeError if error is TypeError else ValueError
    with pytest.raises(kind, match="task 'b': too large"):
        scaler.transform(X, task=task)


def test_errors_in_fitting_name_the_task():
    frame = pd.DataFrame({"load": [0.0, "much"]})
    for rows, message in ((frame, "much"), ([[0.0], [np.inf]], "infinity")):
        with pytest.raises(ValueError, match=f"task 'b': .*{message}"):
            PerTaskTransformer().fit(rows, task=["a", "b"])


def test_sparse_output_is_stacked_in_the_order_of_rows():
    X = np.array([[0.0], [1.0], [1.0], [0.0], [1.0], [0.0]])
    task = np.array(["b", "a", "b", "a", "a", "a"])
    found = PerTaskTransformer(OneHotEncoder()).fit_transform(X, task=task)
    assert sparse.issparse(found)
    np.testing.assert_array_equal(found.toarray(), np.c_[1 - X, X])


def test_rows_without_names_may_follow_a_frame(fleet):
    X, y, task = fleet.arrays()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    for first, second in ((frame, X), (X, frame)):
        scaler = PerTaskTransformer().fit(first, task=task)
        with pytest.warns(UserWarning, match="feature names"):
            found = scaler.adapt(second[:9]).transform(second)
        want = StandardScaler().fit(X[:9]).transform(X)
        np.testing.assert_allclose(found, want, atol=1e-12)


def test_columns_of_a_frame_reach_the_inner_transformer_by_name():
    frame = pd.DataFrame(
        {"load": [0.0, 2.0, 10.0, 30.0], "mode": ["on", "off", "off", "on"]}
    )
    inner = make_column_transformer(
        (StandardScaler(), ["load"]), (OneHotEncoder(), ["mode"]), sparse_threshold=0
    )
    task = ["a", "a", "b", "b"]
    found = PerTaskTransformer(inner).fit(frame, [1] * 4, task=task)
    want = [[-1, 0, 1], [1, 1, 0], [-1, 1, 0], [1, 0, 1]]
    np.testing.assert_allclose(found.transform(frame, task=task), want)
    new = found.adapt(frame.iloc[:2])
    np.testing.assert_allclose(new.transform(frame.iloc[:2]), want[:2])
    with pytest.raises(ValueError, match="0 sample"):
        found.transform(frame.iloc[:0], task=[])
    with pytest.raises(ValueError, match="feature names"):
        found.transform(frame[["mode", "load"]], task=task)


def test_tasks_whose_columns_differ_are_named():
    X, task = [[0.0], [1.0], [0.0], [2.0]], ["a", "a", "b", "b"]
    with pytest.raises(ValueError, match="task 'a': OneHotEncoder makes 2 columns"):
        PerTaskTransformer(OneHotEncoder()).fit(X, task=task)
    fitted = PerTaskTransformer(OneHotEncoder()).fit(X)
    with pytest.raises(ValueError, match="differ in .*x0_2.0"):
        fitted.adapt(X[:2])
    nameless = FunctionTransformer(lambda X: X[:, X.max(axis=0) > 1.5])
    fitted = PerTaskTransformer(nameless).fit(X, task=task)
    with pytest.raises(ValueError, match="task 'b': .* another task"):
        fitted.transform(X, task=task)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shape=st.tuples(st.integers(1, 3), st.integers(7, 10), st.integers(7, 10)),
    background=st.sampled_from([0.0, 1.0, -2.5]),
)
def test_a_drawing_goes_to_the_middle_wherever_it_was(seed, shape, background):
    rng = np.random.default_rng(seed)
    ink = rng.random((shape[0], 3, 3)) + 0.1
    pictures = np.full((4, *shape), background)
    for picture in pictures:
        i, j = (rng.integers(side - 2) for side in shape[1:])
        picture[:, i : i + 3, j : j + 3] += ink
    found = CenterPictures(background=background).fit_transform(pictures)
    np.testing.assert_array_equal(found, found[:1].repeat(4, axis=0))
    found = found.reshape(pictures.shape) - background
    np.testing.assert_allclose(found.sum(axis=(2, 3)), [ink.sum(axis=(1, 2))] * 4)
    middle = (np.array(shape[1:]) - 1) / 2
    assert np.abs(center_of_mass(found[0].sum(axis=0)) - middle).max() <= 0.5 + 1e-9


@pytest.mark.parametrize(("size", "ink"), [(28, 3), (9, 2)])
def test_a_drawing_halfway_between_pixels_goes_where_it_goes_from_anywhere(size, ink):
    pictures = np.zeros((size - ink + 1, size, size))
    for i, picture in enumerate(pictures):
        picture[i : i + ink, i : i + ink] = 1
    found = CenterPictures().fit_transform(pictures)
    assert len(np.unique(found, axis=0)) == 1


def test_what_leaves_the_picture_is_lost_and_what_comes_in_is_background():
    row = np.zeros((1, 7))
    row[0, [0, 5, 6]] = 1.0, 10.0, 10.0
    found = CenterPictures(image_shape=(1, 7)).fit_transform(row)
    np.testing.assert_array_equal(found, [[0, 0, 0, 10, 10, 0, 0]])


def test_a_blank_picture_and_the_given_array_stay():
    X = np.vstack([np.full(9, 3.0), np.eye(9)[0]])
    before = X.copy()
    found = CenterPictures(background=3.0).fit_transform(X)
    np.testing.assert_array_equal(found[0], X[0])
    np.testing.assert_array_equal(X, before)
    assert CenterPictures().fit_transform(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("shape", [(2, 4), (3, 3, 2), (9,), (-3, -3)])
def test_another_shape_than_the_rows_is_named(shape):
    with pytest.raises(ValueError, match=r"image_shape=.*pictures with 9 values"):
        CenterPictures(image_shape=shape).fit(np.eye(9))


def test_a_pipeline_that_centers_scores_a_drawing_the_same_anywhere():
    rng = np.random.default_rng(0)
    tasks = []
    for _ in range(6):
        pictures = np.zeros((12, 8, 8))
        pictures[:, 2:5, 3:6] = rng.random((3, 3)) + 0.2 * rng.random((12, 3, 3))
        tasks.append(pictures.reshape(12, 64))
    fleet = TaskCollection.from_arrays(np.concatenate(tasks), task=np.arange(72) // 12)
    X, _, task = fleet.arrays()
    pipe = make_pipeline(
        CenterPictures(), MetaPrototypeDetector(n_iter=5, random_state=0)
    )
    pipe.fit(X, metaprototypedetector__task=task)
    adapted = adapt(pipe, X[:5])
    moved = np.roll(X[5:12].reshape(7, 8, 8), (2, -2), axis=(1, 2)).reshape(7, 64)
    np.testing.assert_allclose(
        adapted.decision_function(moved), adapted.decision_function(X[5:12]), rtol=1e-9
    )


def test_a_fit_that_fails_leaves_the_transformer_as_it_was():
    X = np.random.default_rng(0).normal(size=(8, 4))
    task, y = np.repeat(["a", "b"], 4), np.repeat([-1, 1], 4)
    per_task = PerTaskTransformer().fit(X, task=task)
    with pytest.raises(ValueError, match="task 'a' labels every row"):
        per_task.fit(X[:, :2], y, task=task)
    assert per_task.transform(X, task=task).shape == X.shape
    center = CenterPictures((2, 2)).fit(X)
    with pytest.raises(ValueError, match="image_shape"):
        center.fit(X[:, :3])
    assert center.transform(X).shape == X.shape


def test_hidden_values_are_not_learned_from():
    X = np.ma.array(np.ones((4, 2)), mask=np.eye(4, 2))
    with pytest.raises(ValueError, match="X masks some values"):
        PerTaskTransformer().fit(X)
    y = np.ma.array([1, 1, 1, 1], mask=[0, 0, 0, 1])
    with pytest.raises(ValueError, match="y masks some values"):
        PerTaskTransformer().fit(X.data, y)
