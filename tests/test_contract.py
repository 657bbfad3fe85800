"""What a user relies on: fit, adapt, score, thresholds, labels, bad input."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    LabelsIgnoredWarning,
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    MetaTrainingError,
    RelationNetworkDetector,
    Task,
    TaskCollection,
    UniversalDetector,
)
from skmetaad.core.train import meta_train
from skmetaad.datasets import make_fleet
from skmetaad.detectors._torch import TorchMetaDetector

BOTH = [MetaPrototypeDetector, MAMLAutoencoderDetector]


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=16, n_rows=120, n_features=6, random_state=0)


KINDS = {cls.__name__: cls() for cls in BOTH}
KINDS["mahalanobis"] = MAMLAutoencoderDetector(anomaly_score="mahalanobis")


@pytest.fixture(scope="module", params=KINDS)
def fitted(request, fleet):
    det = clone(KINDS[request.param]).set_params(n_iter=60, random_state=0)
    return det.fit(fleet[:10])


def inliers(task, n=10):
    return task.X[task.y == 1][:n]


def test_fit_on_arrays_equals_fit_on_collection(fleet):
    X, y, task = fleet[:6].arrays()
    a = MetaPrototypeDetector(n_iter=5, random_state=0).fit(X, y, task=task)
    b = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet[:6])
    c = MetaPrototypeDetector(n_iter=5, random_state=0).fit(list(fleet[:6]))
    scores = a.decision_function(X, task=task)
    np.testing.assert_array_equal(scores, b.decision_function(fleet[:6]))
    np.testing.assert_array_equal(scores, c.decision_function(X, task=task))


def test_after_fit_seen_tasks_and_the_reference_are_ready(fitted, fleet):
    X, _, task = fleet[:10].arrays()
    assert fitted.task_ids_ == fleet[:10].ids
    assert isinstance(fitted.offset_, float)
    assert fitted.task_offsets_.shape == (10,)
    own = fitted.decision_function(X, task=task)
    pooled = fitted.decision_function(X)
    assert own.shape == pooled.shape == (len(X),)
    assert not np.allclose(own, pooled)


def test_history_and_n_iter(fitted):
    assert fitted.n_iter_ == 60
    assert fitted.history_["loss"].shape == (60,)
    assert fitted.history_["loss"][-10:].mean() < fitted.history_["loss"][:10].mean()


def test_pipelines_score_where_tasks_are_routed(fleet):
    X, y, task = fleet[:6].arrays()
    det = MetaPrototypeDetector(n_iter=5, n_networks=1, random_state=0)
    with config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), det).fit(X, y, task=task)
        got = pipe.score(X, y, task=task)
    Z = StandardScaler().fit_transform(X)
    assert got == pytest.approx(clone(det).fit(Z, y, task=task).score(Z, y, task=task))
    with pytest.raises(ValueError, match="sample_weight"):
        det.fit(X, y, task=task).score(X, y, task=task, sample_weight=np.ones(len(X)))


def test_share_of_flagged_training_rows_is_contamination(fleet):
    X, _, _ = fleet[:4].arrays()
    det = MetaPrototypeDetector(n_iter=5, contamination=0.2, random_state=0).fit(X)
    assert (det.predict(X) == -1).mean() == pytest.approx(0.2, abs=2 / len(X))


def test_larger_contamination_flags_more(fleet):
    rows = inliers(fleet[12])
    flagged = []
    for contamination in (0.01, 0.4):
        det = MetaPrototypeDetector(n_iter=20, contamination=contamination)
        new = det.set_params(random_state=0).fit(fleet[:8]).adapt(rows)
        flagged.append((new.predict(fleet[12].X) == -1).sum())
    assert flagged[0] < flagged[1]


def test_fleet_offsets_follow_task_ids(fitted, fleet):
    new = fitted.adapt(fleet[10:13])
    assert new.task_ids_ == fleet[10:13].ids
    assert new.offset_.shape == (3,)
    X, _, task = fleet[10:13].arrays()
    code = np.repeat(np.arange(3), [len(t) for t in fleet[10:13]])
    np.testing.assert_allclose(
        new.decision_function(X, task=task),
        new.score_samples(X, task=task) - new.offset_[code],
    )


def test_fleet_without_task_is_an_error(fitted, fleet):
    new = fitted.adapt(fleet[10:13])
    with pytest.raises(ValueError, match="adapted to 3 tasks"):
        new.predict(fleet[10].X)


def test_adapted_detector_survives_pickle_and_memory_map(fitted, fleet, tmp_path):
    import joblib

    new = fitted.adapt(inliers(fleet[11]))
    again = pickle.loads(pickle.dumps(new))
    joblib.dump(new, tmp_path / "det.joblib")
    mapped = joblib.load(tmp_path / "det.joblib", mmap_mode="r")
    want = new.decision_function(fleet[11].X)
    np.testing.assert_array_equal(again.decision_function(fleet[11].X), want)
    np.testing.assert_array_equal(mapped.decision_function(fleet[11].X), want)


def test_float32_rows_and_fortran_order_are_fine(fitted, fleet):
    new, X = fitted.adapt(inliers(fleet[11])), fleet[11].X
    want = new.score_samples(X)
    np.testing.assert_array_equal(new.score_samples(np.asfortranarray(X)), want)
    np.testing.assert_allclose(new.score_samples(X.astype(np.float32)), want, atol=1e-3)


def test_data_frames_keep_their_column_names(fleet):
    columns = [f"c{i}" for i in range(6)]
    X, y, task = fleet[:4].arrays()
    det = MetaPrototypeDetector(n_iter=5, random_state=0)
    det.fit(pd.DataFrame(X, columns=columns), y, task=pd.Series(task))
    assert det.feature_names_in_.tolist() == columns
    with pytest.raises(ValueError, match="feature names"):
        det.adapt(pd.DataFrame(X[:5], columns=columns[::-1]))


def test_scores_do_not_depend_on_chunks(fitted, fleet, monkeypatch):
    new, X = fitted.adapt(fleet[10:13]), np.concatenate([t.X for t in fleet[10:13]])
    task = np.repeat(fleet[10:13].ids, 120)
    want = new.decision_function(X, task=task)
    monkeypatch.setattr(type(fitted), "_max_rows", 100)
    np.testing.assert_allclose(new.decision_function(X, task=task), want, rtol=1e-7)


def test_thinned_support_is_capped(fleet):
    det = MetaPrototypeDetector(n_iter=5, max_support=16, random_state=0)
    det.fit(fleet[:4])
    # 16 rows of each label at most.
    assert det.adapt(fleet[5].X).state_ == {}
    assert det.adapt(fleet[5].X).reference_["inlier"].shape == (1, 16)


def test_early_stopping_keeps_the_best_parameters():
    found, seen = iter([3.0, 1.0, 2.0, 2.5, 0.0]), []

    def validate(params):
        seen.append(params["weight"].item())
        return next(found)

    trained = meta_train(
        {"weight": torch.tensor(5.0)},
        lambda params, batches, progress: [params["weight"].square()],
        lambda: [],
        n_iter=9,
        learning_rate=0.1,
        validate=validate,
        every=1,
        patience=2,
    )
    assert trained.validation_loss == [3.0, 1.0, 2.0, 2.5]
    assert len(trained.loss) == 4 and len(set(seen)) == 4
    assert trained.params["weight"].item() == seen[1]


def test_early_stopping_measures_tasks_that_training_leaves_out(fleet, monkeypatch):
    seen, train = [], TorchMetaDetector._train

    def spy(self, core, ground, parts, held_out, *args):
        seen.append((set(np.concatenate(parts)), set(held_out)))
        return train(self, core, ground, parts, held_out, *args)

    monkeypatch.setattr(TorchMetaDetector, "_train", spy)
    det = MetaPrototypeDetector(
        n_iter=500,
        learning_rate=0.1,
        early_stopping=True,
        validation_fraction=0.5,
        n_iter_no_change=1,
        random_state=0,
    ).fit(fleet)
    [(trained, held_out)] = seen
    assert len(held_out) == 8 and not trained & held_out
    assert trained | held_out == set(range(16))
    loss = det.history_["validation_loss"]
    assert det.n_iter_ == 25 * len(loss) < 500
    assert loss[-1] >= loss[:-1].min()


def test_early_stopping_watches_supports_of_several_sizes(fleet, monkeypatch):
    sizes, loss = set(), RelationNetworkDetector._loss

    def spy(self, core, params, batches, progress):
        if not torch.is_grad_enabled():
            sizes.add(batches[0].support.shape[1])
        return loss(self, core, params, batches, progress)

    monkeypatch.setattr(RelationNetworkDetector, "_loss", spy)
    RelationNetworkDetector(
        n_support=(1, 50), n_iter=25, early_stopping=True, random_state=0
    ).fit(fleet)
    assert len(sizes) > 2


def test_early_stopping_needs_two_tasks(fleet):
    with pytest.raises(ValueError, match="early_stopping=True"):
        MetaPrototypeDetector(early_stopping=True).fit(fleet[0].X)


def test_callbacks_see_and_stop_the_iterations(fleet):
    class Stop:
        seen = 0

        def setup(self, estimator, context):
            self.max = context.max_subtasks

        def teardown(self, estimator, context):
            self.torn_down = True

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "meta-iteration":
                self.seen += 1
            return self.seen == 7

    stop = Stop()
    det = MetaPrototypeDetector(n_iter=30, random_state=0).set_callbacks(stop)
    det.fit(fleet[:4])
    assert (stop.max, stop.seen, stop.torn_down) == (30, 7, True)
    assert det.n_iter_ == 7


def test_progress_bar_of_scikit_learn_runs(fleet, capsys):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    det = MetaPrototypeDetector(n_iter=5, random_state=0)
    det.set_callbacks(ProgressBar()).fit(fleet[:4])
    assert "MetaPrototypeDetector" in capsys.readouterr().out


# ------------------------------------------------------------------------ bad input


def test_unfitted_adapt_raises(fleet):
    for method in ("adapt", "predict", "embed", "calibrate"):
        with pytest.raises(NotFittedError):
            getattr(MetaPrototypeDetector(), method)(fleet[0].X)


def _masked(X):
    return np.ma.masked_array(np.ones(len(X)), mask=np.arange(len(X)) == 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda d, X: d.adapt(np.empty((0, 6))), "0 sample"),
        (lambda d, X: d.adapt(X[:, :3]), "3 features"),
        (lambda d, X: d.adapt(np.where(X > 0, np.nan, X)), "NaN"),
        (lambda d, X: d.adapt(X, task=["a"]), "task has 1 ids"),
        (lambda d, X: d.adapt(X, task=[None] * len(X)), "missing id"),
        (lambda d, X: d.adapt(X, np.ones(3)), "y has 3 labels"),
        (lambda d, X: d.adapt(X, -np.ones(len(X))), "every row as an outlier"),
        (lambda d, X: d.adapt(X, np.r_[-1, 7, np.ones(len(X) - 2)]), "7"),
        (lambda d, X: d.predict(X, task=["nobody"] * len(X)), "nobody"),
        (lambda d, X: d.predict(X[:, 0]), "2D array"),
        (lambda d, X: d.adapt([["a"] * 6]), "text"),
        (lambda d, X: d.adapt(X.astype("M8[s]")), "holds times"),
        (lambda d, X: d.adapt(np.ma.masked_less(X, 0)), "X masks .* expected NaN"),
        (lambda d, X: d.adapt(X, task=_masked(X)), "task masks"),
        (lambda d, X: d.adapt(X, -_masked(X)), "y masks .* expected 0"),
        (lambda d, X: d.adapt(TaskCollection([Task("a", X)]), np.ones(3)), "y was"),
    ],
)
def test_bad_input_is_named(fitted, fleet, call, message):
    with pytest.raises(ValueError, match=message):
        call(fitted, fleet[10].X)


def test_ids_that_cannot_be_hashed_are_named(fitted, fleet):
    X = fleet[0].X
    ids = np.empty(len(X), object)
    ids[:] = [[0]] * len(X)
    with pytest.raises(TypeError, match="task: unhashable type"):
        fitted.adapt(X, task=ids)


def test_a_column_of_times_is_named(fleet):
    X = pd.DataFrame(fleet[0].X).assign(when=pd.Timestamp("2020-01-01"))
    with pytest.raises(ValueError, match="times in column 'when'"):
        MetaPrototypeDetector().fit(X)


def test_values_whose_squares_are_infinite_are_named(fleet):
    X, y, task = fleet.arrays()
    with pytest.raises(ValueError, match=r"X holds .*e\+19.* at most 1e\+150"):
        MetaPrototypeDetector().fit(1e198 * X, y, task=task)


@pytest.mark.parametrize("params", [{"max_support": 0}, {"contamination": 0.7}])
def test_parameters_set_after_fit_are_checked_by_adapt(fitted, fleet, params):
    changed = copy.deepcopy(fitted).set_params(**params)
    with pytest.raises(ValueError, match=f"{next(iter(params))!r} parameter"):
        changed.adapt(fleet[0].X)


def test_tables_of_other_libraries_and_single_precision_go_through(fitted, fleet):
    class Frame:  # as of polars: dtypes are a list
        dtypes = ["Float64"] * 6
        shape = fleet[0].X.shape

        def __array__(self, dtype=None, copy=None):
            return fleet[0].X

        def __len__(self):
            return len(fleet[0].X)

    scores = fitted.adapt(fleet[0].X).score_samples(fleet[0].X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        adapted = fitted.adapt(fleet[0].X.astype(np.float32))
        MetaPrototypeDetector(n_iter=1).fit(fleet[0].X.astype(np.float32))
        UniversalDetector().fit(fleet[0].X.astype(np.float32)).adapt(fleet[0].X)
    np.testing.assert_allclose(adapted.score_samples(Frame()), scores, rtol=1e-3)
    with pytest.raises(ValueError, match="2"):
        fitted.predict(pd.Series(np.ones(5)))


def test_calibrate_takes_no_word_for_balanced(fitted, fleet):
    with pytest.raises(TypeError, match="balanced='no'"):
        fitted.calibrate(fleet, balanced="no")


def test_text_column_of_a_frame_is_named(fleet):
    frame = pd.DataFrame({"cpu": [0.1, 0.2, 0.3], "host": ["a", "b", "c"]})
    with pytest.raises(ValueError, match="'host'"):
        MetaPrototypeDetector().fit(frame)


@pytest.mark.parametrize(
    "params",
    [
        {"n_support": (5, 2)},
        {"n_support": 0},
        {"hidden_sizes": ()},
        {"hidden_sizes": (8, -1)},
        {"contamination": 0.7},
        {"negatives": "none"},
        {"n_iter": 0},
    ],
)
@pytest.mark.parametrize("cls", BOTH)
def test_bad_parameters_are_named(cls, params, fleet):
    with pytest.raises(ValueError, match=next(iter(params))):
        cls(**params).fit(fleet[:3])


def test_negatives_that_are_not_there(fleet):
    X = fleet[0].X
    with pytest.raises(ValueError, match="negatives='labels'"):
        MetaPrototypeDetector(negatives="labels").fit(X)
    with pytest.raises(ValueError, match="negatives='other_tasks'"):
        MetaPrototypeDetector(negatives="other_tasks").fit(X)


@pytest.mark.parametrize("negatives", ["labels", "other_tasks", "synthetic"])
def test_each_source_of_negatives_trains(fleet, negatives):
    det = MetaPrototypeDetector(n_iter=5, negatives=negatives, random_state=0)
    assert np.isfinite(det.fit(fleet[:4]).history_["loss"]).all()


def test_tasks_of_one_row_among_others(fleet):
    X, _, _ = fleet[:2].arrays()
    task = np.array(["a"] * 120 + ["b"] * 119 + ["c"])
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(X, task=task)
    assert np.isfinite(det.decision_function(X, task=task)).all()


def test_only_tasks_of_one_row(fleet):
    X = fleet[0].X[:5]
    with pytest.raises(ValueError, match="2 rows"):
        MetaPrototypeDetector(n_iter=5).fit(X, task=np.arange(5))


def test_pyod_labels_warn_and_name_the_converter(fitted, fleet):
    X = inliers(fleet[10])
    with pytest.warns(LabelsIgnoredWarning, match="from_pyod_labels"):
        fitted.adapt(X, np.arange(10) % 2)


def test_divergence_is_a_named_error_and_leaves_nothing(fleet):
    det = MAMLAutoencoderDetector(inner_rate=1e30, learn_rates=False, n_iter=20)
    with pytest.raises(MetaTrainingError, match="learning_rate"):
        det.fit(fleet[:4])
    assert vars(det) == vars(clone(det))


def test_failed_refit_keeps_the_earlier_fit(fleet):
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet[:4])
    want = det.decision_function(fleet[0].X)
    with pytest.raises(ValueError, match="NaN"):
        det.fit(np.full((5, 3), np.nan))
    np.testing.assert_array_equal(det.decision_function(fleet[0].X), want)


def test_constant_and_huge_columns(fleet):
    X, y, task = fleet[:4].arrays()
    X = np.c_[X, np.full(len(X), 7.0), X[:, 0] * 1e25]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        det = MetaPrototypeDetector(n_iter=10, random_state=0).fit(X, y, task=task)
    assert np.isfinite(det.decision_function(X, task=task)).all()
    odd = X[:1].copy()
    odd[0, 6] = 8.0
    scores = det.score_samples(np.r_[X[:1], odd])
    assert scores[1] < scores[0]
