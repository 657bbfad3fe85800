"""Every public detector keeps scikit-learn's contract and ours."""

import numpy as np
import pytest
import skops.io
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

from skmetaad import Task, TaskCollection, few_shot_scores
from skmetaad.datasets import make_fleet
from skmetaad.utils import all_detectors
from skmetaad.utils.estimator_checks import meta_checks

DETECTORS = dict(all_detectors())
FAST = {"n_iter": 10}
ENOUGH = {"n_iter": 100}


def made(name, params):
    cls = DETECTORS[name]
    return cls(**{k: v for k, v in params.items() if k in cls().get_params()})


@parametrize_with_checks([made(name, FAST) for name in DETECTORS])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", DETECTORS)
def test_checks_scikit_learn_runs_on_its_own_estimators(name):
    check_dataframe_column_names_consistency(name, made(name, FAST))
    check_param_validation(name, made(name, FAST))


@pytest.mark.parametrize("check", meta_checks(), ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", DETECTORS)
def test_meta_learning_checks(name, check):
    check(made(name, ENOUGH))


@pytest.mark.parametrize("name", DETECTORS)
def test_skops_saves_and_trusts_the_class_alone(name):
    fleet = make_fleet(n_tasks=5, n_rows=40, random_state=0)
    det = made(name, {"n_iter": 2, "n_calibration_networks": 0, "random_state": 0})
    det.fit(fleet[:4])
    kept = skops.io.dumps(det)
    cls = DETECTORS[name]
    trusted = skops.io.get_untrusted_types(data=kept)
    assert trusted == [f"{cls.__module__}.{cls.__qualname__}"]
    again = skops.io.loads(kept, trusted=trusted)
    want = det.decision_function(fleet[:4])
    np.testing.assert_array_equal(again.decision_function(fleet[:4]), want)
    adapted, loaded = (one.adapt(fleet[4].X[:10]) for one in (det, again))
    np.testing.assert_array_equal(
        loaded.decision_function(fleet[4].X), adapted.decision_function(fleet[4].X)
    )


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"UniversalDetector"}))
def test_what_shapes_a_network_stays_until_it_is_fitted_again(name):
    fleet = make_fleet(n_tasks=5, n_rows=40, random_state=0)
    det = made(name, {"n_iter": 2, "n_calibration_networks": 0, "random_state": 0})
    want = det.fit(fleet[:4]).score_samples(fleet[:4])
    new = det.adapt(fleet[4].X[:9])
    for one, rows in ((det, fleet[:4]), (new, fleet[4].X)):
        for param in one._shaping:
            value = getattr(one, param)
            one.set_params(**{param: "another"})
            with pytest.raises(ValueError, match=f"{param}=.*, but fit learned with"):
                one.score_samples(rows)
            with pytest.raises(ValueError, match=f"{param}=.*, but fit learned with"):
                one.adapt(fleet[4].X[:9])
            one.set_params(**{param: value})
    det.set_params(n_iter=3, n_query=16, max_support=20)
    np.testing.assert_array_equal(det.score_samples(fleet[:4]), want)
    det.set_params(activation="tanh").fit(fleet[:4]).adapt(fleet[4].X[:9])


@pytest.mark.parametrize("name", DETECTORS)
def test_units_do_not_matter(name):
    """Rows in nanometres and in metres have the same scores."""
    n_tasks = 2 if name == "UniversalDetector" else 6  # of more it learns thresholds
    X, y, task = make_fleet(n_tasks=n_tasks, n_rows=60, random_state=0).arrays()
    params = ENOUGH | {"n_iter": 30, "n_calibration_networks": 0, "random_state": 0}
    one, other = (
        made(name, params).fit(rows, y, task=task).score_samples(rows, task=task)
        for rows in (X, X * 1e-9)
    )
    np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02 * one.std())


@pytest.mark.parametrize("name", DETECTORS)
def test_a_row_like_all_of_its_support_is_an_inlier(name):
    """As on a channel that stands still."""
    fleet = make_fleet(n_tasks=10, n_rows=60, random_state=0)
    det = made(name, {"n_iter": 50, "random_state": 0}).fit(fleet)
    still = np.repeat(np.random.default_rng(0).normal(size=(1, 8)), 60, axis=0)
    for n_support in (1, 2, 5, 10, 50):
        adapted = det.adapt(still[:n_support])
        assert (adapted.predict(still) == 1).all()
        assert adapted.predict(still[:1] + 5) == -1


@pytest.mark.parametrize("name", sorted(set(DETECTORS) - {"UniversalDetector"}))
def test_levels_that_differ_between_tasks_hide_nothing_inside_them(name):
    """A column's level may differ 1,000 times as much between tasks as inside them."""
    fleet = make_fleet(n_tasks=24, random_state=0)
    rng = np.random.default_rng(0)
    apart = TaskCollection(
        [Task(t.id, t.X + rng.normal(0, 1000, t.X.shape[1]), t.y) for t in fleet]
    )
    options = {"n_iter": 100, "n_calibration_networks": 0, "random_state": 0}
    det = made(name, options)
    one, other = (
        np.mean(list(few_shot_scores(det.fit(f[:18]), f[18:], n_support=10).values()))
        for f in (fleet, apart)
    )
    assert other > one - 0.05


def test_all_detectors_are_found():
    assert {"MAMLAutoencoderDetector", "MetaPrototypeDetector"} <= set(DETECTORS)
