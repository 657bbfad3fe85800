"""The bridge to PyOD, both ways, against PyOD's own classes."""

import importlib
import pickle
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    MetaPrototypeDetector,
    PyODDetector,
    UniversalDetector,
    few_shot_scores,
    from_pyod_labels,
    to_pyod,
    to_pyod_labels,
)
from skmetaad.datasets import make_fleet

pytest.importorskip("pyod")

DETECTORS = {
    "KNN": "knn",
    "LOF": "lof",
    "IForest": "iforest",
    "ECOD": "ecod",
    "COPOD": "copod",
    "OCSVM": "ocsvm",
    "KDE": "kde",
    "HBOS": "hbos",
    "PCA": "pca",
    "MCD": "mcd",
    "GMM": "gmm",
    "INNE": "inne",
}
DEEP = {
    "AutoEncoder": {"epoch_num": 3, "batch_size": 8, "verbose": 0},
    "VAE": {"epoch_num": 3, "batch_size": 8, "verbose": 0},
    "DeepSVDD": {"n_features": 5, "epochs": 2, "batch_size": 8, "verbose": 0},
    "LUNAR": {"n_epochs": 3},
    "DIF": {"n_ensemble": 2},
}
MODULES = {
    **DETECTORS,
    "LODA": "loda",
    "MAD": "mad",
    "ABOD": "abod",
    "CD": "cd",
    "COF": "cof",
    "LMDD": "lmdd",
    "LOCI": "loci",
    "RGraph": "rgraph",
    "ROD": "rod",
    "SOD": "sod",
    "SOS": "sos",
    "AutoEncoder": "auto_encoder",
    "VAE": "vae",
    "DeepSVDD": "deep_svdd",
    "LUNAR": "lunar",
    "DIF": "dif",
}


def made(name, **params):
    return getattr(importlib.import_module(f"pyod.models.{MODULES[name]}"), name)(
        **params
    )


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=8, n_rows=80, n_features=5, random_state=0)


@pytest.fixture(scope="module")
def meta(fleet):
    return MetaPrototypeDetector(n_iter=40, random_state=0).fit(fleet[:6])


# ------------------------------------------------------------------ PyOD under our roof


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_scores_and_labels_are_pyods_own(name, fleet):
    params = {"random_state": 3} if "random_state" in vars(made(name)) else {}
    det = PyODDetector(made(name, **params), contamination=0.2, random_state=0)
    new = det.fit(fleet[:2]).adapt(fleet[2].X)
    # Rows are sorted by content before they are fitted on, and so they are here.
    rows = fleet[2].X[np.argsort(fleet[2].X @ directions(5))]
    own = made(name, contamination=0.2)
    if params:
        own.set_params(random_state=int(det.meta_["seed"]))
    own.fit(rows)
    query = fleet[2].X[:20]
    np.testing.assert_allclose(
        new.score_samples(query), -own.decision_function(query), rtol=1e-6, atol=1e-9
    )
    np.testing.assert_array_equal(
        new.predict(query), from_pyod_labels(own.predict(query))
    )


def directions(n_features):
    return np.random.default_rng(0).standard_normal(n_features)


def test_each_task_gets_a_copy_of_its_own(fleet):
    inner = made("KNN")
    det = PyODDetector(inner).fit(fleet)
    assert len({id(d) for d in det.state_["detector"]}) == len(fleet)
    assert not hasattr(inner, "decision_scores_")
    X, _, task = fleet.arrays()
    own = PyODDetector(made("KNN")).fit(fleet).adapt(fleet[3].X, fleet[3].y)
    np.testing.assert_allclose(
        det.score_samples(fleet[3].X, task=[fleet[3].id] * len(fleet[3])),
        own.score_samples(fleet[3].X),
    )
    assert det.predict(X, task=task).shape == (len(X),)


def test_labelled_outliers_are_kept_out_of_the_support(fleet):
    task = fleet[0]
    det = PyODDetector(made("KNN")).fit(fleet)
    np.testing.assert_allclose(
        det.adapt(task.X, task.y).score_samples(task.X),
        det.adapt(task.X[task.y == 1]).score_samples(task.X),
    )


