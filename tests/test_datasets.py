"""Generated and loaded collections of tasks."""

import os
from pathlib import Path

import numpy as np
import pytest

from skmetaad.datasets import load_directory, make_fleet, make_tables
from skmetaad.datasets._fleet import _another_order
from skmetaad.tasks import TaskCollection

# ------------------------------------------------------------------------- make_fleet


def test_fleet_has_the_numbers_asked_for():
    fleet = make_fleet(4, 50, 6, outlier_fraction=0.2, random_state=0)
    assert isinstance(fleet, TaskCollection)
    assert len(fleet) == len(set(fleet.ids)) == 4
    for task in fleet:
        assert task.X.shape == (50, 6)
        assert np.isfinite(task.X).all()
        assert (task.n_outliers, (task.y == 1).sum()) == (10, 40)
        assert set(task.y[:25]) == {-1, 1}  # shuffled


def test_fleet_is_seeded():
    a, b, c = (make_fleet(3, random_state=seed).arrays()[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    legacy = [make_fleet(2, random_state=np.random.RandomState(0)) for _ in range(2)]
    np.testing.assert_array_equal(legacy[0][0].X, legacy[1][0].X)


def test_fleet_may_have_no_outliers_but_keeps_an_inlier():
    assert (make_fleet(2, outlier_fraction=0)[0].y == 1).all()
    assert (make_fleet(1, 3, outlier_fraction=0.99)[0].y == 1).sum() == 1


def test_the_load_of_dependency_outliers_drives_other_features():
    order = [_another_order(2, np.random.default_rng(i)).tolist() for i in range(20)]
    assert order == [[1, 0]] * 20
    assert _another_order(1, np.random.default_rng(0)).tolist() == [0]


def inliers(task):
    return task.X[task.y == 1]


def mean_rank(scores, y):
    """Return the share of (outlier, inlier) pairs ranked right."""
    wins = scores[y == -1][:, None] > scores[y == 1]
    return wins.mean()


def test_tasks_differ_in_level_and_share_their_structure():
    fleet = make_fleet(12, 300, 8, random_state=0)
    level = np.array([inliers(t).mean(axis=0) for t in fleet])
    within = np.array([inliers(t).std(axis=0) for t in fleet])
    assert (level.std(axis=0) > 0.5 * within.mean(axis=0)).all()
    assert (within.max(axis=0) < 1.5 * within.min(axis=0)).all()
    correlation = np.array([np.corrcoef(inliers(t).T).ravel() for t in fleet])
    assert correlation.std(axis=0).max() < 0.2


def test_what_tasks_share_helps_on_a_new_one():
    fleet = make_fleet(30, 200, 8, random_state=1)
    residuals = [inliers(t) - inliers(t).mean(axis=0) for t in fleet[:25]]
    shared = np.linalg.inv(np.cov(np.concatenate(residuals).T))
    everyone = np.concatenate([inliers(t) for t in fleet[:25]]).mean(axis=0)
    pooled = np.concatenate([inliers(t) for t in fleet[:25]])
    spread = np.diag(1 / pooled.var(axis=0))
    ranks = {"shared": [], "unadapted": [], "own": []}
    for task in fleet[25:]:
        rows = np.flatnonzero(task.y == 1)[:10]
        rest = np.setdiff1d(np.arange(len(task)), rows)
        center = task.X[rows].mean(axis=0)
        for name, at, metric in (
            ("shared", center, shared),
            ("unadapted", everyone, spread),
            ("own", center, spread),
        ):
            away = task.X[rest] - at
            score = np.einsum("ij,jk,ik->i", away, metric, away)
            ranks[name].append(mean_rank(score, task.y[rest]))
    ranks = {name: np.mean(values) for name, values in ranks.items()}
    assert ranks["shared"] > ranks["own"] + 0.05 > ranks["unadapted"] + 0.05
    assert 0.7 < ranks["shared"] < 1


@pytest.mark.parametrize(
    "arguments",
    [
        {"n_tasks": 0},
        {"n_rows": 0},
        {"n_features": 1},
        {"outlier_fraction": 1.0},
        {"outlier_fraction": -0.1},
    ],
)
def test_fleet_refuses(arguments):
    ((name, value),) = arguments.items()
    with pytest.raises(ValueError, match=f"{name}={value}"):
        make_fleet(**arguments)


# --------------------------------------------------------------------- load_directory


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    np.savez(tmp_path / "b.npz", X=np.ones((3, 2), np.float32), y=[0, 0, 1])
    np.savez(
        tmp_path / "sub" / "a.v1.npz",
        X_train=np.zeros((2, 2)),
        X_test=np.ones((3, 2)),
        y_test=[1, 0, 1],
    )
    np.savez(tmp_path / "c.npz", value=np.arange(4.0), label=[0, 1, 1, 0])
    np.savez(tmp_path / "d.npz", X=np.zeros((2, 4, 4), np.uint8))
    return tmp_path


def test_load_directory_reads_each_form(folder):
    tasks = load_directory(folder)
    assert tasks.ids == ("b", "c", "d", "sub/a.v1")
    b, c, d, a = tasks
    assert (b.X.dtype, b.y.tolist()) == (np.float32, [1, 1, -1])
    assert (c.X.tolist(), c.y.tolist()) == (
        [[0.0], [1.0], [2.0], [3.0]],
        [1, -1, -1, 1],
    )
    assert (d.X.shape, d.y) == ((2, 4, 4), None)
    assert a.X[:, 0].tolist() == [0, 0, 1, 1, 1]
    assert a.y.tolist() == [1, 1, -1, 1, -1]


def test_load_directory_takes_parts_and_patterns(folder):
    (train,) = load_directory(folder, part="train")
    (test,) = load_directory(str(folder), part="test")
    assert train.id == test.id == "sub/a.v1"
    assert (train.y.tolist(), test.y.tolist()) == ([1, 1], [-1, 1, -1])
    assert load_directory(folder, pattern="*.npz").ids == ("b", "c", "d")
    assert load_directory(folder / "sub").ids == ("a.v1",)
    assert load_directory(folder, pattern="[b-s]*").ids == ("b", "c", "d")


def test_load_directory_says_what_is_missing(folder):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load_directory(folder / "nowhere")
    with pytest.raises(FileNotFoundError, match="no file like 'x[*]'"):
        load_directory(folder, pattern="x*")
    with pytest.raises(ValueError, match="part='both'"):
        load_directory(folder, part="both")
    (folder / "sub" / "a.v1.npz").unlink()
    with pytest.raises(ValueError, match="part 'train'"):
        load_directory(folder, part="train")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"Z": np.ones(2)}, r"holds the arrays \['Z'\]: expected X"),
        ({"X": np.ones((2, 2)), "y": [0, 2]}, "y holds .*2"),
        ({"X": np.ones((2, 2)), "y": [0, 1, 0]}, r"shape \(3,\)"),
        ({"X": np.ones(2)}, r"shape \(2,\)"),
        ({"X": np.array([[{}]], dtype=object)}, "allow_pickle=False"),
        ({"X_train": np.ones((1, 2)), "X_test": np.ones((1, 3)), "y_test": [0]}, ""),
    ],
)
def test_load_directory_names_the_file_it_cannot_use(tmp_path, arrays, message):
    np.savez(tmp_path / "odd.npz", **arrays)
    with pytest.raises(ValueError, match=f"odd.npz' cannot be used: .*{message}"):
        load_directory(tmp_path)


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
def test_load_directory_names_a_broken_file(tmp_path, content):
    (tmp_path / "odd.npz").write_bytes(content)
    with pytest.raises(ValueError, match="odd.npz' cannot be used"):
        load_directory(tmp_path)


