"""UniversalDetector as its users meet it."""

import os
import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaad import FewShotScorer, Task, TaskCollection, UniversalDetector, to_pyod
from skmetaad.core import doubt, universal
from skmetaad.datasets import make_fleet, make_tables


@pytest.fixture(scope="module")
def tables():
    return make_tables(6, n_rows=(80, 200), n_features=(3, 12), random_state=1)


def mixed(seed=0, n=120):
    """Return rows with discrete, heavy-tailed, constant and dependent columns."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=n)
    return np.c_[
        a,
        rng.integers(3, size=n),
        np.exp(8 * a),
        np.ones(n),
        a + 0.1 * rng.normal(size=n),
    ]


def inliers(task):
    return task.X[task.y == 1]


def test_one_line_on_a_table():
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order]
    train, rest = X[y == 1][:200], np.r_[X[y == 1][200:], X[y == 0]]
    truth = np.r_[np.zeros((y == 1).sum() - 200), np.ones((y == 0).sum())]
    det = UniversalDetector().fit(train)
    assert roc_auc_score(truth, -det.decision_function(rest)) > 0.93
    false_alarms = (det.predict(rest[truth == 0]) == -1).mean()
    assert 0.03 < false_alarms < 0.25


def test_beside_a_single_row_rows_are_ranked_by_their_distance():
    rng = np.random.default_rng(0)
    row, X = 100.0 * rng.normal(size=(1, 6)), 100.0 * rng.normal(size=(40, 6))
    order = np.linalg.norm(X - row, axis=1).argsort()
    det = UniversalDetector().fit(X)
    found = det.adapt(row).score_samples(X)[order]
    assert (np.diff(found) < 0).all()
    # Of two rows equally far, the one nearer to a labelled outlier is more abnormal.
    marked, pair = np.concatenate([row, row + 90.0]), [row[0] + 50, row[0] - 50]
    scores = det.adapt(marked, np.array([1, -1])).score_samples(pair)
    assert scores[0] < scores[1]


def test_contaminated_rows_are_judged_without_themselves():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(100, 5)) + 3 * rng.integers(2, size=(100, 1))
    rows[:8] += rng.normal(size=(8, 5)) * 3
    truth = np.arange(100) < 8
    det = UniversalDetector(contamination=0.1).fit(rows)
    assert roc_auc_score(truth, -det.score_samples(rows)) > 0.9
    flagged = det.fit_predict(rows) == -1
    assert flagged.mean() == pytest.approx(0.1, abs=2 / len(rows))


def clustered(seed=0, n=300, n_odd=30):
    """Return rows of which the first n_odd are a small cluster, and which these are."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n, 6))
    rows[:n_odd] = 2 + 0.8 * rng.normal(size=(n_odd, 6))
    return rows, np.arange(n) < n_odd