def test_it_clones_and_is_scored_like_a_meta_detector(fleet):
    det = clone(PyODDetector(made("KNN"), random_state=1)).fit(fleet[:4])
    scores = few_shot_scores(det, fleet[4:], n_support=20)
    assert list(scores) == list(fleet[4:].ids)
    assert np.mean(list(scores.values())) > 0.6


@pytest.mark.parametrize("name", ["KNN", "LOF", "ECOD", "HBOS", "PCA", "MAD"])
@pytest.mark.parametrize("n_rows", [100, 700])
def test_fitted_on_one_table_it_is_the_pyod_detector(name, n_rows):
    X = np.random.default_rng(0).normal(size=(n_rows, 1 if name == "MAD" else 4))
    det = PyODDetector(made(name), contamination=0.05).fit(X)
    own = made(name) if name == "MAD" else made(name, contamination=0.05)
    own.fit(X)
    query = np.r_[X[:50], 4 * X[:50]]
    np.testing.assert_allclose(
        det.score_samples(query), -own.decision_function(query), rtol=1e-6
    )
    assert det.offset_ == pytest.approx(-own.threshold_)
    np.testing.assert_array_equal(
        det.predict(query), from_pyod_labels(own.predict(query))
    )


def test_the_wrapped_detectors_contamination_counts_unless_it_is_given_another(fleet):
    X, rest = fleet[0].X, fleet[1:3]
    for given, share in ((None, 0.3), (0.02, 0.02)):
        det = PyODDetector(made("KNN", contamination=0.3), contamination=given)
        own = made("KNN", contamination=share).fit(X)
        assert clone(det).fit(X).offset_ == pytest.approx(-own.threshold_)
        offset = det.fit(rest).adapt(X).task_offsets_
        assert offset == pytest.approx(-own.threshold_)
        (own,) = det.reference_["detector"]
        assert det.offset_ == -own.threshold_ and own.contamination == share
    det = PyODDetector(made("KNN")).set_params(detector__contamination=0.9)
    with pytest.raises(ValueError, match=r"contamination=0.9: expected .* \(0, 0.5\]"):
        det.fit(X)
    assert not hasattr(det, "meta_")


def test_rows_of_one_table_that_are_labelled_outliers_are_left_out(fleet):
    task = fleet[0]
    det = PyODDetector(made("KNN")).fit(task.X, task.y)
    own = made("KNN").fit(task.X[task.y != -1])
    np.testing.assert_allclose(
        det.score_samples(task.X), -own.decision_function(task.X)
    )
    assert det.offset_ == pytest.approx(-own.threshold_)


def test_rows_without_a_task_are_judged_by_the_rows_of_all(fleet, monkeypatch):
    X = fleet.arrays()[0]
    own = made("KNN").fit(X[fleet.arrays()[1] != -1])
    det = PyODDetector(made("KNN")).fit(fleet)
    np.testing.assert_allclose(det.score_samples(X), -own.decision_function(X))
    assert det.offset_ == pytest.approx(-own.threshold_)
    monkeypatch.setattr(PyODDetector, "_max_pooled", 50)
    reference = PyODDetector(made("KNN")).fit(fleet).reference_["detector"][0]
    assert len(reference.decision_scores_) == 50


def test_all_rows_are_kept_unless_told_otherwise():
    X = np.random.default_rng(0).normal(size=(600, 3))
    for max_support, n_kept in ((np.inf, 600), (40, 40)):
        det = PyODDetector(made("KNN"), max_support=max_support).fit(X)
        for one in (det, det.adapt(X)):
            (fitted,) = one.reference_["detector"]
            assert len(fitted.decision_scores_) == n_kept
    with pytest.raises(ValueError, match="'max_support' .* Got 2.5"):
        PyODDetector(made("KNN"), max_support=2.5).fit(X)


@pytest.mark.parametrize("detector", ["knn", IsolationForest()])
def test_what_is_no_pyod_detector_is_named(fleet, detector):
    with pytest.raises(TypeError, match=f"detector={re.escape(repr(detector))}: exp"):
        PyODDetector(detector).fit(fleet)


def test_a_class_is_no_detector(fleet):
    with pytest.raises(TypeError, match="detector=<class 'pyod.models.knn.KNN'>"):
        PyODDetector(type(made("KNN"))).fit(fleet)


