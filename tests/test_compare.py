"""The command `python -m skmetaad compare`."""

import csv
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from skmetaad import TaskCollection
from skmetaad.__main__ import main
from skmetaad._compare._audit import audit, row_hashes
from skmetaad._compare._data import Collection, Fold, HeldOut
from skmetaad._compare._folders import load
from skmetaad._compare._images import digits
from skmetaad._compare._methods import column_scale, pyod_scores, select
from skmetaad._compare._progress import Progress
from skmetaad._compare._report import table
from skmetaad._compare._run import Record, run
from skmetaad._compare._summary import interval, summarize
from skmetaad.utils import all_detectors

FAST = ["--seeds", "1", "--n-jobs", "1", "--set", "n_iter=5", "--quiet"]
OURS = [name for name, _ in all_detectors()]


def compare(*args):
    return main(["compare", *FAST, *map(str, args)])


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def save_split(folder, n_tasks=4, n_features=3, n_rows=60, seed=0):
    """Write tasks with a train and a test part; outliers lie far away."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_tasks):
        X_train = rng.normal(i, 1, (n_rows, n_features))
        X_test = rng.normal(i, 1, (n_rows, n_features))
        y_test = np.zeros(n_rows, np.int64)
        y_test[20:30] = 1
        X_test[20:30] += 6
        np.savez(folder / f"m{i}.npz", X_train=X_train, X_test=X_test, y_test=y_test)
    return folder


def save_single(folder, n_tasks=3, n_features=2, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n_tasks):
        y = (np.arange(40) % 4 == 0).astype(np.int64)
        X = rng.normal(i, 1, (40, n_features)) + 5 * y[:, None]
        np.savez(folder / f"t{i}.npz", X=X, y=y)
    return folder


def save_omniglot(folder, seed=0):
    rng = np.random.default_rng(seed)
    folder.mkdir()
    for name, n in (("background", 5), ("test", 4)):
        class_id = np.repeat(np.arange(n), 6)
        np.savez(
            folder / f"{name}.npz",
            X=rng.integers(0, 256, (6 * n, 4, 4), dtype=np.uint8),
            class_id=class_id,
            alphabet=np.where(class_id < 2, "a", "b"),
        )
    return folder


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    out = io.StringIO()
    stdout, sys.stdout = sys.stdout, out
    try:
        code = compare(
            *("--shots", "1,5", "--csv", folder / "out.csv"),
            *("--plot", folder / "out.png"),
        )
    finally:
        sys.stdout = stdout
    return SimpleNamespace(code=code, text=out.getvalue(), folder=folder)


# ------------------------------------------------------------------ digits, all methods


def test_digits_prints_every_method_at_every_k(digits_run):
    assert digits_run.code == 0
    one, five = digits_run.text.split("K = 5 ")
    for name in [*OURS, "KNN", "LOF", "IForest", "ECOD", "OCSVM", "KDE"]:
        assert f" {name}" in one
        assert f" {name}" in five
    assert "> KNN [" in one
    assert "KNN (fleet-scaled)" in one
    assert "KNN (nearest)" in one
    assert all(len(line) <= 130 for line in digits_run.text.splitlines())


def test_methods_are_sorted_by_mean_and_those_that_cannot_run_come_last(digits_run):
    block = digits_run.text.split("K = 1 ")[1].split("\n\n")[0].splitlines()[2:]
    assert block[-1].split()[0] == "LOF"
    assert block[-1].split()[-1] == "-"
    means = [float(line[28:].split()[0]) for line in block[:-1]]
    assert means == sorted(means, reverse=True)


def test_footnotes_tell_what_is_transductive_and_what_cannot_run(digits_run):
    assert "needs 2 support rows" in digits_run.text
    assert "Transductive" in digits_run.text


def test_the_leak_guard_finds_nothing_on_digits(digits_run):
    lines = [line for line in digits_run.text.splitlines() if "copies" in line]
    # Each task is judged on its fold, less the support: 5 tasks on each row.
    assert f" 0 of {2 * 5 * 1797 - 10 - 50:,} (0 %) query rows" in lines[0]
    assert lines[1].startswith("0 of 1,797 (0 %) rows of held-out tasks")


def test_csv_holds_one_row_per_task_method_k_and_seed(digits_run):
    rows = rows_of(digits_run.folder / "out.csv")
    assert list(rows[0]) == [
        *("collection", "fold", "task", "method", "shots", "seed"),
        *("auroc", "average_precision"),
        *("fit_seconds", "adapt_seconds", "score_seconds"),
    ]
    keys = {(r["fold"], r["task"], r["method"], r["shots"], r["seed"]) for r in rows}
    assert len(keys) == len(rows)
    n_methods = len(OURS) + 8
    assert len(rows) == 10 * n_methods * 2 - 10  # no LOF at K = 1
    assert {r["collection"] for r in rows} == {"digits"}
    assert all(0 <= float(r["auroc"]) <= 1 for r in rows)
    assert all(0 < float(r["average_precision"]) <= 1 for r in rows)
    assert all(float(r["fit_seconds"]) > 0 for r in rows if r["method"] in OURS)


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
    compare("--tasks", save_split(tmp_path / "fleet"), "--shots", "3")
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
    assert compare("--tasks", folder, "--shots", "1,10", "--folds", 2) == 0
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


def load_folder(folder, *, window=None, hard=False):
    return load(folder, n_folds=None, max_tasks=None, seed=0, window=window, hard=hard)


# --------------------------------------------------------------------------- leak guard


def test_the_audit_counts_planted_copies(tmp_path, capsys):
    folder = save_single(tmp_path / "c")
    first = dict(np.load(folder / "t0.npz"))
    second = dict(np.load(folder / "t1.npz"))
    second["X"][:8] = first["X"][:8]
    np.savez(folder / "t1.npz", **second)
    found = audit(load_folder(folder), [5], [0], 2000)
    assert (found.n_test, found.n_test_copies) == (120, 16)
    assert found.n_query_copies == 0
    assert compare("--tasks", folder, "--shots", "5") == 0
    assert "16 of 120 (13 %) rows of held-out tasks" in capsys.readouterr().out


def test_the_audit_counts_query_copies_of_the_support():
    X = np.zeros((6, 2))
    X[4:] = 1.0
    task = HeldOut("a", np.arange(2), np.arange(2, 4), np.arange(4, 6))
    train = TaskCollection.from_arrays(np.full((2, 2), -0.0), task=["b", "b"])
    collection = Collection("c", (Fold("1", train, X, (task,)),))
    found = audit(collection, [1], [0], 10)
    assert (found.n_query, found.n_query_copies) == (4, 2)
    # -0.0 counts as 0.0; the support row that was not drawn is not counted.
    assert (found.n_test, found.n_test_copies) == (5, 3)


def test_a_row_in_support_and_query_stops_the_run():
    task = HeldOut("a", np.arange(3), np.arange(3), np.arange(3, 6))
    train = TaskCollection.from_arrays(np.ones((2, 1)), task=["b", "b"])
    fold = Fold("1", train, np.arange(6.0)[:, None], (task,))
    with pytest.raises(RuntimeError, match="support and query"):
        audit(Collection("c", (fold,)), [1], [0], 10)


# ---------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--detectors", "nope,KNN"], "unknown detector 'nope'"),
        (["--detectors", ","], "unknown detector"),
        (["--tasks", "no/such/folder"], "no such directory"),
        (["--shots", "0"], "--shots: '0': expected a whole number from 1"),
        (["--shots", "1,x"], "expected a whole number from 1"),
        (["--shots", "5000"], "too many support rows for every task"),
        (["--seeds", "0"], "expected a whole number from 1"),
        (["--folds", "9"], "--folds 9: digits has 10 classes"),
        (["--n-jobs", "0"], "other than 0"),
        (["--window", "0"], "expected a whole number from 1"),
        (["--window", "5"], "--window does not go with --tasks digits"),
        (["--hard"], "--hard does not go with --tasks digits"),
        (["--set", "n_iter"], "expected PARAM=VALUE"),
        (["--set", "no_such=1"], "no_such: no detector compared has this parameter"),
        (["--detectors", "KDE"], "--set n_iter: sets parameters of our detectors"),
        (["--set", "n_iter=-3"], "'n_iter' parameter"),
        (["--csv", "no/such/folder/out.csv"], "no such directory"),
        (["--plot", "out.xyz"], "unknown kind of file"),
        (["--what"], "unrecognized arguments: --what"),
    ],
)
def test_bad_options_give_exit_code_2_and_one_line(args, message, capsys):
    assert compare(*args) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_a_missing_command_is_bad_input(capsys):
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().err


def broken_folders(folder):
    rng = np.random.default_rng(0)
    folder.mkdir()
    yield "no .npz file"
    (folder / "a.npz").write_bytes(b"not a zip file")
    yield "--tasks"
    np.savez(folder / "a.npz", Z=np.ones(3))
    yield "a.npz"
    np.savez(folder / "a.npz", X=np.ones((4, 2)), y=[0, 0, 0, 1])
    yield "no two tasks with the same number of columns"
    np.savez(folder / "b.npz", X=np.full((4, 2), np.nan), y=[0, 0, 0, 1])
    yield "'b' of"
    np.savez(folder / "b.npz", X_train=np.ones((4, 2)), X_test=np.ones((2, 2)))
    yield "mixes tasks"
    for name in "ab":
        np.savez(folder / f"{name}.npz", X=rng.normal(size=(4, 2)), y=[0, 0, 0, 0])
    yield "no held-out task with both inliers and outliers"


def test_unusable_directories_give_exit_code_2_and_say_why(tmp_path, capsys):
    folder = tmp_path / "broken"
    for message in broken_folders(folder):
        assert compare("--tasks", folder) == 2, message
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--window", "500"], "no series has as many as 500 rows"),
        (["--hard"], "--hard needs an omniglot directory"),
        (["--shots", "61"], "expected at most 60"),
    ],
)
def test_options_that_do_not_fit_a_directory(tmp_path, capsys, args, message):
    assert compare("--tasks", save_split(tmp_path / "fleet"), *args) == 2
    assert message in capsys.readouterr().err


def test_pyod_is_named_when_absent(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyod.models.knn", None)
    assert compare() == 2
    assert "install skmetaad[benchmarks]" in capsys.readouterr().err


def test_a_detector_that_fails_is_footnoted_and_gives_exit_code_1(tmp_path, capsys):
    folder = save_split(tmp_path / "fleet")
    args = ["--tasks", folder, "--shots", "3", "--set", "hidden_sizes=()"]
    assert compare(*args, "--detectors", "metaprototype") == 1
    out = capsys.readouterr().out
    assert "fit failed: " in out
    assert "> KNN" in out


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
    return Record("c", "1", task, method, 5, seed, auroc, 0.5, 0.0, 0.0, 0.0)


def test_wins_are_counted_over_tasks_after_averaging_seeds():
    records = [record(t, "KNN", 0.5, s) for t in "abc" for s in (0, 1)]
    records += [record("a", "X", 0.9), record("a", "X", 0.3, 1)]
    records += [record("b", "X", 0.6), record("b", "X", 0.4, 1)]
    records += [record("c", "X", 0.4), record("c", "X", 0.4, 1)]
    summary = summarize(records, "auroc")["X", 5]
    assert (summary.wins, summary.ties, summary.losses) == (1, 1, 1)
    assert summary.mean == pytest.approx(0.5)
    assert summary.low <= summary.mean <= summary.high


def test_the_interval_covers_the_mean_and_needs_two_tasks():
    x = np.random.default_rng(0).normal(size=200)
    low, high = interval(x, 0)
    half = 1.96 * x.std() / np.sqrt(200)
    assert low == pytest.approx(x.mean() - half, abs=0.03)
    assert high == pytest.approx(x.mean() + half, abs=0.03)
    assert np.isnan(interval(x[:1], 0)).all()


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
