"""The checks of the contract find what breaks it, and share one fit."""

import pytest

from skmetaad import MetaPrototypeDetector
from skmetaad.utils import estimator_checks as checks


class Impure(MetaPrototypeDetector):
    def adapt(self, X, y=None, *, task=None):
        adapted = super().adapt(X, y, task=task)
        self.n_features_in_ += 1
        return adapted


class Counted(MetaPrototypeDetector):
    fits = 0

    def fit(self, X, y=None, *, task=None):
        type(self).fits += 1
        return super().fit(X, y, task=task)


class Unseeded(MetaPrototypeDetector):
    def __init__(self, n_iter=2, activation="relu"):
        super().__init__(n_iter=n_iter, activation=activation, n_networks=1)


def test_a_changed_detector_is_found_and_not_handed_on():
    det = Impure(n_iter=2, n_networks=1)
    for _ in range(2):
        with pytest.raises(AssertionError, match="adapt changed the detector"):
            checks.check_adapt_is_pure(det)
    checks.check_one_row_support(det)


def test_checks_share_a_fit_as_long_as_parameters_are_the_same():
    for n_iter, fits in ((2, 1), (2, 1), (3, 2)):
        checks.check_unknown_task(Counted(n_iter=n_iter, n_networks=1))
        checks.check_one_row_support(Counted(n_iter=n_iter, n_networks=1))
        assert Counted.fits == fits
    checks.check_seed_reproduces(Counted(n_iter=3, n_networks=1))
    assert Counted.fits == 3


def test_detectors_without_a_seed_and_of_local_classes_are_checked():
    class Local(Unseeded):
        pass

    for det in (Unseeded(), Local()):
        checks.check_one_row_support(det)
        checks.check_unknown_task(det)