def test_too_few_rows_for_pyod_are_a_clear_error(fleet):
    det = PyODDetector(made("KNN", n_neighbors=5)).fit(fleet)
    with pytest.raises(ValueError, match="KNN cannot be fitted on 3 rows"):
        det.adapt(fleet[0].X[:3])


def global_states():
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    torchs = torch.get_rng_state().numpy().tobytes()
    return random.getstate(), keys.tobytes(), position, torchs


@pytest.mark.parametrize("name", DEEP)
def test_equal_seeds_give_equal_scores(name, fleet):
    inner = made(name, **DEEP[name])

    def scores(seed):
        torch.rand(3), np.random.rand(3)  # noqa: NPY002
        det = PyODDetector(inner, random_state=seed).fit(fleet[0].X)
        first = det.score_samples(fleet[1].X)
        np.testing.assert_array_equal(first, det.score_samples(fleet[1].X))
        return first

    np.testing.assert_array_equal(scores(0), scores(0))
    assert (scores(0) != scores(1)).any()


@pytest.mark.parametrize("name", ["AutoEncoder", "DeepSVDD"])
def test_a_seed_of_the_wrapped_detector_is_kept_where_none_is_given(name, fleet):
    def scores(seed):
        inner = made(name, random_state=seed, **DEEP[name])
        return PyODDetector(inner).fit(fleet[0].X).score_samples(fleet[1].X)

    np.testing.assert_array_equal(scores(5), scores(5))
    assert (scores(5) != scores(6)).any()


@pytest.mark.parametrize("name", [*DEEP, "OCSVM", "INNE"])
def test_global_generators_stay_where_they_are(name, fleet):
    det = PyODDetector(made(name, **DEEP.get(name, {})), random_state=0)
    before = global_states()
    det.fit(fleet[:2]).adapt(fleet[2].X).predict(fleet[3].X)
    assert global_states() == before
    with pytest.raises(ValueError, match="cannot be fitted"):
        PyODDetector(made("KNN", n_neighbors=500), random_state=0).fit(fleet)
    assert global_states() == before


MIXES = ["CD", "COPOD", "DIF", "ECOD", "RGraph", "ROD"]  # docs/pyod.md lists both
FORGETS = ["COF", "LMDD", "LOCI", "SOD", "SOS"]


def test_the_documentation_names_those_that_see_the_whole_query():
    root = Path(__file__).parents[1] / "docs"
    for page in (root / "pyod.md", root / "evaluating.md"):
        words = set(re.findall(r"\w+", page.read_text("utf-8")))
        assert {*MIXES, *FORGETS} <= words


