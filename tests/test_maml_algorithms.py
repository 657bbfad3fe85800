"""The algorithms of the outer loop, as a user meets them."""

import numpy as np
import pytest

from skmetaad import MAMLAutoencoderDetector, few_shot_scores
from skmetaad.core.maml import ALGORITHMS
from skmetaad.datasets import make_fleet
from skmetaad.utils.estimator_checks import check_meta_detector

FLEET = make_fleet(n_tasks=30, random_state=0)


def fitted(n_iter=2, **params):
    det = MAMLAutoencoderDetector(n_iter=n_iter, random_state=0, **params)
    return det.fit(FLEET[:24])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns(algorithm):
    det = fitted(200, algorithm=algorithm, n_calibration_networks=0)
    assert det.history_["loss"][-20:].mean() < det.history_["loss"][:20].mean()
    scores = few_shot_scores(det, FLEET[24:], n_support=10)
    assert np.mean(list(scores.values())) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(set(ALGORITHMS) - {"maml"}))
def test_every_algorithm_keeps_the_contract(algorithm):
    check_meta_detector(MAMLAutoencoderDetector(algorithm=algorithm, n_iter=100))


def test_anil_moves_the_last_layer_only_and_keeps_no_other():
    det = fitted(algorithm="anil")
    nets = {name for name in det.state_ if name.startswith("net.")}
    assert nets == {"net.weight3", "net.bias3"}
    rates = {name for name in det.meta_ if name.startswith("rate.")}
    assert rates == {"rate.net.weight3", "rate.net.bias3"}


def test_meta_sgd_learns_a_rate_per_parameter():
    det = fitted(algorithm="meta-sgd", inner_steps=2, inner_rate=0.05)
    for name, value in det.meta_.items():
        if name.startswith("net."):
            rate = det.meta_["rate." + name]
            assert rate.shape == value.shape
            assert not np.allclose(rate, 0.05)


def test_reptile_has_no_rates_to_learn():
    det = fitted(algorithm="reptile")
    assert not any(name.startswith("rate.") for name in det.meta_)


@pytest.mark.parametrize("algorithm", ["MAML", "adam", None])
def test_unknown_algorithms_are_named(algorithm):
    with pytest.raises(ValueError, match="algorithm"):
        MAMLAutoencoderDetector(algorithm=algorithm).fit(FLEET[:3])
