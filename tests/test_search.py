"""Meta-detectors in scikit-learn's pipelines, searches and cross-validation."""

import numpy as np
import pytest
import sklearn
from sklearn.compose import make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmetaad import (
    FewShotDetector,
    FewShotScorer,
    LeaveOneTaskOut,
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    PerTaskTransformer,
    TaskKFold,
    TaskShuffleSplit,
    adapt,
    few_shot_scores,
)
from skmetaad.compose import decide
from skmetaad.datasets import make_fleet

FAST = {"n_iter": 5, "n_networks": 1, "random_state": 0}
GRID = {"hidden_sizes": [(4, 2), (8, 4)]}


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=8, n_rows=50, n_features=4, random_state=0)


@pytest.fixture(scope="module")
def arrays(fleet):
    return fleet[:6].arrays()


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# ------------------------------------------------------------------ with routing


@pytest.mark.usefixtures("routing")
def test_grid_search_over_a_pipeline_in_two_processes(fleet, arrays):
    X, y, task = arrays
    pipe = Pipeline(
        [("scale", StandardScaler()), ("det", MetaPrototypeDetector(**FAST))]
    )
    search = GridSearchCV(
        pipe,
        {"det__" + name: values for name, values in GRID.items()},
        cv=TaskKFold(2),
        scoring=FewShotScorer("roc_auc", n_support=5),
        n_jobs=2,
    )
    search.fit(X, y, task=task)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and (scores > 0.5).all()
    assert search.best_estimator_[-1].task_ids_ == fleet[:6].ids
    assert adapt(search, fleet[7].X[:5]).predict(fleet[7].X).shape == (50,)


@pytest.mark.usefixtures("routing")
def test_the_scorer_gets_the_tasks_of_the_held_out_fold(arrays):
    X, y, task = arrays
    seen = []

    class Spy(FewShotScorer):
        def __call__(self, estimator, X, y=None, *, task=None):
            seen.append(sorted(set(task)))
            return super().__call__(estimator, X, y, task=task)

    det = MetaPrototypeDetector(**FAST)
    found = cross_val_score(
        det, X, y, cv=TaskKFold(3), scoring=Spy(n_support=5), params={"task": task}
    )
    folds = [(train, test) for train, test in TaskKFold(3).split(X, task=task)]
    assert seen == [sorted(set(task[test])) for _, test in folds]
    for value, (train, test) in zip(found, folds, strict=True):
        own = MetaPrototypeDetector(**FAST).fit(X[train], y[train], task=task[train])
        by_hand = few_shot_scores(own, X[test], y[test], task=task[test], n_support=5)
        assert value == pytest.approx(np.mean(list(by_hand.values())))


@pytest.mark.usefixtures("routing")
def test_randomized_search_with_maml(arrays):
    X, y, task = arrays
    search = RandomizedSearchCV(
        MAMLAutoencoderDetector(**FAST),
        {"inner_rate": [0.01, 0.1, 0.5], "inner_steps": [1, 2]},
        n_iter=2,
        cv=TaskShuffleSplit(2, random_state=0),
        scoring=FewShotScorer("average_precision", n_support=5),
        random_state=0,
    ).fit(X, y, task=task)
    assert set(search.best_params_) == {"inner_rate", "inner_steps"}
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.usefixtures("routing")
def test_a_search_over_a_frame_of_numbers_and_text(arrays):
    pd = pytest.importorskip("pandas")
    X, y, task = arrays
    df = pd.DataFrame(X, columns=list("abcd"))
    df["os"] = np.random.default_rng(0).choice(["linux", "bsd"], len(X))
    encoder = OneHotEncoder(handle_unknown="ignore"), ["os"]
    columns = make_column_transformer(encoder, (StandardScaler(), list("abcd")))
    search = GridSearchCV(
        Pipeline([("columns", columns), ("det", MetaPrototypeDetector(**FAST))]),
        {"det__" + name: values for name, values in GRID.items()},
        cv=TaskKFold(2),
        scoring=FewShotScorer(n_support=5),
        error_score="raise",
    ).fit(df, y, task=task)
    assert (search.cv_results_["mean_test_score"] > 0.5).all()


@pytest.mark.usefixtures("routing")
def test_nested_cross_validation(arrays):
    X, y, task = arrays
    scorer = FewShotScorer(n_support=5)
    inner = GridSearchCV(
        MetaPrototypeDetector(**FAST), GRID, cv=TaskKFold(2), scoring=scorer
    )
    scores = cross_val_score(
        inner, X, y, cv=TaskKFold(2), scoring=scorer, params={"task": task}
    )
    assert scores.shape == (2,) and (scores > 0.5).all()


@pytest.mark.usefixtures("routing")
def test_cross_validate_with_several_metrics(arrays):
    X, y, task = arrays
    found = cross_validate(
        MetaPrototypeDetector(**FAST),
        X,
        y,
        cv=LeaveOneTaskOut(),
        params={"task": task},
        scoring={
            name: FewShotScorer(name, n_support=5)
            for name in ("roc_auc", "average_precision", "f1")
        },
    )
    for name in ("roc_auc", "average_precision", "f1"):
        assert found[f"test_{name}"].shape == (6,)
        assert ((found[f"test_{name}"] >= 0) & (found[f"test_{name}"] <= 1)).all()


