"""The command `python -m skmetaad compare`: what it prints and writes."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import (
    OURS,
    compare,
    load_folder,
    rows_of,
    save_omniglot,
    save_single,
    save_split,
)

from skmetaad import MetaSVDDDetector
from skmetaad._compare._audit import row_hashes
from skmetaad._compare._baselines import PYOD, make_pyod
from skmetaad._compare._data import HeldOut
from skmetaad._compare._images import digits
from skmetaad._compare._methods import Method


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    out = io.StringIO()
    stdout, sys.stdout = sys.stdout, out
    try:
        code = compare(
            *("--shots", "1,5", "--set", "n_iter=50", "--csv", folder / "out.csv"),
            *("--set", "n_calibration_networks=0"),
            *("--plot", folder / "out.png"),
        )
    finally:
        sys.stdout = stdout
    return SimpleNamespace(code=code, text=out.getvalue(), folder=folder)


# ------------------------------------------------------------------ digits, all methods


@pytest.mark.slow
def test_digits_prints_every_method_at_every_k(digits_run):
    assert digits_run.code == 0
    one, five = digits_run.text.split("K = 5 ")
    for name in [*OURS, *PYOD]:
        assert f" {name}" in one
        assert f" {name}" in five
    assert "> KNN [" in one
    assert "KNN (fleet-scaled)" in one
    assert "KNN (nearest)" in one
    assert all(len(line) <= 130 for line in digits_run.text.splitlines())


@pytest.mark.slow
def test_methods_are_sorted_by_mean_and_those_that_cannot_run_come_last(digits_run):
    block = digits_run.text.split("K = 1 ")[1].split("\n\n")[0].splitlines()[2:]
    assert {line.split()[0] for line in block[-4:]} == {"LOF", "PCA", "INNE", "GMM"}
    assert all(line.split()[-1] == "-" for line in block[-4:])
    means = [float(line[28:].split()[0]) for line in block[:-4]]
    assert means == sorted(means, reverse=True)


@pytest.mark.slow
def test_footnotes_tell_what_is_transductive_and_what_cannot_run(digits_run):
    assert "needs 2 support rows" in digits_run.text
    assert "Transductive" in digits_run.text


@pytest.mark.slow
def test_the_leak_guard_finds_nothing_on_digits(digits_run):
    lines = [line for line in digits_run.text.splitlines() if "copies" in line]
    # Each task is judged on its fold, less the support: 5 tasks on each row.
    assert f" 0 of {2 * 5 * 1797 - 10 - 50:,} (0 %) query rows" in lines[0]
    assert lines[1].startswith("0 of 1,797 (0 %) rows of held-out tasks")


@pytest.mark.slow
def test_csv_holds_one_row_per_task_method_k_and_seed(digits_run):
    rows = rows_of(digits_run.folder / "out.csv")
    assert list(rows[0]) == [
        *("collection", "fold", "task", "method", "shots", "seed"),
        *("auroc", "average_precision"),
        *("accuracy", "balanced_accuracy", "precision", "recall", "f1"),
        *("false_alarm_rate", "contamination"),
        *("fit_seconds", "adapt_seconds", "score_seconds", "versions"),
    ]
    keys = {(r["fold"], r["task"], r["method"], r["shots"], r["seed"]) for r in rows}
    assert len(keys) == len(rows)
    n_methods = len(OURS) + len(PYOD) + 3
    assert len(rows) == 10 * n_methods * 2 - 40  # four need two rows
    assert {r["collection"] for r in rows} == {"digits"}
    assert all(0 <= float(r["auroc"]) <= 1 for r in rows)
    assert all(0 < float(r["average_precision"]) <= 1 for r in rows)
    assert all(float(r["fit_seconds"]) > 0 for r in rows if r["method"] in OURS)


@pytest.mark.slow
def test_plot_is_written(digits_run):
    assert (digits_run.folder / "out.png").read_bytes().startswith(b"\x89PNG")


def test_support_and_query_are_apart_and_nested_over_k():
    for fold in digits(n_folds=2, max_tasks=None, seed=0).folds:
        for task in fold.held_out:
            small, _, _ = task.draw(5, 0, 2000)
            support, query, y = task.draw(10, 0, 2000)
            assert set(small) <= set(support)
            assert not set(support) & set(query)
            assert np.isin(support, task.pool).all()
            assert (np.isin(query, task.outliers) == (y == -1)).all()
            assert not set(support) == set(task.draw(10, 1, 2000)[0])


def test_labelled_outliers_leave_the_query_and_one_at_least():
    rows = np.arange(40)
    task = HeldOut("a", rows[:20], rows[20:32], rows[32:])
    for asked, got in ((0, 0), (3, 3), (50, 7)):
        support, query, y = task.draw(5, 0, 2000, asked)
        assert np.isin(support, task.outliers).tolist() == [False] * 5 + [True] * got
        assert (y == -1).sum() == 8 - got
        assert not set(support) & set(query)


@pytest.mark.slow
def test_our_detectors_learn_from_labelled_outliers(tmp_path, capsys):
    folder = save_split(tmp_path / "fleet")
    args = ["--tasks", folder, "--shots", "5", "--outliers", "2"]
    assert compare(*args, "--detectors", "ours") == 0
    out = capsys.readouterr().out
    assert "2 labelled outlier(s) beside the K rows" in out
    assert "MetaPrototypeDetector" in out


def test_hidden_outliers_take_the_place_of_support_rows():
    rows = np.arange(40)
    task = HeldOut("a", rows[:20], rows[20:32], rows[32:])
    clean, *_ = task.draw(10, 0, 2000)
    support, query, y = task.draw(10, 0, 2000, 1, 0.3)
    assert np.isin(support, task.outliers).tolist() == [False] * 7 + [True] * 4
    assert set(support[:7]) <= set(clean)
    assert ((y == 1).sum(), (y == -1).sum()) == (12, 4)
    assert not set(support) & set(query)
    assert set(task.draw(5, 0, 2000, 1, 0.3)[0]) <= set(support)
    for share in (0.0, 0.04):
        np.testing.assert_array_equal(task.draw(10, 0, 2000, 0, share)[0], clean)


def test_nobody_is_told_of_hidden_outliers(tmp_path, capsys):
    folder, path = save_split(tmp_path / "fleet"), tmp_path / "out.csv"
    args = ["--tasks", folder, "--shots", "10", "--contamination", "0.2"]
    assert compare(*args, "--detectors", "metasvdd", "--csv", path) == 0
    assert "of the K support rows, 20% (to whole rows)" in capsys.readouterr().out
    fold = load_folder(folder).with_outliers(0, 0.2).folds[0]
    for task, support, query, y in fold.drawn(10, 0, 2000):
        knn = make_pyod("KNN", 10, 0).fit(fold.X[support])
        scores = knn.decision_function(fold.X[query])
        shown = {r["task"]: r["auroc"] for r in rows_of(path) if r["method"] == "KNN"}
        assert float(shown[task.id]) == pytest.approx(roc_auc_score(y == -1, scores))


def test_consecutive_supports_are_neighbours_in_the_train_part(tmp_path, capsys):
    rows = np.arange(40)
    task = HeldOut("a", rows[:20], rows[20:32], rows[32:])
    begins, apart = set(), task.draw(4, 0, 2000)[1:]
    for seed in range(300):
        few, many = (task.draw(k, seed, 2000, consecutive=True)[0] for k in (4, 9))
        np.testing.assert_array_equal(few, few[0] + np.arange(4))
        assert set(few) <= set(many) == set(range(many[0], many[0] + 9)) <= set(rows)
        begins.add(few[0])
    assert begins == set(range(17))
    for found, want in zip(
        task.draw(4, 0, 2000, consecutive=True)[1:], apart, strict=True
    ):
        np.testing.assert_array_equal(found, want)
    folder, path = save_split(tmp_path / "fleet"), tmp_path / "out.csv"
    args = ["--tasks", folder, "--shots", "5", "--consecutive", "--csv", path]
    assert compare(*args, "--detectors", "metasvdd", "--set", "n_iter=5") == 0
    out = capsys.readouterr().out
    assert "chronological='consecutive' is set" in out
    assert "chronological=True is set" not in out
    fold = load_folder(folder).with_consecutive().folds[0]
    for task, support, query, y in fold.drawn(5, 0, 2000):
        np.testing.assert_array_equal(support, support[0] + np.arange(5))
        knn = make_pyod("KNN", 5, 0).fit(fold.X[support])
        scores = knn.decision_function(fold.X[query])
        shown = {r["task"]: r["auroc"] for r in rows_of(path) if r["method"] == "KNN"}
        assert float(shown[task.id]) == pytest.approx(roc_auc_score(y == -1, scores))
    det = Method("MetaSVDDDetector", MetaSVDDDetector).made(0, fold.in_order)
    assert det.chronological == "consecutive"


def test_related_tasks_are_held_out_together(tmp_path, capsys):
    for name in ("north", "south", "west"):
        save_single(tmp_path / "c" / name, n_tasks=2)
    collection = load_folder(tmp_path / "c", related="^[a-z]+")
    assert len(collection.folds) == 3
    for fold in collection.folds:
        families = [
            {i.split("/")[0] for i in ids} for ids in (fold.train.ids, names(fold))
        ]
        assert [len(f) for f in families] == [2, 1]
        assert families[0].isdisjoint(families[1])
    args = ["--tasks", tmp_path / "c", "--shots", "3", "--detectors", "metasvdd"]
    assert compare(*args, "--related", "^[a-z]+") == 0
    assert "held out together (--related): 3 families" in capsys.readouterr().out
    assert compare(*args, "--related", "^") == 2
    assert "--related joins them all" in capsys.readouterr().err


def names(fold):
    return [task.id for task in fold.held_out]


def test_max_query_keeps_outliers_up_to_half():
    rows = np.arange(100)
    few = HeldOut("a", rows[:10], rows[10:90], rows[90:])
    _, query, y = few.draw(5, 0, 40)
    assert (len(query), (y == -1).sum()) == (40, 10)
    many = HeldOut("a", rows[:10], rows[10:50], rows[50:])
    _, query, y = many.draw(5, 0, 40)
    assert (len(query), (y == -1).sum()) == (40, 20)


@pytest.mark.slow
def test_same_results_whatever_the_number_of_processes(tmp_path):
    tasks = save_split(tmp_path / "fleet")
    args = ["--tasks", tasks, "--shots", "3", "--detectors", "metaprototype,iforest"]
    for n_jobs in (1, 2):
        assert compare(*args, "--n-jobs", n_jobs, "--csv", tmp_path / f"{n_jobs}") == 0
    one, two = rows_of(tmp_path / "1"), rows_of(tmp_path / "2")
    assert [r["auroc"] for r in one] == [r["auroc"] for r in two]


def test_the_main_process_keeps_its_number_of_threads(tmp_path):
    import torch

    before = torch.get_num_threads()
    folder = save_split(tmp_path / "fleet")
    compare("--tasks", folder, "--shots", "3", "--detectors", "metasvdd,pyod")
    assert torch.get_num_threads() == before


# ------------------------------------------------------------------------- directories


def test_tasks_with_a_train_part_give_the_support_from_it(tmp_path, capsys):
    folder = save_split(tmp_path / "fleet")
    collection = load_folder(folder)
    assert len(collection.folds) == 4
    for fold in collection.folds:
        assert len(fold.train) == 3
        assert {task.id for task in fold.held_out}.isdisjoint(fold.train.ids)
        assert all((task.y == -1).sum() == 10 for task in fold.train)
        for task in fold.held_out:
            X_train = np.load(folder / f"{task.id}.npz")["X_train"]
            support, query, y = task.draw(5, 0, 2000)
            assert set(row_hashes(fold.X[support])) <= set(row_hashes(X_train))
            assert (len(query), (y == -1).sum()) == (60, 10)
    args = ["--tasks", folder, "--shots", "1,10", "--folds", 2]
    assert compare(*args, "--detectors", "ours") == 0
    out = capsys.readouterr().out
    assert "4 held-out tasks in 2 folds" in out
    assert "> KNN" in out


def test_tasks_without_parts_and_groups_of_different_width(tmp_path, capsys):
    save_single(tmp_path / "c" / "narrow")
    save_single(tmp_path / "c" / "wide", n_features=4)
    save_single(tmp_path / "c" / "odd", n_tasks=1, n_features=9)
    detectors = ["--detectors", "MetaPrototypeDetector"]
    path = tmp_path / "out.csv"
    tasks = tmp_path / "c"
    assert compare("--tasks", tasks, "--shots", "5", *detectors, "--csv", path) == 0
    out = capsys.readouterr().out
    assert "6 held-out tasks in 6 folds" in out
    assert "1 of 7 tasks are left out" in out
    assert "odd/t0" in out
    assert {r["method"] for r in rows_of(path)} == {"MetaPrototypeDetector", "KNN"}
    assert {r["fold"] for r in rows_of(path)} >= {"2 columns, 1", "4 columns, 1"}


def test_omniglot_trains_on_background_and_tests_on_test(tmp_path, capsys):
    folder = save_omniglot(tmp_path / "omniglot")
    fold = load_folder(folder).folds[0]
    assert len(fold.train) == 5
    assert fold.X.shape == (24, 16)
    assert fold.X.min() >= 0 and fold.X.max() <= 1
    support, query, y = fold.held_out[0].draw(2, 0, 2000)
    assert ((y == 1).sum(), (y == -1).sum()) == (4, 4)
    hard = load_folder(folder, hard=True).folds[0].held_out[0]
    assert set(hard.outliers) == set(range(6, 12))
    args = ["--tasks", folder, "--shots", "1,50", "--max-tasks", "3", "--hard"]
    assert compare(*args) == 0
    out = capsys.readouterr().out
    assert "3 held-out tasks" in out
    assert "K = 50 is left out" in out


def test_windows_of_series(tmp_path, capsys):
    folder = save_split(tmp_path / "fleet")
    args = ["--tasks", folder, "--window", "4:2", "--shots", "2"]
    assert compare(*args, "--detectors", "metaprototype,LOF", "--folds", "2") == 0
    assert "> KNN" in capsys.readouterr().out
    fold = load_folder(folder, window=(4, 2)).folds[0]
    assert fold.X.shape[1] == 12
    # Steps 20..29 are outliers: windows that start at 18, 20, ..., 28 touch one.
    assert [len(task.outliers) for task in fold.held_out] == [6]


def test_query_windows_do_not_overlap_support_windows(tmp_path):
    folder = save_single(tmp_path / "c")
    for fold in load_folder(folder, window=(4, 1)).folds:
        assert not fold.held_out  # every window of 4 steps has an outlier
    for fold in load_folder(folder, window=(2, 1)).folds:
        for task in fold.held_out:
            support, query, _ = task.draw(2, 0, 2000)
            gap = np.abs(task.start[query][:, None] - task.start[support])
            assert len(query)
            assert gap.min() >= 2