def test_a_second_look_at_the_training_rows_changes_their_order_alone(monkeypatch):
    rows, odd = clustered()
    fresh = np.random.default_rng(1).normal(size=(50, 6))
    det = UniversalDetector(contamination=0.1).fit(rows)
    twice = det.score_samples(rows)
    assert (det.predict(rows) == -1).mean() == pytest.approx(0.1, abs=1 / len(rows))
    monkeypatch.setattr(doubt, "ENOUGH_ROWS", len(rows) + 1)
    plain = UniversalDetector(contamination=0.1).fit(rows)
    once = plain.score_samples(rows)
    np.testing.assert_allclose(np.sort(twice), np.sort(once), atol=1e-9)
    assert det.offset_ == pytest.approx(plain.offset_, abs=1e-9)
    np.testing.assert_allclose(det.score_samples(fresh), plain.score_samples(fresh))
    found = [average_precision_score(odd, -score) for score in (once, twice)]
    assert found[1] > found[0] + 0.05
    # The order is that of a fit to the rows but for the oddest fifth.
    rest = rows[once.argsort()[len(rows) // 5 :]]
    beside_rest = UniversalDetector().fit(rest).score_samples(rows)
    np.testing.assert_array_equal(beside_rest.argsort(), twice.argsort())


def test_a_second_look_at_many_tables_is_that_at_each():
    tables = [clustered(seed, n, 10)[0] for seed, n in enumerate((120, 15, 60, 200))]
    X, task = np.concatenate(tables), np.repeat(range(4), [len(t) for t in tables])
    y = np.ones(len(X), int)
    y[[0, 1, 140]] = -1
    y[140:150] = np.where(y[140:150] == 1, 0, -1)
    det = UniversalDetector().fit(X, y, task=task)
    for i in range(4):
        one, own = X[task == i], y[task == i]
        alone = UniversalDetector().fit(one, own if (own == -1).any() else None)
        together = det.score_samples(one, task=task[task == i])
        np.testing.assert_allclose(together, alone.score_samples(one), atol=1e-6)


def test_rows_labelled_as_inliers_are_beyond_doubt():
    rows, odd = clustered()
    y = np.where(odd, 0, 1)
    y[0] = -1
    marked = UniversalDetector(contamination=0.4).fit(rows, y)
    few = UniversalDetector(contamination=0.05).fit(rows, y)
    # 80 % and 10 % of 29 rows: no inlier changes its place among the inliers.
    scores = [det.score_samples(rows[~odd]) for det in (marked, few)]
    first, second = (score.argsort() for score in scores)
    assert spearmanr(first.argsort(), second.argsort())[0] > 0.9


def test_the_oddest_rows_and_the_order_of_scores_by_hand():
    anomaly = torch.tensor([[3.0, 1.0, 2.0, 9.0], [0.0, 5.0, 4.0, 7.0]]).repeat(1, 5)
    open_ = torch.ones_like(anomaly, dtype=torch.bool)
    open_[0, 3] = False
    odd = doubt.oddest(anomaly, open_, 0.1)
    assert odd[0].nonzero()[:, 0].tolist() == []  # 19 rows are too few
    assert odd[1].nonzero()[:, 0].tolist() == [3, 7]
    first = torch.tensor([[5.0, 1.0, 3.0, 8.0, 2.0]])
    second = torch.tensor([[0.1, 0.7, 0.7, 9.0, 0.2]])
    present = torch.tensor([[True, True, True, False, True]])
    found = doubt.reordered(first, second, present)
    # Ranks 1, 3.5, 3.5, none, 2 of the values 1, 2, 3, 5.
    assert found.tolist() == [[1.0, 4.0, 4.0, 8.0, 2.0]]
    # Ties stay ties where rounding differs, as it does with the place in a batch.
    uneven = second.double() + 1e-14 * torch.arange(second.shape[1])
    torch.testing.assert_close(doubt.reordered(first, uneven, present), found)


def test_any_other_value_of_a_constant_column_counts_by_its_rarity():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(50, 4)), np.full(50, 7.0)]
    query = np.repeat(X[:1] + 0.1, 3, axis=0)
    query[:, 4] = [7.0, 7.001, 7e6]
    scores = UniversalDetector().fit(X).score_samples(query)
    assert scores[0] > scores[1:].max()
    state, _ = universal.adapt(
        torch.tensor(X)[None], *(torch.full((1, 50), one) for one in (True, False))
    )
    away = universal.standard(torch.tensor(query)[None], universal.awake(state))
    expected = [0.0, np.sqrt(2 * np.log(51)), np.sqrt(2 * np.log(51))]
    np.testing.assert_allclose(away[0, :, 4], expected)


def test_labelled_outliers_help():
    rng = np.random.default_rng(0)
    inlier = rng.normal(size=(100, 6))
    odd = rng.normal(size=(60, 6)) * 0.7 + 1.2 * np.eye(6)[0]
    query = np.concatenate([rng.normal(size=(100, 6)), odd[5:]])
    truth = np.r_[np.zeros(100), np.ones(55)]
    plain = UniversalDetector().fit(inlier)
    support = np.concatenate([inlier, odd[:5]])
    told = UniversalDetector().fit(support, np.r_[np.ones(100, int), -np.ones(5, int)])
    auroc = [roc_auc_score(truth, -det.score_samples(query)) for det in (plain, told)]
    assert auroc[1] > auroc[0]


def test_a_fleet_of_tables_of_different_widths(tables):
    det = UniversalDetector().fit(tables)
    assert det.n_features_in_ == max(task.n_features for task in tables)
    together = det.decision_function(tables)
    alone = [
        UniversalDetector().fit(task.X, task.y).score_samples(task.X) for task in tables
    ]
    found = det.score_samples(tables)
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-5, atol=1e-5)
    assert together.shape == (sum(map(len, tables)),)
    assert 0.5 < det.score(tables) <= 1.0


