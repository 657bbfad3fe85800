"""Episodes that are each other's negatives: tasks left out, and networks' shares."""

import numpy as np
import pytest
import torch

from skmetaad import MatchingNetworkDetector, MetaPrototypeDetector
from skmetaad.core import train
from skmetaad.datasets import make_fleet

BATCH = {"negatives": "batch", "standardize": False, "random_state": 0}


def test_held_out_tasks_are_validated_on_as_a_whole():
    # 17 of 85 tasks are held out, one more than a meta-batch has.
    fleet = make_fleet(n_tasks=85, n_rows=20, n_features=3, random_state=0)
    det = MatchingNetworkDetector(early_stopping=True, n_iter=50, **BATCH).fit(fleet)
    assert np.isfinite(det.history_["validation_loss"]).all()


@pytest.mark.parametrize(
    ("n_tasks", "params"), [(2, {}), (3, {"early_stopping": True, "n_networks": 1})]
)
def test_a_task_alone_has_no_negatives(n_tasks, params):
    det = MetaPrototypeDetector(n_iter=3, **BATCH, **params)
    fleet = make_fleet(n_tasks=n_tasks, n_features=3, random_state=0)
    with pytest.raises(ValueError, match="negatives='batch' leaves 1 task"):
        det.fit(fleet)


def test_validation_without_a_finite_loss_is_an_error():
    weight = torch.tensor(1.0)
    with pytest.raises(train.NotFinite, match="validation loss is nan"):
        train.meta_train(
            {"weight": weight},
            lambda params, batches, progress: [params["weight"].square()],
            lambda: [],
            n_iter=2,
            learning_rate=0.1,
            validate=lambda params: float("nan"),
        )
