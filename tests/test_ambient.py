"""What users may do around the estimators, and data that few would think of."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from pyod.models.iforest import IForest

from skmetaad import (
    MAMLAutoencoderDetector,
    MAMLClassifierDetector,
    MetaPrototypeDetector,
    PyODDetector,
    Task,
    TaskCollection,
    UniversalDetector,
)
from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.codecs import DenseCodec
from skmetaad.datasets import make_fleet
from skmetaad.exceptions import MetaTrainingError
from skmetaad.inspection import (
    CriticalDifferenceDisplay,
    EmbeddingDisplay,
    TaskScoreDisplay,
    TimelineDisplay,
)

mpl.use("Agg")
QUICK = {"n_iter": 3, "n_calibration_networks": 0, "random_state": 0}
MODES = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize(
    "detector",
    [MAMLClassifierDetector, MetaPrototypeDetector],
    ids=lambda d: d.__name__,
)
def test_modes_of_torch_around_a_call_change_nothing(detector, mode):
    fleet = make_fleet(n_tasks=4, n_rows=30, random_state=0)

    def scored():
        adapted = detector(**QUICK).fit(fleet[:3]).adapt(fleet[3].X[:8])
        return adapted.decision_function(fleet[3].X)

    want = scored()
    with mode():
        found = scored()
    np.testing.assert_allclose(found, want, rtol=1e-6)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_few_columns_do_not_make_the_inner_loop_diverge(n_columns):
    task = np.repeat(np.arange(10), 30)
    for seed in range(6):
        X = np.random.default_rng(seed).normal(size=(300, n_columns))
        det = MAMLAutoencoderDetector(**{**QUICK, "n_iter": 20, "random_state": seed})
        scores = det.fit(X, task=task).adapt(X[:5]).decision_function(X)
        assert np.isfinite(scores).all()


def test_a_network_that_leaves_the_finite_numbers_calls_nothing_normal():
    core = MAMLAutoencoder(codec=DenseCodec((1, 4, 1)), inner_rate=1e12)
    params = core.init(torch.Generator().manual_seed(0))
    params |= {k: torch.ones(1) for k in ("within", "between", "total", "row_scale")}
    rows, ones = 3 * torch.ones(2, 1, 1), torch.ones(2, 1, dtype=torch.int8)
    state = core.adapt(params, rows, ones, ones.bool())
    assert torch.isnan(state["level"]).all()
    det = MAMLAutoencoderDetector(inner_rate=1e12, learn_rates=False, **QUICK)
    fleet = make_fleet(n_tasks=4, n_rows=30, random_state=0)
    with pytest.raises(MetaTrainingError):
        det.fit(fleet)


@pytest.mark.parametrize("n_rows", [10, 20])
def test_a_column_that_inliers_lack_is_taken_beside_longer_tasks(n_rows):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n_rows, 5)), np.ones(n_rows, int)
    y[-3:] = -1
    X[:-3, 4] = np.nan
    other = rng.normal(size=(n_rows, 5))
    task = ["a"] * n_rows + ["b"] * n_rows
    det = UniversalDetector().fit(rng.normal(size=(50, 5)))
    alone = det.adapt(X, y)
    both = det.adapt(np.r_[X, other], np.r_[y, np.ones(n_rows, int)], task=task)
    found = both.score_samples(X, task=task[:n_rows])
    np.testing.assert_allclose(found, alone.score_samples(X), rtol=1e-6)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_only_labelled_outlier_in_a_task_of_two_rows(balanced):
    X = np.random.default_rng(0).normal(size=(402, 3))
    task, y = np.repeat(np.arange(11), [40] * 10 + [2]), np.zeros(402, int)
    y[-1] = -1
    det = MetaPrototypeDetector(**QUICK).fit(X, task=task)
    assert np.isfinite(det.calibrate(X, y, task=task).offset_).all()
    if not balanced:
        assert np.isfinite(UniversalDetector().fit(X, y, task=task).offset_).all()


def test_a_seed_of_the_wrapped_detector_counts_where_none_is_given():
    X = np.random.default_rng(0).normal(size=(100, 3))

    def scores(**options):
        det = PyODDetector(IForest(random_state=42), **options)
        return det.fit(X).score_samples(X)

    assert (scores() == scores()).all()
    np.testing.assert_allclose(
        scores(), -IForest(random_state=42).fit(X).decision_scores_
    )
    assert (scores(random_state=0) != scores()).any()


def test_tasks_and_their_ids_are_in_a_collection():
    tasks = TaskCollection.from_arrays(np.eye(4), task=["a", "a", "b", "b"])
    assert "a" in tasks
    assert tasks["b"] in tasks
    assert "c" not in tasks
    assert Task("b", np.eye(4)[2:]) in tasks  # equal to one of them
    assert Task("a", np.eye(4)) not in tasks
    assert [1] not in tasks


@pytest.mark.parametrize("alias", [{"c": "red"}, {"linewidth": 2}, {"lw": 2}])
def test_displays_take_the_aliases_of_matplotlib(alias):
    rng = np.random.default_rng(0)
    scores = {m: rng.random(8).tolist() for m in "abc"}
    by_task = {m: dict(zip("tuvwxyz0", v, strict=True)) for m, v in scores.items()}
    TimelineDisplay.from_predictions(rng.normal(size=20), **alias)
    CriticalDifferenceDisplay.from_predictions(by_task, **alias)
    points = TaskScoreDisplay.from_predictions(by_task["a"], **alias).points_
    query = rng.normal(size=(6, 2))
    EmbeddingDisplay.from_predictions(query[:3], query, label="mine", **alias)
    if "c" in alias:
        assert mpl.colors.same_color(points.get_facecolor()[0], "red")


class Frame:
    """As polars has it: types in a list, times known by `is_temporal`."""

    class Times:
        @staticmethod
        def is_temporal():
            return True

    columns, shape = ("x", "when"), (2, 2)

    class Floats:
        @staticmethod
        def is_temporal():
            return False

    dtypes = [Floats, Times]  # noqa: RUF012

    def __array__(self, dtype=None, copy=None):
        return np.array([[0.0, 1e15], [1.0, 2e15]])


def test_times_of_polars_are_refused():
    with pytest.raises(ValueError, match="times in column 'when'"):
        UniversalDetector().fit(Frame())