def test_adapt_takes_another_width(tables):
    det = UniversalDetector().fit(inliers(tables[0]))
    other = next(t for t in tables if t.n_features != tables[0].n_features)
    new = det.adapt(inliers(other))
    assert (det.n_features_in_, new.n_features_in_) == (
        tables[0].n_features,
        other.n_features,
    )
    assert np.isfinite(new.decision_function(other.X)).all()
    with pytest.raises(ValueError, match="features"):
        new.decision_function(tables[0].X)


def test_missing_values_are_evidence():
    X = np.random.default_rng(0).normal(size=(200, 3))
    X[:100, 1] = np.nan  # missing half of the time here, never in column 0
    det = UniversalDetector().fit(X)
    scores = det.score_samples([[np.nan, 0.0, 0.0], [0.0, np.nan, 0.0], [0.0] * 3])
    assert np.isfinite(scores).all()
    assert scores[0] < scores[1]
    assert scores[0] < scores[2]


@pytest.mark.parametrize("n_rows", [1, 2, 3, 12])
@pytest.mark.parametrize("change", ["as it is", "constant", "huge", "text codes"])
def test_any_table_gives_finite_scores(n_rows, change):
    X = mixed()
    if change == "constant":
        X = np.ones_like(X)
    if change == "huge":
        X = X * 1e29
    if change == "text codes":
        X = np.round(X[:, :2])
    det = UniversalDetector().fit(X) if n_rows == 12 else UniversalDetector().fit(X[:5])
    new = det.adapt(X[:n_rows])
    assert np.isfinite(new.decision_function(mixed(1)[:, : X.shape[1]])).all()


def test_a_new_value_in_a_constant_column_is_abnormal():
    X = mixed()
    det = UniversalDetector().fit(X)
    odd = X[:20].copy()
    odd[:, 3] = 2.0
    assert (det.score_samples(odd) < det.score_samples(X[:20])).mean() > 0.8


def test_duplicated_rows_are_normal():
    rng = np.random.default_rng(0)
    X = np.r_[np.tile([[0.0, 1.0, 2.0]], (50, 1)), rng.normal(size=(50, 3))]
    scores = UniversalDetector().fit(X).score_samples(X)
    assert scores[0] > np.median(scores[50:])


def test_threads_give_the_same_scores(tables):
    X = tables[0].X
    one, two = UniversalDetector().fit(X), UniversalDetector(n_jobs=2).fit(X)
    np.testing.assert_allclose(one.score_samples(X), two.score_samples(X), atol=1e-9)


def test_pipelines_searches_and_pyod(tables):
    X = tables[0].X
    pipe = make_pipeline(StandardScaler(), UniversalDetector()).fit(X)
    assert set(np.unique(pipe.predict(X))) <= {-1, 1}
    search = GridSearchCV(
        UniversalDetector(),
        {"max_support": [5, 100]},
        scoring=FewShotScorer(n_support=40),
        cv=KFold(2),
        refit=False,
    ).fit(tables[:4])  # two to fit on set no thresholds, which takes long
    assert search.best_params_["max_support"] == 100
    model = to_pyod(UniversalDetector().fit(X)).fit(X)
    # Rows of the support are judged without themselves: no folds are needed.
    expected = -UniversalDetector().fit(X).score_samples(X)
    np.testing.assert_allclose(model.decision_scores_, expected)


def test_explanations_name_the_column_that_is_odd():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(300, 5)), columns=list("abcde"))
    det = UniversalDetector().fit(frame)
    odd = frame.iloc[:10].copy()
    odd["d"] = 9.0
    told = det.explain(odd)
    assert told.groups.shape == (10, len(told.group_names))
    assert told.columns.shape == (10, 5)
    assert told.column_names == list("abcde")
    assert (told.columns.argmax(axis=1) == 3).all()
    assert "neighbours" in told.group_names


def test_explanations_take_a_column_as_its_neighbours_have_it():
    """Each value is usual; that two columns disagree is not."""
    rng = np.random.default_rng(0)
    base = rng.normal(size=(400, 2))
    X = np.c_[base, base.sum(axis=1), rng.integers(3, size=400)]
    odd = X[:20].copy()
    odd[:, 3] = 7.0
    odd[10:, 3] = X[10:20, 3]
    odd[10:, 2] -= 4 * np.sign(odd[10:, 2])
    found = UniversalDetector().fit(X[20:]).explain(odd).columns.argmax(axis=1)
    assert (found[:10] == 3).all()
    assert (found[10:] < 3).all()


