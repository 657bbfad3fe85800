"""Weight decay, clipped inner loops, adversarial meta-training, and divergence."""

import numpy as np
import pytest
import torch

from skmetaad import MAMLAutoencoderDetector, MAMLClassifierDetector, SiameseDetector
from skmetaad.core.augment import adversarial
from skmetaad.core.inner import inner_loop, shortening
from skmetaad.core.train import Batch
from skmetaad.datasets import make_fleet
from skmetaad.exceptions import MetaTrainingError

FLEET = make_fleet(n_tasks=12, n_rows=40, random_state=0)
BOTH = [MAMLAutoencoderDetector, MAMLClassifierDetector]


def test_weights_decay():
    decayed, kept = (
        SiameseDetector(n_iter=30, weight_decay=w, random_state=0).fit(FLEET).meta_
        for w in (30.0, 0.0)
    )
    weights = [np.abs(meta["net.weight0"]).mean() for meta in (decayed, kept)]
    assert weights[0] < 0.9 * weights[1]


def test_gradients_are_shortened_to_the_limit_and_never_lengthened():
    square = torch.tensor([0.0, 0.25, 4.0, 100.0])
    np.testing.assert_allclose(shortening(square, 1.0), [1, 1, 0.5, 0.1])


def test_each_task_is_clipped_on_its_own():
    start = {"a": torch.zeros(3), "b": torch.zeros(2, 2)}
    start = {name: value.requires_grad_() for name, value in start.items()}
    slope = torch.tensor([0.1, 10.0])
    rates = {name: torch.ones(1) for name in start}

    def loss_of(net, given):
        return slope * (net["a"].sum(dim=1) + net["b"].sum(dim=(1, 2)))

    (fast,) = inner_loop(start, loss_of, rates, 2, clip=1.0)
    moved = torch.cat([fast["a"], fast["b"].flatten(1)], dim=1).norm(dim=1)
    np.testing.assert_allclose(moved.detach(), [0.1 * 7**0.5, 1.0], rtol=1e-6)


def test_rows_move_to_where_the_loss_grows():
    g = torch.Generator().manual_seed(0)
    support, query = (
        torch.randn(2, 3, 4, generator=g),
        torch.randn(2, 5, 4, generator=g),
    )
    batch = Batch(support, torch.ones(2, 3), query, torch.ones(2, 5))
    step = torch.tensor([0.1, 0.2, 0.0, 0.3])

    def loss_of(moved):
        return (moved.support.mean(1, keepdim=True) - moved.query).square().sum()

    moved = adversarial(loss_of, batch, step)
    away = support.mean(1, keepdim=True) - query
    torch.testing.assert_close(moved.query, query - step * away.sign())
    expected = support + step * away.sum(1, keepdim=True).sign()
    torch.testing.assert_close(moved.support, expected)
    assert loss_of(moved) > loss_of(batch)


@pytest.mark.parametrize("cls", BOTH)
def test_options_change_the_training_and_keep_it_reproducible(cls):
    def trained(**params):
        return cls(n_iter=5, random_state=0, **params).fit(FLEET).history_["loss"]

    plain = trained()
    for params in ({"adversarial_epsilon": 0.3}, {"inner_clip": 0.01}):
        changed = trained(**params)
        assert (changed != plain).any()
        np.testing.assert_array_equal(changed, trained(**params))
    assert trained(adversarial_epsilon=0.3)[0] > plain[0]


@pytest.mark.parametrize("cls", BOTH)
def test_validation_rows_are_not_moved(cls):
    params = {"n_iter": 1, "early_stopping": True, "random_state": 0}
    det = cls(adversarial_epsilon=50.0, learning_rate=1e-12, **params).fit(FLEET)
    plain = cls(learning_rate=1e-12, **params).fit(FLEET)
    found, expected = det.history_, plain.history_
    np.testing.assert_allclose(
        found["validation_loss"], expected["validation_loss"], rtol=1e-4
    )
    assert found["loss"][0] > expected["loss"][0]


def test_the_task_on_which_the_inner_loop_diverges_is_named():
    det = MAMLAutoencoderDetector(
        inner_rate=1e18, inner_steps=5, activation="silu", n_iter=5, random_state=0
    )
    with pytest.raises(MetaTrainingError, match="adapting to task .*inner_rate"):
        det.fit(FLEET)
    assert not hasattr(det, "meta_")
    assert not hasattr(det, "task_ids_")


def test_a_new_task_on_which_the_inner_loop_diverges_is_named():
    det = MAMLAutoencoderDetector(n_iter=5, random_state=0).fit(FLEET)
    for name in det.meta_:
        if name.startswith("rate."):
            det.meta_[name] = det.meta_[name] + 60.0
    X = FLEET[0].X[:10]
    with pytest.raises(ValueError, match="adapting to task 'new' .* not finite"):
        det.adapt(X, task=np.repeat("new", 10))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"inner_clip": 0}, "inner_clip"),
        ({"adversarial_epsilon": -1}, "adversarial_epsilon"),
    ],
)
@pytest.mark.parametrize("cls", BOTH)
def test_values_out_of_range_are_named(cls, params, message):
    with pytest.raises(ValueError, match=message):
        cls(**params).fit(FLEET)