@pytest.mark.parametrize(
    "name",
    [
        *(name for name in (*MIXES, *FORGETS) if name != "SOD"),
        pytest.param("SOD", marks=pytest.mark.slow),  # numba compiles it
        *("KNN", "LOF", "IForest", "GMM"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_what_the_support_and_the_other_query_rows_do_to_a_score(name, fleet):
    inner, (X, a, b) = made(name, **DEEP.get(name, {})), (t.X[:30] for t in fleet[:3])
    first, second = (PyODDetector(inner, random_state=0).fit(rows) for rows in (a, b))
    same = np.allclose(first.score_samples(X), second.score_samples(X))
    assert same == (name in FORGETS)
    few = first.score_samples(X[:25])
    assert np.allclose(few, first.score_samples(X)[:25]) != (name in MIXES + FORGETS)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_rows_that_pyod_cannot_score_are_a_clear_error(fleet):
    det = PyODDetector(made("COF", n_neighbors=5)).fit(fleet[0].X)
    with pytest.raises(ValueError, match="COF cannot score 1 rows of a task: index"):
        det.score_samples(fleet[0].X[:1])
    det = PyODDetector(made("SOS")).fit(fleet[0].X)
    with pytest.raises(
        ValueError, match="SOS cannot score 1 rows of a task: scores are"
    ):
        det.predict(fleet[0].X[:1])


@pytest.mark.parametrize(
    ("name", "n_rows"),
    [("PCA", 1), ("PCA", 50), ("ABOD", 3), ("INNE", 1), ("CD", 3), ("DIF", 1)],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_thresholds_that_are_no_numbers_are_refused(name, n_rows, fleet):
    X = np.random.default_rng(0).normal(size=(50, 5))
    det = PyODDetector(made(name, **DEEP.get(name, {}))).fit(X)
    X[:, 1] = 2
    with pytest.raises(ValueError, match=f"{name} cannot be .* {n_rows} rows .* nan"):
        det.adapt(X[:n_rows])


@pytest.mark.parametrize("name", [*DETECTORS, "LODA"])
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::RuntimeWarning")
def test_copied_rows_are_no_reason_to_refuse(name, fleet):
    X = fleet[0].X.copy()
    X[::3] = X[0]
    assert np.isfinite(PyODDetector(made(name)).fit(X).decision_function(X)).all()


def test_what_adapt_returns_has_parameters_of_its_own(fleet):
    det = PyODDetector(made("KNN", n_neighbors=5)).fit(fleet[:2])
    adapted = det.adapt(fleet[2].X)
    adapted.set_params(detector__n_neighbors=2)
    assert det.detector.n_neighbors == 5
    assert adapted.adapt(fleet[2].X).state_ == {}
    assert adapted.adapt(fleet[2].X).reference_["detector"][0].n_neighbors == 2


# ------------------------------------------------------------------ ours under PyOD's


def test_it_is_a_pyod_detector_with_pyods_signs(meta, fleet):
    from pyod.models.base import BaseDetector

    task = fleet[6]
    det = to_pyod(meta, contamination=0.15)
    assert isinstance(det, BaseDetector)
    det.fit(task.X)
    assert det.decision_scores_.shape == (len(task.X),)
    assert set(det.labels_) == {0, 1}
    assert det.labels_.mean() == pytest.approx(0.15, abs=0.02)
    np.testing.assert_array_equal(det.labels_, det.decision_scores_ > det.threshold_)
    scores = det.decision_function(task.X)
    np.testing.assert_allclose(scores, -meta.adapt(task.X).score_samples(task.X))
    outlier = task.y == -1
    assert scores[outlier].mean() > scores[~outlier].mean()
    np.testing.assert_array_equal(det.predict(task.X), scores > det.threshold_)


def test_pyods_derived_methods_work(meta, fleet):
    X = fleet[6].X
    det = to_pyod(meta).fit(X)
    proba = det.predict_proba(X)
    assert proba.shape == (len(X), 2)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    confidence = det.predict_confidence(X)
    assert ((confidence >= 0) & (confidence <= 1)).all()
    assert det.predict_with_rejection(X).shape == (len(X),)
    assert to_pyod(meta).fit_predict(X).shape == (len(X),)


def test_training_scores_are_held_out_ones(meta, fleet):
    rows = fleet[6].X[fleet[6].y == 1]
    det = to_pyod(meta).fit(rows[:10])
    seen = det.decision_function(rows[:10])
    unseen = det.decision_function(rows[10:])
    # On rows it was adapted on, scores are too low; held-out ones are not.
    assert seen.mean() < unseen.mean()
    assert abs(det.decision_scores_.mean() - unseen.mean()) < abs(
        seen.mean() - unseen.mean()
    )


def test_training_scores_of_a_sorted_table_are_like_those_of_a_mixed_one(meta):
    rng = np.random.default_rng(0)
    rows = np.linspace(-3, 3, 60)[:, None] + rng.normal(0, 0.05, (60, 5))
    ordered, mixed = (
        to_pyod(meta).fit(X).decision_scores_.mean()
        for X in (rows, rng.permutation(rows))
    )
    assert abs(ordered - mixed) < 0.5


def test_its_scores_combine_with_those_of_pyod(meta, fleet):
    from pyod.utils.utility import standardizer

    task = fleet[7]
    detectors = [made("KNN"), made("IForest", random_state=0), to_pyod(meta)]
    scores = np.column_stack([d.fit(task.X).decision_scores_ for d in detectors])
    combined = standardizer(scores).mean(axis=1)
    assert combined[task.y == -1].mean() > combined[task.y == 1].mean()


def test_a_single_row_has_no_training_score(meta, fleet):
    for one in (meta, UniversalDetector().fit(fleet[0].X)):
        with pytest.raises(
            ValueError, match="X has n_samples = 1 row: expected at lea"
        ):
            to_pyod(one).fit(fleet[6].X[:1])
        det = to_pyod(one).fit(fleet[6].X[:2])
        assert np.isfinite(det.decision_function(fleet[6].X)).all()


@pytest.mark.parametrize("copied", [clone, lambda d: pickle.loads(pickle.dumps(d))])
def test_copies_keep_the_meta_detector_fitted(meta, fleet, copied):
    X = fleet[6].X
    det = copied(to_pyod(meta, contamination=0.2))
    assert det.contamination == 0.2
    expected = to_pyod(meta, contamination=0.2).fit(X)
    np.testing.assert_array_equal(
        det.fit(X).decision_scores_, expected.decision_scores_
    )
    np.testing.assert_array_equal(copied(expected).fit(X).labels_, expected.labels_)


def test_attributes_of_the_meta_detector_are_at_hand(meta):
    det = to_pyod(meta)
    assert det.estimator.estimator is meta
    assert det.estimator.n_features_in_ == meta.n_features_in_
    assert to_pyod(det.estimator).estimator is det.estimator


def test_pyods_wrappers_take_it(fleet):
    from pyod.models.ts_od import TimeSeriesOD

    inner = to_pyod(UniversalDetector().fit(fleet[0].X))
    series = np.sin(np.arange(120.0))
    series[60] += 3
    found = TimeSeriesOD(inner, window_size=5).fit(series)
    assert 56 <= np.nanargmax(found.decision_scores_) <= 64


def test_pyods_feature_bagging_takes_it(fleet):
    pytest.importorskip("combo", reason="PyOD's FeatureBagging needs combo")
    from pyod.models.feature_bagging import FeatureBagging

    task = fleet[6]
    inner = to_pyod(UniversalDetector().fit(fleet[0].X))
    bagging = FeatureBagging(inner, n_estimators=3, random_state=0).fit(task.X)
    scores = bagging.decision_function(task.X)
    assert scores[task.y == -1].mean() > scores[task.y == 1].mean()


def test_columns_are_checked_by_the_meta_detector(fleet):
    pd = pytest.importorskip("pandas")
    X, y, task = fleet[:6].arrays()
    frame = pd.DataFrame(X, columns=list("abcde"), index=np.arange(len(X))[::-1])
    pipe = make_pipeline(
        StandardScaler(), MetaPrototypeDetector(n_iter=5, random_state=0)
    ).fit(frame, y, metaprototypedetector__task=task)
    for meta in (pipe, MetaPrototypeDetector(n_iter=5).fit(frame, y, task=task)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            det = to_pyod(meta).fit(frame[:30])
            det.predict_proba(frame[30:60])
        assert det.decision_scores_.shape == (30,)
        for call in (det.decision_function, to_pyod(meta).fit):
            with pytest.raises(ValueError, match="feature names"):
                call(frame[list("bacde")])


def test_missing_values_are_for_the_meta_detector_to_take(meta, fleet):
    X = fleet[6].X.copy()
    X[::7, 1] = np.nan
    det = to_pyod(UniversalDetector().fit(X)).fit(X)
    assert np.isfinite(det.decision_scores_).all()
    assert np.isfinite(det.decision_function(X)).all()
    assert det.labels_.sum() == det.predict(X).sum() == 8
    with pytest.raises(ValueError, match="NaN"):
        to_pyod(meta).fit(X)


def test_several_tables_are_refused(meta, fleet):
    for tasks in (fleet, fleet[0], [fleet[0]]):
        with pytest.raises(TypeError, match="expected one table"):
            to_pyod(meta).fit(tasks)


def test_labels_convert_both_ways():
    assert from_pyod_labels([0, 1, 0]).tolist() == [1, -1, 1]
    assert to_pyod_labels(from_pyod_labels([0, 1])).tolist() == [0, 1]


def test_detectors_that_rank_rows_together_see_those_of_the_task_alone(fleet):
    det = PyODDetector(made("ECOD")).fit(fleet)
    a, b = fleet[0], fleet[1]
    rows = [a.X[:15], b.X[:30]]
    found = det.score_samples(
        np.concatenate(rows), task=np.repeat([a.id, b.id], [15, 30])
    )
    inliers = a.X if a.y is None else a.X[a.y != -1]
    theirs = made("ECOD").fit(inliers).decision_function(rows[0])
    np.testing.assert_allclose(found[:15], -theirs)


def test_a_share_of_outliers_has_to_be_given():
    with pytest.raises(TypeError, match="contamination=None"):
        to_pyod(UniversalDetector(), contamination=None)