def test_a_far_off_group_explains_its_rows_by_its_own_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    X[:8] += [100, 50, 50]
    told = UniversalDetector().fit(X).explain([[70, 50, 50], [100, 50, 50]])
    assert told.columns[0, 0] > 0.3
    assert abs(told.columns[1, 0]) < 0.3


def test_explanations_are_those_of_a_rows_own_task():
    fleet = make_fleet(n_tasks=2, n_rows=120, n_features=6, random_state=0)
    X, _, task = fleet.arrays()
    rows = X[:5] + 1.0
    told = UniversalDetector().fit(X, task=task).explain(rows, task=task[:5])
    alone = UniversalDetector().fit(fleet[0].X).explain(rows)
    np.testing.assert_allclose(told.columns, alone.columns, atol=1e-6)


def test_own_weights_are_trained_saved_and_loaded(tables, tmp_path):
    trained = UniversalDetector(random_state=0).meta_fit(
        tables, n_iter=5, n_draws=2, n_members=2
    )
    path = tmp_path / "own.npz"
    trained.save_weights(path)
    X = tables[0].X
    want = clone(trained).fit(X).decision_function(X)
    again = UniversalDetector(weights=path).fit(X)
    np.testing.assert_array_equal(again.decision_function(X), want)
    assert not np.allclose(UniversalDetector().fit(X).decision_function(X), want)
    assert [p.name for p in tmp_path.iterdir()] == ["own.npz"]
    same = UniversalDetector(random_state=0).meta_fit(
        tables, n_iter=5, n_draws=2, n_members=2
    )
    for name, value in trained.weights.items():
        np.testing.assert_array_equal(value, same.weights[name])


def test_other_weights_than_those_of_fit_are_refused(tables):
    X = tables[0].X
    trained = UniversalDetector(random_state=0).meta_fit(
        tables, n_iter=2, n_draws=1, n_members=1
    )
    det, own = trained.fit(X), trained.weights
    want = det.score_samples(X)
    other = {**own, "backbone": own["backbone"] + 1.0}
    for weights in ("default", other):
        det.set_params(weights=weights)
        for use in (det.adapt, det.score_samples):
            with pytest.raises(ValueError, match="weights=.* expected that, or fit"):
                use(X)
    again = pickle.loads(pickle.dumps(det.set_params(weights=dict(own))))
    np.testing.assert_array_equal(again.score_samples(X), want)


def test_a_collection_without_tasks_is_named(tables):
    empty = TaskCollection([])
    det = UniversalDetector().fit(tables)
    for use in (det.fit, det.adapt, det.predict):
        with pytest.raises(ValueError, match="empty"):
            use(empty)


@pytest.mark.slow
def test_training_learns_to_rank():
    """To use labels, which the means leave out; without, these are hard to beat."""
    few, many = (
        UniversalDetector(random_state=0).meta_fit(
            make_tables(30, n_rows=(200, 400), n_features=(4, 8), random_state=5),
            n_iter=n_iter,
            n_draws=4,
            n_members=1,
        )
        for n_iter in (1, 400)
    )
    fresh = make_tables(25, n_rows=(200, 400), n_features=(4, 8), random_state=6)

    def auroc(det, task, n_labelled):
        marked = np.flatnonzero(task.y == -1)[:n_labelled]
        support = np.r_[np.flatnonzero(task.y == 1)[::2], marked]
        det.fit(task.X[support], task.y[support])
        rest = np.delete(np.arange(len(task)), marked)
        return roc_auc_score(task.y[rest] == -1, -det.score_samples(task.X[rest]))

    for n_labelled, gain in ((0, 0.0), (5, 0.03)):
        before, after = (
            np.mean([auroc(det, task, n_labelled) for task in fresh])
            for det in (few, many)
        )
        assert after > before + gain, n_labelled


