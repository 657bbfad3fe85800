"""A comparison that is broken off goes on where it was, and reuses nothing else."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import FAST, compare, rows_of, save_split

from skmetaad._compare import _run


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    return save_split(tmp_path_factory.mktemp("cache") / "fleet")


def arguments(tasks, folder, name, *more):
    return [
        *("--tasks", tasks, "--shots", "2,5", "--detectors", "metasvdd,iforest"),
        *("--folds", "2", "--cache", folder / "cache", "--csv", folder / name, *more),
    ]


def scores(path):
    keys = ("fold", "task", "method", "shots", "seed", "auroc", "average_precision")
    return [tuple(row[key] for key in keys) for row in rows_of(path)]


def count_cells(monkeypatch):
    ran = []
    cell = _run._cell

    def counted(i, *args):
        ran.append(i)
        return cell(i, *args)

    monkeypatch.setattr(_run, "_cell", counted)
    return ran


def test_finished_cells_are_not_run_again(tasks, tmp_path, monkeypatch, capsys):
    ran = count_cells(monkeypatch)
    assert compare(*arguments(tasks, tmp_path, "one.csv")) == 0
    assert len(ran) == 6  # three methods on two folds
    first = capsys.readouterr().out
    assert compare(*arguments(tasks, tmp_path, "two.csv")) == 0
    assert len(ran) == 6
    assert capsys.readouterr().out == first
    assert rows_of(tmp_path / "one.csv") == rows_of(tmp_path / "two.csv")


@pytest.mark.parametrize(
    ("change", "n_cells"),
    [
        (["--set", "n_iter=6"], 2),  # our detector's cells only
        (["--seed", "1"], 6),
        (["--outliers", "1"], 6),
        (["--max-query", "20"], 6),
        (["--shots", "2"], 6),
    ],
)
def test_whatever_changes_results_is_run_anew(
    tasks, tmp_path, monkeypatch, change, n_cells
):
    assert compare(*arguments(tasks, tmp_path, "one.csv")) == 0
    ran = count_cells(monkeypatch)
    assert compare(*arguments(tasks, tmp_path, "two.csv", *change)) == 0
    assert len(ran) == n_cells


def test_other_rows_are_other_cells(tasks, tmp_path, monkeypatch):
    assert compare(*arguments(tasks, tmp_path, "one.csv")) == 0
    ran = count_cells(monkeypatch)
    other = save_split(tmp_path / "fleet", seed=1)
    assert compare(*arguments(other, tmp_path, "two.csv")) == 0
    assert len(ran) == 6
    assert scores(tmp_path / "one.csv") != scores(tmp_path / "two.csv")


def test_files_that_cannot_be_read_are_made_again(tasks, tmp_path, monkeypatch):
    assert compare(*arguments(tasks, tmp_path, "one.csv")) == 0
    broken, other, *_ = sorted((tmp_path / "cache").iterdir())
    broken.write_text(broken.read_text()[:-9])
    other.write_text('{"results": [[{"no": 1}], []]}')
    ran = count_cells(monkeypatch)
    assert compare(*arguments(tasks, tmp_path, "two.csv")) == 0
    assert len(ran) == 2
    assert scores(tmp_path / "one.csv") == scores(tmp_path / "two.csv")
    assert all(json.loads(path.read_text()) for path in (broken, other))


def test_a_killed_run_goes_on_to_the_same_table(tasks, tmp_path, monkeypatch):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert compare(*arguments(tasks, whole, "out.csv")) == 0
    command = [sys.executable, "-m", "skmetaad", "compare", *FAST]
    command += map(str, arguments(tasks, broken, "out.csv"))
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    cache, deadline = broken / "cache", time.monotonic() + 120
    while len(list(cache.glob("*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = len(list(cache.glob("*.json")))
    assert finished >= 2
    assert not (broken / "out.csv").exists()
    ran = count_cells(monkeypatch)
    assert compare(*arguments(tasks, broken, "out.csv")) == 0
    assert len(ran) == 6 - finished
    assert scores(broken / "out.csv") == scores(whole / "out.csv")


def test_a_reader_who_has_had_enough_costs_no_results(tasks, tmp_path):
    command = [sys.executable, "-m", "skmetaad", "compare", *FAST]
    command += map(str, arguments(tasks, tmp_path, "out.csv"))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    errors = process.stderr.read().decode()
    assert process.wait() == 0, errors
    assert "Traceback" not in errors
    assert rows_of(tmp_path / "out.csv")


def test_a_cache_that_cannot_be_made_is_bad_input(tasks, tmp_path, capsys):
    (tmp_path / "cache").write_text("a file")
    assert compare(*arguments(tasks, tmp_path, "out.csv")) == 2
    assert "--cache" in capsys.readouterr().err


def test_failures_that_may_pass_are_tried_again(tasks, tmp_path, monkeypatch, capsys):
    def no_memory(*args):
        raise MemoryError("out of memory")

    args = ("--tasks", tasks, "--shots", "2", "--detectors", "metasvdd", "--folds", "2")
    args += ("--cache", tmp_path / "cache")
    with monkeypatch.context() as patch:
        patch.setattr(_run, "_adapted", no_memory)
        compare(*args)
    assert "out of memory" in capsys.readouterr().out
    compare(*args)
    assert "out of memory" not in capsys.readouterr().out