@pytest.mark.usefixtures("routing")
def test_a_scaler_per_task_in_a_pipeline(fleet, arrays):
    X, y, task = arrays
    pipe = make_pipeline(PerTaskTransformer(), MetaPrototypeDetector(**FAST))
    pipe.fit(X, y, task=task)
    assert pipe.decision_function(X, task=task).shape == (len(X),)
    new = fleet[7].X
    own = adapt(pipe, new[:10])
    scaler = StandardScaler().fit(new[:10])
    want = pipe[-1].adapt(scaler.transform(new[:10]))
    np.testing.assert_allclose(
        own.decision_function(new), want.decision_function(scaler.transform(new))
    )


# --------------------------------------------------------------- without routing


def test_plain_k_fold_over_a_collection(fleet):
    search = GridSearchCV(MetaPrototypeDetector(**FAST), GRID, cv=KFold(3))
    search.fit(fleet[:6])
    for i, (train, test) in enumerate(KFold(3).split(list(fleet[:6]))):
        own = MetaPrototypeDetector(**FAST, hidden_sizes=(4, 2)).fit(fleet[train])
        found = search.cv_results_[f"split{i}_test_score"][0]
        assert found == pytest.approx(own.score(fleet[test]))
    assert search.best_estimator_.task_ids_ == fleet[:6].ids


def test_cross_val_score_over_a_collection(fleet):
    scores = cross_val_score(MetaPrototypeDetector(**FAST), fleet, cv=KFold(2))
    assert scores.shape == (2,) and (scores > 0.5).all()


def test_groups_and_one_task_per_fold(arrays):
    X, y, task = arrays
    search = GridSearchCV(MetaPrototypeDetector(**FAST), GRID, cv=LeaveOneTaskOut())
    search.fit(X, y, groups=task, task=task)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert search.n_splits_ == 6


def test_groups_in_a_pipeline(arrays):
    X, y, task = arrays
    steps = [("scale", StandardScaler()), ("det", MetaPrototypeDetector(**FAST))]
    pipe = Pipeline(steps)
    search = GridSearchCV(pipe, {"det__n_prototypes": [1, 2]}, cv=LeaveOneTaskOut())
    search.fit(X, y, groups=task, det__task=task)
    assert search.best_estimator_["det"].task_ids_ == tuple(dict.fromkeys(task))


# --------------------------------------------------------------------------- compose


def test_adapting_a_pipeline_leaves_it_as_it_was(fleet, arrays):
    X, y, task = arrays
    pipe = make_pipeline(StandardScaler(), MetaPrototypeDetector(**FAST))
    pipe.fit(X, y, metaprototypedetector__task=task)
    before, step = pipe.decision_function(X), pipe[-1]
    new = adapt(pipe, fleet[7].X[:10])
    assert new is not pipe and new[0] is pipe[0]
    assert pipe[-1] is step
    np.testing.assert_array_equal(pipe.decision_function(X), before)
    assert not np.allclose(new.decision_function(X), before)


def test_many_tasks_through_a_pipeline(fleet, arrays):
    X, y, task = arrays
    pipe = make_pipeline(StandardScaler(), MetaPrototypeDetector(**FAST))
    pipe.fit(X, y, metaprototypedetector__task=task)
    Xn, _, ids = fleet[6:].arrays()
    found = decide(adapt(pipe, fleet[6:]), Xn, ids)
    for one in fleet[6:]:
        want = adapt(pipe, one.X, one.y).decision_function(one.X)
        np.testing.assert_allclose(found[ids == one.id], want, rtol=1e-4, atol=1e-5)


def test_a_class_is_nothing_to_adapt():
    with pytest.raises(TypeError, match="expected a fitted meta-detector"):
        adapt(MetaPrototypeDetector, np.eye(3))


def test_what_cannot_be_adapted_is_named(fleet):
    with pytest.raises(TypeError, match="IsolationForest"):
        adapt(IsolationForest().fit(fleet[0].X), fleet[0].X)


def test_a_meta_detector_beside_isolation_forest(fleet):
    meta = MetaPrototypeDetector(**FAST).fit(fleet[:6])
    new = FewShotDetector(FrozenEstimator(meta))
    for detector in (new, IsolationForest(random_state=0)):
        detector = sklearn.base.clone(detector).fit(fleet[7].X)
        decision = detector.decision_function(fleet[7].X)
        offset = detector.score_samples(fleet[7].X) - detector.offset_
        np.testing.assert_allclose(decision, offset)
        labels = detector.predict(fleet[7].X)
        np.testing.assert_array_equal(labels, np.where(decision < 0, -1, 1))
    np.testing.assert_allclose(
        new.fit(fleet[7].X).score_samples(fleet[7].X),
        meta.adapt(fleet[7].X).score_samples(fleet[7].X),
    )
