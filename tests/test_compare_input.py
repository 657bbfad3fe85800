"""The comparison's leak guard, and input it cannot use."""

import sys

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import (
    compare,
    load_folder,
    save_single,
    save_split,
)

from skmetaad import TaskCollection
from skmetaad.__main__ import main
from skmetaad._compare import _command
from skmetaad._compare._audit import audit
from skmetaad._compare._data import Collection, Fold, HeldOut

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
    args = ["--tasks", folder, "--shots", "5", "--detectors", "metasvdd"]
    assert compare(*args) == 0
    assert "16 of 120 (13 %) rows of held-out tasks" in capsys.readouterr().out


def test_the_audit_counts_query_copies_of_the_support():
    X = np.zeros((6, 2))
    X[4:] = 1.0
    task = HeldOut("a", np.arange(2), np.arange(2, 4), np.arange(4, 6))
    train = TaskCollection.from_arrays(np.full((2, 2), -0.0), task=["b", "b"])
    collection = Collection("c", (Fold("1", train, X, (task,)),))
    found = audit(collection, [1], [0], 10)
    assert (found.n_query, found.n_query_copies) == (4, 2)
    assert found.n_query_outliers == 2
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
        (["--tasks", __file__], "is a file: expected 'digits' or a directory"),
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
        (["--set", "Siamese.no_such=1"], "SiameseDetector has no parameter 'no_such'"),
        (["--set", "LOF.n_neighbors=1"], "--set LOF.n_neighbors: expected a detector"),
        (["--detectors", "KDE"], "--set n_iter: sets parameters of our detectors"),
        (["--set", "n_iter=-3"], "'n_iter' parameter"),
        (["--csv", "no/such/folder/out.csv"], "no such directory"),
        (
            ["--html", "/proc/report.html"],
            "--html /proc/report.html: cannot be written",
        ),
        (["--contamination", "1"], "--contamination: '1': expected a share from 0"),
        (["--contamination", "few"], "'few': expected a share from 0"),
        (["--consecutive"], "--consecutive needs series with a train part"),
        (["--related", "^."], "--related does not go with --tasks digits"),
        (["--plot", "out.xyz"], "unknown kind of file"),
        (["--html", "no/such/folder/out.html"], "no such directory"),
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
        (["--related", "("], "--related '(': expected a regular expression"),
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


def test_series_shorter_than_a_window_are_named(tmp_path, capsys):
    folder = save_split(tmp_path / "c")
    short = dict(np.load(folder / "m3.npz"))
    np.savez(folder / "m3.npz", **{**short, "X_train": short["X_train"][:5]})
    args = ["--tasks", folder, "--window", "8:4", "--shots", "2"]
    assert compare(*args, "--detectors", "metasvdd") == 0
    assert "1 series are left out, as a part is shorter" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"text"])
def test_a_file_that_is_no_archive_is_named(tmp_path, capsys, content):
    folder = save_single(tmp_path / "c")
    (folder / "odd.npz").write_bytes(content)
    assert compare("--tasks", folder, "--detectors", "metasvdd") == 2
    assert "odd.npz is no archive" in capsys.readouterr().err


def test_tasks_with_nothing_to_train_on_beside_them_are_left_out(tmp_path, capsys):
    folder = save_single(tmp_path / "c", n_tasks=2)
    first = dict(np.load(folder / "t0.npz"))
    np.savez(folder / "t0.npz", X=first["X"], y=np.ones(40, np.int64))
    assert compare("--tasks", folder, "--detectors", "metasvdd") == 2
    assert "no held-out task with both" in capsys.readouterr().err


def test_a_run_without_a_result_draws_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(_command, "run", lambda *args, **options: ([], []))
    args = ["--tasks", save_split(tmp_path / "c"), "--detectors", "metasvdd"]
    assert compare(*args, "--html", tmp_path / "page.html") == 2
    assert "there is nothing to draw" in capsys.readouterr().err