def test_load_directory_names_a_damaged_file_and_a_pattern_that_is_none(tmp_path):
    path = tmp_path / "odd.npz"
    np.savez_compressed(path, X=np.random.default_rng(0).normal(size=(50, 4)))
    content = bytearray(path.read_bytes())
    content[60:140] = bytes(one ^ 0x55 for one in content[60:140])
    path.write_bytes(content)
    with pytest.raises(ValueError, match="odd.npz' cannot be used"):
        load_directory(tmp_path)
    for pattern in ("", "/x"):
        with pytest.raises(ValueError, match=f"pattern='{pattern}'"):
            load_directory(tmp_path, pattern=pattern)


# -------------------------------------------------------------------------- real data


def data(name):
    root = os.environ.get("SKMETAAD_DATA")
    root = Path(root) if root else Path(__file__).parents[2] / "shared" / "data"
    if not (root / name).is_dir():
        pytest.skip(f"no {root / name}: set SKMETAAD_DATA to the development data")
    return root / name


@pytest.mark.parametrize(
    ("name", "n_tasks", "n_outliers"),
    [("adbench", 43, None), ("mvtec_resnet18", 10, 725), ("nab", 42, None)],
)
def test_real_folders(name, n_tasks, n_outliers):
    tasks = load_directory(data(name))
    assert len(tasks) == n_tasks
    assert all(set(t.y) <= {-1, 1} and np.isfinite(t.X).all() for t in tasks)
    if n_outliers is not None:
        assert sum(t.n_outliers for t in tasks) == n_outliers


@pytest.mark.parametrize(("name", "n_tasks"), [("asd", 8), ("telemetry/SMAP", 36)])
def test_real_parts_make_up_the_whole(name, n_tasks):
    folder = data(name)
    whole, train, test = (
        load_directory(folder, part=part) for part in ("all", "train", "test")
    )
    assert whole.ids == train.ids == test.ids
    assert len(whole) == n_tasks
    for task, a, b in zip(whole, train, test, strict=True):
        assert (a.y == 1).all()
        np.testing.assert_array_equal(task.X, np.concatenate([a.X, b.X]))
        np.testing.assert_array_equal(task.y, np.concatenate([a.y, b.y]))
    X, y, task = whole.arrays()
    assert TaskCollection.from_arrays(X, y, task=task).ids == whole.ids


def test_real_windows():
    tasks = load_directory(data("telemetry/MSL"), part="test")
    windows = TaskCollection.from_windows(tasks, 20, 10)
    assert windows.ids == tasks.ids
    assert windows[0].n_features == 20 * 55
    assert all(w.n_outliers for w in windows)


def test_real_characters_become_tasks():
    with np.load(data("omniglot") / "test.npz") as arrays:
        X, character = arrays["X"], arrays["class_id"]
    tasks = TaskCollection.from_classes(X, character, max_outliers=20, random_state=0)
    assert len(tasks) == 261
    assert all((len(t), t.n_outliers, t.n_features) == (40, 20, 784) for t in tasks)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"n_tasks": "a"}, TypeError, "n_tasks='a'"),
        ({"n_rows": 100}, TypeError, "n_rows=100: expected .low, high"),
        ({"n_rows": (1, 50)}, ValueError, "n_rows=1: expected an int, at least 20"),
        ({"n_rows": (90, 50)}, ValueError, r"n_rows=\(90, 50\)"),
        ({"n_features": (0, 3)}, ValueError, "n_features=0"),
    ],
)
def test_ranges_of_tables_that_cannot_be_are_named(params, error, message):
    with pytest.raises(error, match=message):
        make_tables(**{"n_tasks": 1, **params})


def test_counts_of_a_fleet_are_ints():
    with pytest.raises(TypeError, match="n_tasks='a'"):
        make_fleet(n_tasks="a")
