"""Where torch computes: what is refused, and that a GPU gives what the CPU gives."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score

from skmetaad import (
    DeepClusteringDetector,
    GraphNetworkDetector,
    MAMLAutoencoderDetector,
    MAMLClassifierDetector,
    MatchingNetworkDetector,
    MetaGANDetector,
    MetaPrototypeDetector,
    MetaSVDDDetector,
    RelationNetworkDetector,
    SiameseDetector,
    UniversalDetector,
)
from skmetaad.datasets import make_fleet
from skmetaad.utils import all_detectors
from skmetaad.utils.estimator_checks import check_meta_detector

QUICK = {"n_iter": 3, "n_calibration_networks": 0, "random_state": 0}


class Gated(torch.nn.Module):
    """An encoder that makes a parameter by itself."""

    def __init__(self, n_features):
        super().__init__()
        self.linear = torch.nn.Linear(n_features, 4)
        self.gate = torch.nn.Parameter(torch.randn(4))

    def forward(self, x):
        return self.linear(x) * self.gate


CASES = {
    "prototype": (MetaPrototypeDetector, {"n_cohort": 4}),
    "prototype conv4": (
        MetaPrototypeDetector,
        {"encoder": "conv4", "augment": "distort", "average_shifts": True},
    ),
    "prototype batch": (
        MetaPrototypeDetector,
        {"negatives": "batch", "standardize": False, "early_stopping": True},
    ),
    "prototype module": (MetaPrototypeDetector, {"encoder": Gated}),
    "matching": (MatchingNetworkDetector, {}),
    "relation": (RelationNetworkDetector, {"augment": "noise"}),
    "siamese": (SiameseDetector, {"negatives": "synthetic"}),
    "graph": (GraphNetworkDetector, {}),
    "svdd": (MetaSVDDDetector, {}),
    "clustering": (DeepClusteringDetector, {}),
    "gan": (MetaGANDetector, {"variant": "bigan"}),
    "classifier": (MAMLClassifierDetector, {}),
    "classifier conv4": (MAMLClassifierDetector, {"encoder": "conv4"}),
    "second order": (
        MAMLAutoencoderDetector,
        {"algorithm": "maml", "inner_clip": 1.0, "checkpoint_inner": True},
    ),
    "meta-sgd": (MAMLAutoencoderDetector, {"algorithm": "meta-sgd"}),
    "reptile": (MAMLAutoencoderDetector, {"algorithm": "reptile"}),
    "variational": (
        MAMLAutoencoderDetector,
        {"variant": "variational", "anomaly_score": "reconstruction"},
    ),
    "adversarial": (
        MAMLAutoencoderDetector,
        {"variant": "adversarial", "adversarial_epsilon": 0.1},
    ),
    "convolutional": (
        MAMLAutoencoderDetector,
        {"architecture": "conv", "hidden_sizes": (4, 8, 6), "n_networks": 2},
    ),
    "universal": (UniversalDetector, {}),
}


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=12, n_rows=60, n_features=64, random_state=0)


def made(case):
    cls, options = CASES[case]
    if cls is UniversalDetector:
        return cls(random_state=0)
    if "conv4" in options.values() or "conv" in options.values():
        options = {**options, "image_shape": (8, 8)}
    return cls(**{**QUICK, **options})


def test_detectors_that_train_or_are_trained_have_a_device():
    given = {name for name, cls in all_detectors() if "device" in cls().get_params()}
    assert given == {cls.__name__ for cls, _ in CASES.values()}


@pytest.mark.parametrize("device", ["gpu", "hpu", "cuda:99", torch.device("meta")])
@pytest.mark.parametrize("detector", [MetaPrototypeDetector, UniversalDetector])
def test_devices_that_cannot_be_used_are_named(detector, device, fleet):
    X = fleet[0].X
    det = detector(device=device)
    with pytest.raises(ValueError, match="device=.*cannot be used"):
        det.fit(X)
    assert not hasattr(det, "meta_")
    fitted = detector(**QUICK if detector is MetaPrototypeDetector else {}).fit(X)
    with pytest.raises(ValueError, match="device=.*cannot be used"):
        fitted.set_params(device=device).score_samples(X)


def test_other_kinds_of_device_are_refused(fleet):
    with pytest.raises(ValueError, match="'device' parameter"):
        MetaPrototypeDetector(device=0).fit(fleet)


def test_a_device_of_torch_will_do(fleet):
    det = MetaPrototypeDetector(device=torch.device("cpu"), **QUICK)
    assert clone(det).fit(fleet).device == torch.device("cpu")


@pytest.mark.parametrize("detector", [MetaPrototypeDetector, MAMLAutoencoderDetector])
def test_defaults_of_torch_change_nothing(detector, fleet, monkeypatch):
    def scored():
        adapted = detector(**QUICK).fit(fleet[:8]).adapt(fleet[8].X[:10])
        return adapted.decision_function(fleet[8].X)

    want = scored()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        with monkeypatch.context() as kept:  # other threads would see it changed
            kept.delattr(torch, "set_default_dtype")
            found = scored()
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    np.testing.assert_array_equal(found, want)


def test_modules_are_made_without_weights_whatever_the_default_device(fleet):
    before = torch.get_rng_state()
    try:
        torch.set_default_device("meta")
        det = MetaPrototypeDetector(encoder=Gated, **QUICK).fit(fleet[:4])
    finally:
        torch.set_default_device(None)
    want = MetaPrototypeDetector(encoder=Gated, **QUICK).fit(fleet[:4])
    for name, value in want.meta_.items():
        np.testing.assert_array_equal(det.meta_[name], value)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(autouse=True)
def convolutions_in_full(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@gpu
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_scores_as_the_cpu_does(case, fleet):
    det = made(case).fit(fleet[:8])
    new = fleet[8:].arrays()

    def scored(device):
        adapted = (
            clone_fitted(det).set_params(device=device).adapt(*new[:2], task=new[2])
        )
        return adapted.score_samples(new[0], task=new[2]), adapted.task_offsets_

    for got, want in zip(scored("cuda"), scored("cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-3)


def clone_fitted(det):
    return pickle.loads(pickle.dumps(det))


@gpu
@pytest.mark.parametrize("case", CASES)
def test_a_gpu_learns_what_the_cpu_learns(case, fleet):
    on_cpu, on_gpu = (
        made(case).set_params(device=device).fit(fleet[:8])
        for device in ("cpu", "auto")
    )
    if "universal" not in case:
        np.testing.assert_allclose(
            on_gpu.history_["loss"], on_cpu.history_["loss"], rtol=2e-2, atol=1e-3
        )
    for value in on_gpu.meta_.values():
        assert isinstance(value, np.ndarray)
    new = fleet[8]
    here = clone_fitted(on_gpu).set_params(device="cpu")
    aucs = [
        roc_auc_score(new.y, det.adapt(new.X[new.y == 1][:10]).score_samples(new.X))
        for det in (on_cpu, on_gpu, here)
    ]
    assert aucs[1] == pytest.approx(aucs[2], abs=0.01)
    assert aucs[0] == pytest.approx(aucs[1], abs=0.1)


@gpu
@pytest.mark.parametrize("detector", [MetaPrototypeDetector, MAMLAutoencoderDetector])
def test_the_contract_holds_on_a_gpu(detector):
    check_meta_detector(detector(**QUICK, device="cuda"))


@gpu
def test_training_of_a_table_detector_on_a_gpu():
    tasks = make_fleet(n_tasks=4, n_rows=80, random_state=0)
    options = {"n_iter": 5, "n_draws": 2, "n_members": 1}
    det = UniversalDetector(device="cuda", random_state=0).meta_fit(tasks, **options)
    scores = det.fit(tasks[0].X).score_samples(tasks[0].X)
    assert roc_auc_score(tasks[0].y, scores) > 0.5


@gpu
def test_explanations_and_embeddings_from_a_gpu(fleet):
    X = fleet[0].X
    on_cpu, on_gpu = (
        UniversalDetector(device=device, n_jobs=2).fit(X).explain(X).groups
        for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=1e-3, atol=1e-3)
    det = MetaPrototypeDetector(**QUICK).fit(fleet)
    want = det.embed(X)
    np.testing.assert_allclose(det.set_params(device="cuda").embed(X), want, rtol=1e-3)
