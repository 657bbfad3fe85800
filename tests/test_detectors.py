"""Every public detector keeps scikit-learn's contract and ours."""

import pytest
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

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


def test_all_detectors_are_found():
    assert {"MAMLAutoencoderDetector", "MetaPrototypeDetector"} <= set(DETECTORS)
