"""The methods that the comparison puts beside ours."""

import numpy as np
import pytest

pytest.importorskip("pyod", reason="the comparison needs PyOD")

from _comparing import OURS, compare, load_folder, rows_of, save_single, save_split

from skmetaad._compare._baselines import (
    PYOD,
    REMARKS,
    TOO_FEW,
    TRANSDUCTIVE,
    make_pyod,
    pyod_scores,
)
from skmetaad._compare._methods import select
from skmetaad._compare._series import SERIES, WIDTH, moving_variance, squared_difference


@pytest.mark.parametrize("name", [*PYOD, "KNN (nearest)", "KNN (10)"])
def test_pyods_detectors_run_from_the_fewest_rows_on(name):
    rng = np.random.default_rng(0)
    query = np.concatenate([rng.normal(size=(30, 4)), rng.normal(8, 1, (30, 4))])
    for k in (TOO_FEW.get(name, (1, ""))[0], 20):
        scores, threshold, *_ = pyod_scores(name, rng.normal(size=(k, 4)), query, 0)
        assert np.isfinite(scores).all()
        assert np.isfinite(threshold)
    assert scores[30:].mean() > scores[:30].mean()


@pytest.mark.parametrize(
    ("name", "expected"),
    [("KNN", (1, 1, 4, 5)), ("KNN (nearest)", (1,) * 4), ("KNN (10)", (1, 1, 4, 10))],
)
def test_neighbours_are_at_most_those_that_a_support_has(name, expected):
    found = [make_pyod(name, k, 0).n_neighbors for k in (1, 2, 5, 50)]
    assert tuple(found) == expected


def test_what_scores_the_query_together_is_marked():
    assert {n for n, text in REMARKS.items() if text == TRANSDUCTIVE} == {
        "ECOD",
        "COPOD",
    }


def test_all_of_pyod_and_all_of_ours_have_a_name():
    assert [m.name for m in select(["PyOD"], [])] == list(PYOD)
    assert [m.name for m in select(["ours"], [])] == [*OURS, "KNN"]
    assert len(PYOD) >= 8


# ------------------------------------------------------------------------------- series


def test_one_liners_on_a_series_look_back_only():
    X = np.random.default_rng(0).normal(size=(40, 3))
    for score in (moving_variance, squared_difference):
        for end in (1, 2, WIDTH, 25):
            np.testing.assert_allclose(score(X[:end]), score(X)[:end])


def test_one_liners_by_hand():
    X = np.array([[0.0, 1.0], [3.0, 5.0], [3.0, 5.0]])
    np.testing.assert_allclose(squared_difference(X), [0.0, 25.0, 0.0])
    # The first row stands for those before the series.
    expected = np.var([0.0] * 9 + [3.0]) + np.var([1.0] * 9 + [5.0])
    np.testing.assert_allclose(moving_variance(X)[:2], [0.0, expected])
    long = np.random.default_rng(0).normal(size=(30, 2))
    np.testing.assert_allclose(
        moving_variance(long)[-1], long[-WIDTH:].var(axis=0).sum()
    )


def test_series_are_scored_in_time_order(tmp_path):
    folder = save_split(tmp_path / "fleet", n_tasks=2)
    for path in folder.glob("*.npz"):
        parts = dict(np.load(path))
        # Outliers are told by how they move, not by where they are.
        test = np.zeros((60, 3))
        test[20:30] = np.where(np.arange(10) % 2, 1.0, -1.0)[:, None]
        np.savez(path, **{**parts, "X_test": test})
    path = tmp_path / "out.csv"
    args = ["--tasks", folder, "--shots", "5", "--csv", path, "--max-query", "40"]
    names = "metasvdd,moving-variance,squared-difference"
    assert compare(*args, "--detectors", names) == 0
    rows = [r for r in rows_of(path) if r["method"] in SERIES]
    assert len(rows) == 4
    assert all(float(r["auroc"]) > 0.7 for r in rows)
    assert {r["false_alarm_rate"] for r in rows} == {"nan"}
    for fold in load_folder(folder).folds:
        for task in fold.held_out:
            first, last = task.test_part
            assert (last - first + 1, first % 120) == (60, 60)


def test_series_are_asked_for_only_where_rows_have_an_order(tmp_path, capsys):
    folder = save_single(tmp_path / "c")
    args = ["--tasks", folder, "--shots", "5"]
    assert compare(*args, "--detectors", "metasvdd,moving-variance") == 0
    assert "needs series: tasks with a train part" in capsys.readouterr().out
    assert compare(*args, "--set", "n_calibration_networks=0") == 0
    assert "moving variance" not in capsys.readouterr().out
