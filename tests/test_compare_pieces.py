"""The pieces of the comparison."""

import io
import sys

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import (
    load_folder,
    save_split,
)

from skmetaad import TaskCollection
from skmetaad._compare._baselines import column_scale, pyod_scores
from skmetaad._compare._methods import select
from skmetaad._compare._progress import Progress
from skmetaad._compare._report import table
from skmetaad._compare._run import Record, run
from skmetaad._compare._summary import interval, mean_ranks, summarize

# ------------------------------------------------------------------------------ pieces


def test_knn_at_one_row_ranks_by_the_distance_to_it():
    query = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]])
    for name in ("KNN", "KNN (nearest)"):
        scores, *_ = pyod_scores(name, np.zeros((1, 2)), query, 0)
        np.testing.assert_allclose(scores, [1.0, 5.0, 0.0])


def test_the_scale_of_the_fleet_leaves_outliers_and_flat_columns_out():
    X = np.array([[0.0, 7.0], [2.0, 7.0], [99.0, 99.0]])
    train = TaskCollection.from_arrays(X, [1, 1, -1], task=["a", "a", "a"])
    mean, std = column_scale(train)
    np.testing.assert_allclose(mean, [1.0, 7.0])
    np.testing.assert_allclose(std, [1.0, 1.0])


def test_names_are_found_whatever_their_case_and_knn_is_always_among_them():
    names = [m.name for m in select(["METAPROTOTYPE", "ecod", "knn-scaled"], [])]
    assert names == ["MetaPrototypeDetector", "ECOD", "KNN (fleet-scaled)", "KNN"]


def test_settings_go_to_the_detectors_that_have_them():
    methods = select(None, ["inner_steps=2", "n_iter=7", "activation=tanh"])
    params = {m.name: m.params for m in methods}
    assert params["MAMLAutoencoderDetector"]["inner_steps"] == 2
    assert params["MetaPrototypeDetector"] == {"n_iter": 7, "activation": "tanh"}
    assert params["KNN"] == {}


def record(task, method, auroc, seed=0):
    return Record(
        *("c", "1", task, method, 5, seed, auroc, 0.5),
        *(0.8, 0.7, 0.6, 0.5, 0.55, 0.1, 0.1, 0.0, 0.0, 0.0),
    )


def test_wins_are_counted_over_tasks_after_averaging_seeds():
    records = [record(t, "KNN", 0.5, s) for t in "abc" for s in (0, 1)]
    records += [record("a", "X", 0.9), record("a", "X", 0.3, 1)]
    records += [record("b", "X", 0.6), record("b", "X", 0.4, 1)]
    records += [record("c", "X", 0.4), record("c", "X", 0.4, 1)]
    summary = summarize(records, "auroc")["X", 5]
    assert (summary.wins, summary.ties, summary.losses) == (1, 1, 1)
    assert summary.mean == pytest.approx(0.5)
    assert summary.low <= summary.mean <= summary.high


def test_ranks_are_means_over_tasks_and_ties_share_theirs():
    values = {
        "a": {"x": 0.9, "y": 0.5},
        "b": {"x": 0.8, "y": 0.5},
        "c": {"x": 0.1, "y": 0.7},
        "d": {"x": 1.0},
    }
    ranks = mean_ranks(values)
    assert np.isnan(ranks.pop("d"))
    assert ranks == {"a": 1.75, "b": 2.25, "c": 2.0}


def test_the_interval_covers_the_mean_and_needs_two_tasks():
    x = np.random.default_rng(0).normal(size=200)
    low, high = interval(x)
    half = 1.96 * x.std() / np.sqrt(200)
    assert low == pytest.approx(x.mean() - half, abs=0.03)
    assert high == pytest.approx(x.mean() + half, abs=0.03)
    assert np.isnan(interval(x[:1])).all()


def test_settings_reach_one_detector_or_all():
    settings = ["n_iter=7", "siamese.n_iter = 9", "MetaSVDDDetector.n_support=(1, 2)"]
    names = ["Siamese", "MetaSVDD", "MetaPrototype"]
    params = {m.name: m.params for m in select(names, settings)}
    assert params == {
        "SiameseDetector": {"n_iter": 9},
        "MetaSVDDDetector": {"n_iter": 7, "n_support": (1, 2)},
        "MetaPrototypeDetector": {"n_iter": 7},
        "KNN": {},
    }


def test_tables_are_aligned():
    assert table([["a", "1"], ["bcd", "22"]], ["x", "y"]) == [
        "x     y",
        "---  --",
        "a     1",
        "bcd  22",
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    pytest.importorskip("tqdm")
    terminal, file, silent = Terminal(), io.StringIO(), Terminal()
    for stream, quiet in ((terminal, False), (file, False), (silent, True)):
        progress = Progress(2, stream, quiet)
        for _ in range(2):
            progress("fit", 1.5)
        progress.close()
    assert "\r" in terminal.getvalue()
    assert file.getvalue().splitlines()[1].startswith("2/2 after 0 s: fit (1.5 s)")
    assert silent.getvalue() == ""
    monkeypatch.setitem(sys.modules, "tqdm", None)
    plain = Terminal()
    Progress(1, plain)("fit", 0.1)
    assert plain.getvalue().startswith("1/1 after")


def test_a_task_that_a_method_fails_on_is_reported(tmp_path, monkeypatch):
    from skmetaad._compare import _run

    def fails_on_large_values(name, support, query, seed):
        if support.mean() > 1.5:
            raise ValueError("too large")
        return pyod_scores(name, support, query, seed)

    monkeypatch.setattr(_run, "pyod_scores", fails_on_large_values)
    collection = load_folder(save_split(tmp_path / "fleet"))
    options = dict(max_query=50, n_jobs=1, on_done=lambda *_: None)
    records, failures = run(collection, select(["KNN"], []), [5], [0], **options)
    assert {r.task for r in records} == {"m0", "m1"}
    assert {f.task for f in failures} == {"m2", "m3"}