def test_a_failed_save_leaves_the_old_file(tables, tmp_path, monkeypatch):
    path = tmp_path / "own.npz"
    UniversalDetector().save_weights(path)
    before = path.read_bytes()

    def broken(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(OSError, match="disk full"):
        UniversalDetector().save_weights(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_weights_are_named(tmp_path):
    X = mixed()
    with pytest.raises(ValueError, match="cannot be read"):
        UniversalDetector(weights=tmp_path / "none.npz").fit(X)
    with pytest.raises(ValueError, match="row.0.weight"):
        UniversalDetector(weights={}).fit(X)
    with pytest.raises(ValueError, match="expected at least 2"):
        UniversalDetector().meta_fit([Task(0, X)])
    with pytest.raises(TypeError, match="expected a TaskCollection"):
        UniversalDetector().meta_fit(X)


def test_infinite_values_are_an_error():
    X = mixed()
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        UniversalDetector().fit(X)


def test_shipped_weights_are_small_and_no_pickle():
    from skmetaad.detectors._universal import DEFAULT

    assert DEFAULT.stat().st_size < 1_000_000
    with np.load(DEFAULT, allow_pickle=False) as file:
        assert all(file[name].dtype.kind == "f" for name in file.files)


def test_generated_tables_are_seeded_and_of_many_kinds():
    a, b = (make_tables(20, random_state=3) for _ in range(2))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one.X, other.X)
        np.testing.assert_array_equal(one.y, other.y)
    assert len({task.n_features for task in a}) > 5
    assert all(np.isfinite(task.X).all() for task in a)
    assert all(5 <= task.n_outliers < len(task) / 2 + 10 for task in a)


@pytest.mark.slow
def test_shipped_weights_beat_nearest_neighbours_on_generated_tables():
    ours, nearest = [], []
    for task in make_tables(40, n_rows=(200, 1000), random_state=99):
        X = inliers(task)
        train, rest = X[::2], np.r_[X[1::2], task.X[task.y == -1]]
        truth = np.r_[np.zeros(len(X[1::2])), np.ones(task.n_outliers)]
        scaler = StandardScaler().fit(train)
        near = NearestNeighbors(n_neighbors=5).fit(scaler.transform(train))
        d, _ = near.kneighbors(scaler.transform(rest))
        nearest.append(roc_auc_score(truth, d[:, -1]))
        det = UniversalDetector().fit(train)
        ours.append(roc_auc_score(truth, -det.score_samples(rest)))
    assert np.mean(ours) > np.mean(nearest)


@pytest.mark.slow
def test_memory_is_bounded_at_a_million_rows():
    code = """
import numpy as np, resource
from skmetaad import UniversalDetector
X = np.random.default_rng(0).normal(size=(1_000_000, 5)).astype(np.float32)
det = UniversalDetector(max_support=500)
det.fit(X[:20_000]).score_samples(X[:20_000])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
det.fit(X)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    # The rows themselves, sorted and in float64, are some 40 MiB each.
    assert float(done.stdout) < 400


@pytest.mark.parametrize("value", [1e300, -1e300, 1e30])
def test_rows_as_far_as_numbers_go_have_finite_scores(value):
    X = np.random.default_rng(0).normal(size=(50, 4)) * 1e-30
    det = UniversalDetector().fit(X)
    far = np.where(np.arange(4) == 1, value, X[:3])
    scores = det.score_samples(far)
    assert np.isfinite(scores).all() and (scores < det.score_samples(X).min()).all()


def test_a_second_look_at_tied_rows_does_not_depend_on_larger_tables_beside():
    rng = np.random.default_rng(0)
    larger = rng.normal(size=(60, 4))
    det = UniversalDetector().fit(larger)
    for n in range(20, 40):
        rows = rng.normal(size=(n, 4)).round()
        ids = np.repeat(["a", "b"], [n, 60])
        beside = det.adapt(np.r_[rows, larger], task=ids)
        np.testing.assert_allclose(
            beside.score_samples(rows, task=ids[:n]),
            det.adapt(rows).score_samples(rows),
            atol=1e-9,
        )


@pytest.mark.parametrize("unit", [1e-30, 1e-13, 1e20])
def test_the_unit_of_a_table_does_not_matter(unit):
    X = np.random.default_rng(0).normal(size=(100, 4))
    scores = UniversalDetector().fit(X).score_samples(X)
    scaled = UniversalDetector().fit(X * unit).score_samples(X * unit)
    np.testing.assert_allclose(scaled, scores, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_iter", 0, ValueError),
        ("n_draws", 1.5, TypeError),
        ("n_members", "a", TypeError),
    ],
)
def test_numbers_of_training_are_checked(tables, name, value, error):
    with pytest.raises(error, match=f"{name}={value!r}"):
        UniversalDetector().meta_fit(tables, **{name: value})
