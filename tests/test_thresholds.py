"""Thresholds: quantiles of held-out scores, moved by what the fleet shows."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from skmetaad import (
    MAMLAutoencoderDetector,
    MetaPrototypeDetector,
    PyODDetector,
    RelationNetworkDetector,
    SiameseDetector,
    Task,
    TaskCollection,
    UniversalDetector,
    support_query_split,
)
from skmetaad._held_out import learned_offsets, two_fold_scores
from skmetaad._rows import Rows
from skmetaad.datasets import make_fleet, make_tables
from skmetaad.thresholds import (
    balanced_offsets,
    fleet_offsets,
    own_quantile,
    task_offsets,
)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5),
    share=st.floats(0, 1),
)
def test_own_quantile_is_numpys_on_each_tasks_rows(seed, sizes, share):
    rng = np.random.default_rng(seed)
    scores = np.full((len(sizes), 9), np.nan)
    for row, n in zip(scores, sizes, strict=True):
        row[rng.permutation(9)[:n]] = rng.normal(size=n)
    want = np.nanquantile(scores, share, axis=1)
    np.testing.assert_allclose(own_quantile(scores, share), want)


@pytest.mark.parametrize("contamination", [0.02, 0.1, 0.5])
def test_offsets_flag_the_share_asked_for_on_the_fleet_itself(contamination):
    rng = np.random.default_rng(0)
    level = rng.normal(size=200)
    own = level + 0.3 * rng.normal(size=200)
    scores = level[:, None] + rng.normal(size=(200, 100))
    found = fleet_offsets(own, scores, contamination)
    names = ("level", "center", "slope", "spread")
    fleet = {k: np.array([v]) for k, v in zip(names, found, strict=True)}
    fleet |= {"shots": np.array([10.0])}
    offset = task_offsets(own, np.full(200, 10), fleet)
    flagged = (scores < offset[:, None]).mean()
    assert flagged == pytest.approx(contamination, abs=0.02)
    assert 0.8 < found[2] <= 1  # own quantiles are good here, and are followed


def test_own_quantiles_that_tell_nothing_are_not_followed():
    rng = np.random.default_rng(0)
    own, scores = rng.normal(size=400), rng.normal(size=(400, 50))
    assert fleet_offsets(own, scores, 0.1)[2] < 0.1


def balanced_accuracy(offset, inliers, outliers):
    kept = (inliers >= offset[:, None]).mean()
    return (kept + (outliers < offset[:, None]).mean()) / 2


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), slope=st.sampled_from([0.0, 0.5, 1.0]))
def test_hardly_a_threshold_is_more_accurate_than_the_balanced_one(seed, slope):
    rng = np.random.default_rng(seed)
    own = rng.normal(size=60)
    own[rng.random(60) < 0.2] = np.nan
    level = np.where(np.isnan(own), 0.0, slope * own)[:, None]
    inliers = level + rng.normal(1.0, size=(60, 30))
    outliers = level + 2.0 * rng.normal(-1.5, size=(60, 20))
    level, center, slope, spread = balanced_offsets(own, inliers, outliers)
    away = np.where(np.isnan(own), 0.0, own - center)
    found = balanced_accuracy(level + slope * away, inliers, outliers)
    for other in (0.0, 0.25, 0.5, 0.75, 1.0):
        for cut in np.quantile(inliers - other * away[:, None], np.linspace(0, 1, 99)):
            offset = cut + other * away
            assert balanced_accuracy(offset, inliers, outliers) <= found + 0.02
    known = own[~np.isnan(own)]
    assert spread == pytest.approx(known.std())


def test_the_balanced_threshold_of_equal_scores_lies_between_them():
    none = np.full(3, np.nan)
    found = balanced_offsets(none, np.full((3, 4), 2.0), np.full((3, 5), -1.0))
    assert -1 < found[0] < 2
    assert np.isnan(found[1]) and found[2:] == (0.0, 0.0)


def test_calibrating_on_outliers_is_more_accurate_than_a_share_of_inliers():
    fleet = make_fleet(n_tasks=40, n_features=6, random_state=3)
    det = MetaPrototypeDetector(n_iter=50, contamination=0.4, random_state=0)
    det.fit(fleet[:15])
    accuracy = {}
    for balanced in (False, True):
        found = det.calibrate(fleet[15:25], balanced=balanced)
        support, query = support_query_split(fleet[25:], n_support=10, random_state=0)
        X, y, task = query.arrays()
        flagged = found.adapt(support).predict(X, task=task) == -1
        accuracy[balanced] = (flagged[y == -1].mean() + (~flagged[y == 1]).mean()) / 2
    assert accuracy[True] > accuracy[False] + 0.05


def test_calibrating_on_outliers_needs_some():
    fleet = make_fleet(n_tasks=6, n_features=4, random_state=0)
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet)
    normal = fleet[0].X[fleet[0].y == 1]
    with pytest.raises(ValueError, match="balanced=True with one task"):
        det.calibrate(normal, balanced=True)
    knn = pytest.importorskip("pyod.models.knn").KNN()
    knn = PyODDetector(knn).fit(fleet)
    for balanced in (True, False):
        with pytest.raises(ValueError, match="PyODDetector sets thresholds without"):
            knn.calibrate(fleet, balanced=balanced)


def test_calibrating_on_arrays_takes_their_labels():
    fleet = make_fleet(n_tasks=16, n_features=4, random_state=0)
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet[:6])
    X, y, task = fleet[6:].arrays()
    one = det.calibrate(X, y, task=task).offset_prior_
    other = det.calibrate(fleet[6:]).offset_prior_
    assert set(one) == set(other)
    for name in ("level", "center", "slope"):
        np.testing.assert_array_equal(one[name], other[name])


def test_a_task_unlike_the_fleet_keeps_its_own_quantile():
    fleet = {
        "shots": np.array([1.0, 10.0]),
        "level": np.array([0.0, 1.0]),
        "center": np.array([0.0, 1.0]),
        "slope": np.array([0.0, 0.0]),
        "spread": np.array([0.5, 0.5]),
    }
    near, far = task_offsets(np.array([1.5, -20.0]), np.array([10, 10]), fleet)
    assert near == 1.0
    assert far == -19.0


def test_supports_of_other_sizes_lie_between_and_beyond_the_fleets():
    fleet = {
        "shots": np.array([1.0, 4.0]),
        "level": np.array([0.0, 2.0]),
        "center": np.zeros(2),
        "slope": np.zeros(2),
        "spread": np.ones(2),
    }
    none = np.full(4, np.nan)
    offsets = task_offsets(none, np.array([1, 2, 4, 900]), fleet)
    np.testing.assert_allclose(offsets, [0, 1, 2, 2])


def test_two_fold_scores_are_those_of_each_half_by_the_other():
    fleet = make_fleet(n_tasks=8, n_features=4, random_state=0)
    det = MAMLAutoencoderDetector(n_iter=5, random_state=0).fit(fleet)
    X = fleet[0].X[None, :7].astype(np.float64)
    y = np.array([[1, 1, 1, -1, 1, 1, 0]], dtype=np.int8)
    mask = np.array([[True] * 6 + [False]])
    X[~mask] = 0.0
    found = two_fold_scores(det, X, y, mask)[0]
    assert np.isnan(found[[3, 6]]).all()
    inliers, same = {0, 1, 2, 4, 5}, []
    for half in combinations(inliers, 3):
        want = np.full(7, np.nan)
        for held in (set(half), inliers - set(half)):
            rows = [*(inliers - held), 3]
            state = det._adapt(X[:, rows], y[:, rows], mask[:, rows])
            want[[*held]] = det._score(state, X[:, [*held]])[0]
        same.append(np.allclose(found, want, rtol=1e-4, atol=1e-5, equal_nan=True))
    assert sum(same) == 1


class Nearest:
    """Scores rows by the distance to the nearest one adapted to."""

    def _adapt(self, X, y, mask):
        return {"rows": np.where(mask[..., None], X, np.inf)}

    def _score(self, state, X):
        return -np.abs(X[:, :, None, 0] - state["rows"][:, None, :, 0]).min(axis=2)


def test_halves_of_rows_that_come_sorted_are_drawn_at_random():
    X = np.arange(40.0).reshape(1, 40, 1)
    y = np.ones((1, 40), np.int8)
    found = two_fold_scores(Nearest(), X, y, y == 1)
    assert 0.1 < (found < -1).mean() < 0.5  # of every second row all are 1 off
    padded, label = np.pad(X, ((0, 0), (0, 9), (0, 0))), np.pad(y, ((0, 0), (0, 9)))
    again = two_fold_scores(Nearest(), padded, label, label == 1)
    np.testing.assert_array_equal(again[:, :40], found)


def test_tasks_with_enough_labelled_outliers_teach_what_many_do():
    code = np.repeat(np.arange(6), 30)
    y = np.ones(180, np.int8)
    for task, n in enumerate((1, 2, 2, 4, 6, 0)):
        y[np.flatnonzero(code == task)[:n]] = -1
    rows = Rows(np.arange(180.0)[:, None], y, code, tuple(range(6)))
    det, seen = MAMLAutoencoderDetector(n_iter=2).fit(rows.X, y, task=code), []

    def adapted(X, y, mask):
        seen.append(np.unique((y == -1).sum(axis=1)).tolist())
        return Nearest._adapt(det, X, y, mask)

    det._adapt, det._score = adapted, partial(Nearest._score, det)
    det._held_out = lambda X, y, mask, state: np.full(mask.shape, np.nan)
    learned_offsets([(det, None)], rows, np.random.default_rng(0))
    shots, labelled = seen[:5], seen[5:]
    assert shots == [[0]] * 5
    assert labelled == [[1]] * 2 + [[4]] * 2


def test_one_row_has_no_held_out_score():
    fleet = make_fleet(n_tasks=8, n_features=4, random_state=0)
    det = MetaPrototypeDetector(n_iter=5, random_state=0).fit(fleet)
    one = np.ones((1, 1))
    X = fleet[0].X[None, :1]
    state = det._adapt(X, one.astype(np.int8), one.astype(bool))
    for scores in (
        two_fold_scores(det, X, one.astype(np.int8), one.astype(bool)),
        det._held_out(X, one.astype(np.int8), one.astype(bool), state),
    ):
        assert np.isnan(scores).all()


@pytest.mark.parametrize("cls", [MetaPrototypeDetector, MAMLAutoencoderDetector])
def test_false_alarms_on_new_machines_are_near_the_share_asked_for(cls):
    fleet = make_fleet(n_tasks=60, n_rows=160, n_features=6, random_state=5)
    det = cls(n_iter=150, random_state=0).fit(fleet[:30])
    for n_support in (2, 10, 50):
        rates = []
        for task in fleet[30:]:
            normal = task.X[task.y == 1]
            new = det.adapt(normal[:n_support])
            rates.append((new.predict(normal[n_support:]) == -1).mean())
        assert 0.05 < np.mean(rates) < 0.2, n_support


def test_thresholds_of_hundreds_of_rows_are_learned_too():
    fleet = make_fleet(n_tasks=50, n_rows=400, random_state=0)
    det = SiameseDetector(n_iter=60, n_calibration_networks=4, random_state=0)
    det.fit(fleet[:30])
    assert det.offset_prior_["shots"].max() == det.max_support
    normal = [task.X[task.y == 1] for task in fleet[30:]]
    new = np.repeat(np.arange(20), 256)
    adapted = det.adapt(np.concatenate([X[:256] for X in normal]), task=new)
    rest = [X[256:] for X in normal]
    task = np.repeat(np.arange(20), [len(X) for X in rest])
    flagged = (adapted.predict(np.concatenate(rest), task=task) == -1).mean()
    assert 0.06 < flagged < 0.14  # 0.03 with thresholds of fifty rows


def drifting(n_tasks, seed):
    """Tasks of rows in time order, each moving away from where it began."""
    rng = np.random.default_rng(seed)
    tasks = []
    for i in range(n_tasks):
        away = 2.5 * np.linspace(0, 1, 120)[:, None] * rng.normal(size=4)
        tasks.append(Task(f"{i}", rng.normal(size=(120, 4)) + away))
    return TaskCollection(tasks)


@pytest.mark.parametrize(
    "det",
    [
        MetaPrototypeDetector(n_iter=60, random_state=0),
        pytest.param(UniversalDetector(random_state=0), marks=pytest.mark.slow),
    ],
    ids=lambda det: type(det).__name__,
)
def test_drift_is_part_of_thresholds_that_are_learned_in_order(det):
    known, new = drifting(24, 0), drifting(12, 1)
    shares = []
    for in_order in (False, True):
        det = clone(det).set_params(chronological=in_order).fit(known)
        for fitted in (det, det.calibrate(drifting(24, 2))):
            flagged = [
                fitted.adapt(task.X[:60:6]).predict(task.X[60:]) == -1 for task in new
            ]
            shares.append(np.mean(flagged))
    assert min(shares[:2]) > 0.2
    assert all(0.04 < share < 0.18 for share in shares[2:])
    assert shares[0] > 2 * shares[2] and shares[1] > 2 * shares[3]


def swinging(n_tasks, seed):
    """Tasks of rows in time order, whose columns go up and down at their own pace."""
    rng = np.random.default_rng(seed)
    at = np.arange(160)[:, None] / rng.uniform(30, 60, (n_tasks, 1, 4))
    X = 2 * np.sin(2 * np.pi * (at + rng.random((n_tasks, 1, 4))))
    X += 0.3 * rng.normal(size=X.shape)
    return TaskCollection([Task(f"{i}", own) for i, own in enumerate(X)])


def test_thresholds_of_rows_in_a_row_are_learned_from_such():
    known, new = swinging(24, 0), swinging(12, 1)
    runs = [(task, i) for task in new for i in range(0, 71, 5)]
    supports = TaskCollection(
        [Task(f"{task.id} {i}", task.X[i : i + 10]) for task, i in runs]
    )
    X = np.concatenate([task.X[80:] for task, _ in runs])
    shares = []
    for in_order in (True, "consecutive"):
        det = MetaPrototypeDetector(n_iter=60, chronological=in_order, random_state=0)
        adapted = det.fit(known).adapt(supports)
        flagged = adapted.predict(X, task=np.repeat(supports.ids, 80)) == -1
        shares.append(np.mean(flagged))
    assert shares[0] > 0.2
    assert 0.04 < shares[1] < 0.18


@pytest.mark.slow
@pytest.mark.parametrize("cls", [MAMLAutoencoderDetector, RelationNetworkDetector])
def test_labelled_outliers_in_a_support_leave_false_alarms_where_they_were(cls):
    fleet = make_fleet(n_tasks=110, n_rows=100, random_state=0)
    det = cls(n_iter=80, random_state=0).fit(fleet[:40])
    calibrated = det.calibrate(fleet[40:80])
    shares = {n: [] for n in (0, 1, 3, 8)}
    for task in fleet[80:]:
        inlier, outlier = (np.flatnonzero(task.y == label) for label in (1, -1))
        for n, found in shares.items():
            support = np.r_[inlier[:10], outlier[:n]]
            y = task.y[support] if n else None
            for fitted in (det, calibrated):
                adapted = fitted.adapt(task.X[support], y)
                found.append(np.mean(adapted.predict(task.X[inlier[10:]]) == -1))
    assert all(0.04 < np.mean(found) < 0.18 for found in shares.values())


def test_another_contamination_needs_thresholds_learned_anew():
    fleet = make_fleet(n_tasks=6, n_rows=60, random_state=0)
    det = MetaPrototypeDetector(n_iter=5, n_networks=1, random_state=0).fit(fleet)
    before = det.adapt(fleet[:2]).task_offsets_
    det.set_params(contamination=0.3)
    with pytest.raises(ValueError, match="contamination=0.3.*0.1.*calibrate"):
        det.adapt(fleet[:2])
    assert (det.calibrate(fleet).adapt(fleet[:2]).task_offsets_ > before).all()
    with pytest.raises(ValueError, match="contamination"):
        det.set_params(contamination=7).calibrate(fleet)


def test_calibrating_learns_from_any_number_of_tasks_of_any_width():
    tables = make_tables(2, n_rows=(80, 90), n_features=(4, 5), random_state=0)
    wide = make_tables(5, n_rows=(80, 90), n_features=(9, 12), random_state=1)
    det = UniversalDetector().fit(tables)
    calibrated = det.calibrate(wide)
    assert set(calibrated.offset_prior_) == {"labelled", *det.offset_prior_}
    assert 0 < det.score(wide) <= 1
    assert (calibrated.adapt(tables).task_offsets_ != det.task_offsets_).all()


@pytest.mark.slow
def test_calibrating_on_other_tasks_mends_thresholds_set_by_seen_ones():
    """Networks that have learned few tasks by heart score these too well."""
    fleet = make_fleet(n_tasks=60, random_state=0)
    det = MetaPrototypeDetector(
        hidden_sizes=(256, 64),
        n_networks=1,
        n_calibration_networks=0,
        learning_rate=1e-2,
        random_state=0,
    ).fit(fleet[:5])
    before = det.offset_prior_
    calibrated = det.calibrate(fleet[5:35])
    assert det.offset_prior_ is before
    support, query = support_query_split(fleet[35:], n_support=5, random_state=0)
    X, y, task = query.arrays()

    def error(detector):
        flagged = detector.adapt(support).predict(X, task=task)[y == 1] == -1
        return abs(flagged.mean() - 0.1)

    assert error(calibrated) < 0.05
    assert error(calibrated) <= error(det)


def test_tasks_held_out_by_fit_set_the_thresholds(monkeypatch):
    seen = []

    def spy(judges, *args, **options):
        seen.extend(tasks for _, tasks in judges)
        return learned_offsets(judges, *args, **options)

    for module in ("detectors._torch", "base"):
        monkeypatch.setattr(f"skmetaad.{module}.learned_offsets", spy)
    fleet = make_fleet(n_tasks=10, random_state=0)
    det = MetaPrototypeDetector(n_iter=5, early_stopping=True, random_state=0)
    det.fit(fleet)
    det.calibrate(fleet)
    assert [None if tasks is None else len(tasks) for tasks in seen] == [2, None]
    assert not any(name.startswith("_calib") for name in vars(det))


def test_a_fleet_without_own_quantiles_says_nothing_of_how_to_follow_them():
    level, center, slope, spread = fleet_offsets([np.nan] * 3, [[0, 1, 2]] * 3, 0.5)
    assert level == 1 and np.isnan(center) and slope == spread == 0
    fleet = {"shots": [1], "level": [1], "center": [center], "slope": [0.0]}
    fleet = {k: np.array(v, float) for k, v in (fleet | {"spread": [0.0]}).items()}
    offsets = task_offsets(np.array([-9.0, np.nan]), np.array([20, 1]), fleet)
    np.testing.assert_array_equal(offsets, [1, 1])


def test_a_fleet_of_tasks_of_two_rows_does_not_flag_most_of_a_larger_one():
    fleet = make_fleet(60, 200, 6, outlier_fraction=0.0, random_state=1)
    tasks = [Task(task.id, task.X[:2]) for task in fleet[:50]]
    det = MetaPrototypeDetector(n_iter=30, random_state=0).fit(tasks)
    new = det.adapt(TaskCollection([Task(t.id, t.X[:20]) for t in fleet[50:]]))
    flagged = [new.predict(t.X[20:], task=[t.id] * 180) == -1 for t in fleet[50:]]
    assert np.mean(flagged) < 0.2


@pytest.mark.parametrize(
    ("scores", "share", "message"), [([1.0], 0.1, "shape"), ([[1.0]], 3, "contaminat")]
)
def test_scores_and_shares_that_cannot_be_are_named(scores, share, message):
    with pytest.raises(ValueError, match=message):
        own_quantile(scores, share)


def test_scores_that_are_none_have_no_quantile():
    found = own_quantile([[-np.inf, 2, 3, 4], [np.nan, np.inf, 5, 5]], 0.5)
    np.testing.assert_array_equal(found, [3, 5])
    assert np.isnan(own_quantile(np.empty((3, 0)), 0.1)).all()


@pytest.mark.parametrize(
    ("own", "scores", "message"),
    [
        ([1.0], [[1.0], [2.0]], r"scores has shape \(2, 1\), own \(1,\)"),
        ([1.0], [[]], r"shape \(1, 0\)"),
        ([1.0], [[np.nan]], "holds NaN"),
    ],
)
def test_fleets_that_tell_nothing_are_named(own, scores, message):
    with pytest.raises(ValueError, match=message):
        fleet_offsets(own, scores, 0.1)
    with pytest.raises(ValueError, match=f"outlier_scores.*{message[6:]}"):
        balanced_offsets([1.0] * len(own), [[1.0]] * len(own), scores)


def test_a_share_of_a_fleet_is_one():
    with pytest.raises(ValueError, match="contamination=1.5"):
        fleet_offsets([1.0], [[1.0]], 1.5)
