"""Adapting what a pipeline nests, and detectors whose fit adapts."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy import sparse
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    StandardScaler,
)
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from skmetaad import (
    FewShotDetector,
    MetaPrototypeDetector,
    PerTaskTransformer,
    UniversalDetector,
    adapt,
    few_shot_scores,
)
from skmetaad.compose import decide
from skmetaad.datasets import make_fleet

NAMES = ["a", "b", "c", "d"]


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=8, n_rows=40, n_features=4, random_state=0)


@pytest.fixture(scope="module")
def universal(fleet):
    return UniversalDetector(random_state=0).fit(fleet[:6])


def fitted(step, X, y, task):
    pipe = make_pipeline(step, MetaPrototypeDetector(n_iter=5, random_state=0))
    with sklearn.config_context(enable_metadata_routing=True):
        return pipe.fit(X, y, task=task)


def scaled(X, like, columns=(0, 1, 2, 3)):
    columns = list(columns)
    return StandardScaler().fit(like[:, columns]).transform(X[:, columns])


def columns_of(kind):
    """Return a ColumnTransformer over columns 0, 2 and 3, given in some way."""
    chosen = {
        "positions": ([0, 2], slice(3, 4), [1]),
        "negative": ([0, -2], [-1], [1]),
        "masks": ([True, False, True, False], [False, False, False, True], [1]),
        "names": (["a", "c"], ["d"], ["b"]),
        "slice of names": (lambda X: ["a", "c"], slice("d", "d"), ["b"]),
    }[kind]
    return ColumnTransformer(
        [
            ("one", PerTaskTransformer(), chosen[0]),
            ("none", PerTaskTransformer(), []),
            ("two", make_pipeline(PerTaskTransformer(), "passthrough"), chosen[1]),
            ("gone", "drop", chosen[2]),
        ],
        transformer_weights={"two": 3.0},
    )


@pytest.mark.parametrize(
    "kind", ["positions", "negative", "masks", "names", "slice of names"]
)
def test_a_column_transformer_is_adapted_on_its_own_columns(fleet, kind):
    X, y, task = fleet[:6].arrays()
    new = fleet[7].X
    support = new[:10]
    if "names" in kind:
        X, support, query = (pd.DataFrame(v, columns=NAMES) for v in (X, support, new))
        query = query[NAMES[::-1]]
    else:
        query = new
    pipe = fitted(columns_of(kind), X, y, task)
    before = decide(pipe, X, task)
    pipe[0].set_params(n_jobs=2)
    adapted = adapt(pipe, support)
    assert adapted[0].n_jobs == 2
    for one in (pipe, adapted):
        one[0].set_params(n_jobs=None)

    def by_hand(rows):
        return np.c_[scaled(rows, new[:10], [0, 2]), 3 * scaled(rows, new[:10], [3])]

    np.testing.assert_allclose(adapted[0].transform(query), by_hand(new))
    want = pipe[-1].adapt(by_hand(new[:10])).decision_function(by_hand(new))
    np.testing.assert_allclose(adapted.decision_function(query), want)
    np.testing.assert_array_equal(decide(pipe, X, task), before)


def test_a_union_and_its_frames_are_adapted(fleet):
    X, y, task = fleet[:6].arrays()
    union = FeatureUnion(
        [("own", PerTaskTransformer()), ("raw", "passthrough"), ("not", "drop")]
    ).set_output(transform="pandas")
    frame = pd.DataFrame(X, columns=NAMES)
    pipe = fitted(union, frame, y, task)
    new = pd.DataFrame(fleet[7].X, columns=NAMES)
    adapted = adapt(pipe, new[:10])
    found = adapted[0].transform(new)
    assert found.columns[:2].tolist() == ["own__a", "own__b"]
    want = np.c_[scaled(fleet[7].X, fleet[7].X[:10]), fleet[7].X]
    np.testing.assert_allclose(found.to_numpy(), want)
    assert adapted.predict(new).shape == (40,)


@pytest.mark.parametrize(
    "step",
    [
        make_union(make_pipeline(StandardScaler(), PerTaskTransformer())),
        make_pipeline(
            StandardScaler(),
            make_column_transformer((PerTaskTransformer(), slice(0, 4))),
        ),
        make_column_transformer(
            (make_column_transformer((PerTaskTransformer(), [0, 1, 2, 3])), NAMES)
        ),
    ],
)
def test_many_tasks_reach_what_is_nested_without_routing(fleet, step):
    X, y, task = fleet[:6].arrays()
    Xn, _, ids = fleet[6:].arrays()
    X, Xn = (pd.DataFrame(v, columns=NAMES) for v in (X, Xn))
    pipe = fitted(step, X, y, task)
    adapted = adapt(pipe, Xn, task=ids)
    found = decide(adapted, Xn, ids)
    for one in fleet[6:]:
        own = adapt(pipe, Xn[ids == one.id]).decision_function(Xn[ids == one.id])
        np.testing.assert_allclose(found[ids == one.id], own, rtol=1e-4, atol=1e-5)
    values = few_shot_scores(pipe, Xn, task=ids, n_support=5)
    assert np.isfinite(list(values.values())).all()


def test_what_needs_no_adapting_is_shared(fleet):
    X, y, task = fleet[:6].arrays()
    step = FrozenEstimator(
        make_column_transformer(
            (PerTaskTransformer(), [0, 1]), (MinMaxScaler(), [2, 3])
        ).fit(X)
    )
    pipe = fitted(step, X, y, task)
    adapted = adapt(pipe, fleet[7].X[:10])
    old, new = (p[0].estimator.named_transformers_ for p in (pipe, adapted))
    assert new["minmaxscaler"] is old["minmaxscaler"]
    assert new["pertasktransformer"] is not old["pertasktransformer"]
    np.testing.assert_allclose(
        adapted[0].transform(fleet[7].X)[:, :2],
        scaled(fleet[7].X, fleet[7].X[:10], [0, 1]),
    )


# ------------------------------------------------------------------ FewShotDetector


@pytest.mark.filterwarnings("ignore::skmetaad.LabelsIgnoredWarning")
def test_scikit_learn_checks_of_a_detector_whose_fit_adapts(universal):
    check_estimator(
        FewShotDetector(FrozenEstimator(universal)),
        on_skip=None,
        expected_failed_checks={
            "check_estimators_overwrite_params": "a deep copy has another joblib hash"
        },
    )


def test_a_detector_whose_fit_adapts_shows_what_it_wraps(universal):
    new = FewShotDetector(FrozenEstimator(universal))
    assert get_tags(new).input_tags.allow_nan
    assert not hasattr(new, "n_features_in_")
    frame = pd.DataFrame(np.eye(5, 3), columns=["a", "b", "c"])
    frame.iloc[0, 0] = np.nan
    assert new.fit(frame).feature_names_in_.tolist() == ["a", "b", "c"]
    assert new.n_features_in_ == 3
    assert np.isfinite(new.decision_function(frame)).all()
    assert not hasattr(new.fit(frame.to_numpy()), "feature_names_in_")


def test_a_detector_whose_fit_adapts_takes_one_task(fleet, universal):
    few = FewShotDetector(FrozenEstimator(universal))
    with pytest.raises(ValueError, match="support of one task"):
        few.fit(fleet[:2])
    assert few.fit(fleet[:1]).predict(fleet[0].X).shape == (40,)


@pytest.mark.parametrize("kind", [sparse.coo_matrix, sparse.csc_array])
def test_sparse_rows_are_held_out_in_whatever_format(fleet, kind):
    det = MetaPrototypeDetector(n_iter=3, random_state=0)
    pipe = make_pipeline(MaxAbsScaler(), FunctionTransformer(to_dense), det)
    few = FewShotDetector(FrozenEstimator(pipe.fit(fleet[0].X)))
    want = few.fit(fleet[1].X).fit_predict(fleet[1].X)
    np.testing.assert_array_equal(few.fit_predict(kind(fleet[1].X)), want)


def to_dense(X):
    return X.toarray() if sparse.issparse(X) else X


def test_missing_values_are_refused_where_the_wrapped_detector_does(fleet):
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet[:4])
    new = FewShotDetector(FrozenEstimator(det))
    assert not get_tags(new).input_tags.allow_nan
    with pytest.raises(ValueError, match="NaN"):
        new.fit(np.full((3, 4), np.nan))
