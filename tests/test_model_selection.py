"""Splits by task, and few-shot metrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    OneHotEncoder,
    StandardScaler,
)

from skmetaad import (
    FewShotScorer,
    LabelsIgnoredWarning,
    LeaveOneTaskOut,
    MetaPrototypeDetector,
    Task,
    TaskCollection,
    TaskKFold,
    TaskShuffleSplit,
    few_shot_scores,
    support_query_split,
)
from skmetaad.datasets import make_fleet

IDS = st.one_of(st.integers(-3, 3), st.sampled_from("abcdef"))


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=9, n_rows=60, n_features=4, random_state=0)


@pytest.fixture(scope="module")
def fitted(fleet):
    return MetaPrototypeDetector(n_iter=30, random_state=0).fit(fleet[:6])


@pytest.fixture(scope="module")
def mixed(fleet):
    """Return a frame of numbers and text, labels and task ids."""
    pd = pytest.importorskip("pandas")
    X, y, task = fleet.arrays()
    df = pd.DataFrame(X, columns=list("abcd"), index=np.arange(len(X)) // 2)
    df["os"] = np.random.default_rng(0).choice(["linux", "bsd"], len(X))
    return df, y, task


def encoded(det):
    text = OneHotEncoder(handle_unknown="ignore"), ["os"]
    return make_pipeline(
        make_column_transformer(text, (StandardScaler(), list("abcd"))), det
    )


class FirstColumn(BaseEstimator):
    """A detector whose decision is the first value of a row."""

    def adapt(self, X, y=None, *, task=None):
        return self

    def decision_function(self, X, task=None):
        self.seen = X
        return np.asarray(X)[:, 0].astype(float)


# ------------------------------------------------------------------------- splitters


@settings(max_examples=60, deadline=None)
@given(task=st.lists(IDS, min_size=2, max_size=40), seed=st.integers(0, 9))
def test_no_task_is_on_both_sides(task, seed):
    n_tasks, X = len(set(task)), np.zeros((len(task), 1))
    splitters = [LeaveOneTaskOut(), TaskShuffleSplit(2, random_state=seed)]
    splitters += [TaskKFold(2, shuffle=True, random_state=seed)]
    for splitter in splitters if n_tasks > 1 else []:
        held_out = []
        for train, test in splitter.split(X, task=task):
            sides = {task[i] for i in train}, {task[i] for i in test}
            assert not sides[0] & sides[1]
            assert sides[0] | sides[1] == set(task)
            assert len(train) + len(test) == len(task)
            held_out += test.tolist()
        if not isinstance(splitter, TaskShuffleSplit):
            assert sorted(held_out) == list(range(len(task)))


def test_groups_are_another_name_for_task():
    task = np.repeat(["x", "y", "z"], 4)
    a = TaskKFold(3).split(np.zeros((12, 1)), groups=task)
    b = TaskKFold(3).split(np.zeros((12, 1)), task=task)
    for one, other in zip(a, b, strict=True):
        np.testing.assert_array_equal(one[1], other[1])


def test_a_collection_is_split_into_tasks(fleet):
    for train, test in TaskKFold(3).split(fleet):
        assert sorted([*train, *test]) == list(range(9))
        assert not set(fleet[train].ids) & set(fleet[test].ids)
    assert LeaveOneTaskOut().get_n_splits(fleet) == 9


def test_related_tasks_of_a_collection_stay_together(fleet):
    family = list("aabbbccdd")
    for splitter in (TaskKFold(4), LeaveOneTaskOut(), TaskShuffleSplit(3)):
        for train, test in splitter.split(fleet, groups=family):
            assert not {family[i] for i in train} & {family[i] for i in test}
    assert LeaveOneTaskOut().get_n_splits(fleet, groups=family) == 4
    with pytest.raises(ValueError, match="groups has 3 labels, X 9 tasks"):
        next(TaskKFold(2).split(fleet, groups=list("abc")))
    with pytest.raises(ValueError, match="beside"):
        next(TaskKFold(2).split(fleet, task=family))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "task"),
        ({"task": [0, 1]}, "2 ids"),
        ({"task": [0, 1, 1], "groups": [0, 0, 1]}, "groups"),
        ({"task": [0, 0, 0]}, "splits"),
    ],
)
def test_splits_that_cannot_be_made_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        next(TaskKFold(2).split(np.zeros((3, 1)), **arguments))


# --------------------------------------------------------------- support_query_split


def test_support_and_query_share_no_row_and_leave_none_out(fleet):
    support, query = support_query_split(fleet, n_support=7, random_state=1)
    for one, kept, rest in zip(fleet, support, query, strict=True):
        assert len(kept) == 7 and (kept.y == 1).all()
        rows = np.concatenate([kept.X, rest.X])
        np.testing.assert_array_equal(
            rows[np.lexsort(rows.T)], one.X[np.lexsort(one.X.T)]
        )


def test_arrays_split_like_the_collection(fleet):
    X, y, task = fleet.arrays()
    Xs, Xq, ys, yq, ts, tq = support_query_split(
        X, y, task=task, n_support=5, n_outliers=2, random_state=3
    )
    support, query = support_query_split(
        fleet, n_support=5, n_outliers=2, random_state=3
    )
    np.testing.assert_array_equal(Xs, support.arrays()[0])
    np.testing.assert_array_equal(yq, query.arrays()[1])
    assert [(ys[ts == t] == -1).sum() for t in fleet.ids] == [2] * 9
    assert len(Xq) == len(tq)


def test_hidden_outliers_are_not_labelled(fleet):
    support, query = support_query_split(
        fleet, n_support=10, contamination=0.2, random_state=0
    )
    for one, kept, rest in zip(fleet, support, query, strict=True):
        assert (kept.y == -1).sum() == 0 and (kept.y == 0).sum() == 2
        assert (rest.y == -1).sum() == (one.y == -1).sum() - 2


def test_frames_split_into_frames(mixed):
    df, y, task = mixed
    options = {"task": task, "n_support": 5, "contamination": 0.2, "random_state": 3}
    support, query, *labels = support_query_split(df, y, **options)
    number = support_query_split(np.arange(len(df))[:, None], y, **options)
    for part, rows in zip((support, query), number, strict=False):
        assert part.equals(df.iloc[rows[:, 0]])
    for found, wanted in zip(labels, number[2:], strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_a_task_that_is_too_small_is_named(fleet):
    with pytest.raises(ValueError, match="machine-0"):
        support_query_split(fleet, n_support=1000)


@pytest.mark.parametrize("score", [few_shot_scores, support_query_split])
@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (TypeError, "n_support", 2.5),
        (ValueError, "n_support", 0),
        (ValueError, "n_outliers", -1),
        (TypeError, "contamination", "0.1"),
        (ValueError, "contamination", 1.0),
    ],
)
def test_numbers_out_of_range_are_named(fleet, score, error, name, value):
    arguments = (FirstColumn(), fleet) if score is few_shot_scores else (fleet,)
    with pytest.raises(error, match=f"{name}={value!r}: expected"):
        score(*arguments, **{name: value})


# --------------------------------------------------------------------------- metrics


def _at_the_threshold(score, **options):
    return lambda y, d: score(y, np.where(d < 0, -1, 1), **options)


OUTLIERS = {"pos_label": -1, "zero_division": 0}


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("roc_auc", lambda y, d: roc_auc_score(y == -1, -d)),
        ("average_precision", lambda y, d: average_precision_score(y == -1, -d)),
        ("accuracy", _at_the_threshold(accuracy_score)),
        ("balanced_accuracy", _at_the_threshold(balanced_accuracy_score)),
        ("precision", _at_the_threshold(precision_score, **OUTLIERS)),
        ("recall", _at_the_threshold(recall_score, **OUTLIERS)),
        ("f1", _at_the_threshold(f1_score, **OUTLIERS)),
    ],
)
def test_metrics_equal_a_loop_over_adapted_detectors(fitted, fleet, name, by_hand):
    pairs = []

    def spy(y, decision):
        pairs.append((y, decision))
        return 0.0

    few_shot_scores(fitted, fleet[6:], metric=spy, n_support=5, random_state=4)
    found = few_shot_scores(fitted, fleet[6:], metric=name, n_support=5, random_state=4)
    for value, (y, decision) in zip(found.values(), pairs, strict=True):
        assert value == pytest.approx(by_hand(y, decision))
    for one, (y, decision) in zip(fleet[6:], pairs, strict=True):
        assert len(y) == len(one) - 5
        assert decision.shape == y.shape
        assert (y == -1).sum() == (one.y == -1).sum()


def test_draws_are_reproducible_and_repeats_are_averaged(fitted, fleet):
    score = lambda **kw: few_shot_scores(fitted, fleet[6:], n_support=3, **kw)  # noqa: E731
    assert score(random_state=1) == score(random_state=1)
    assert score(random_state=1) != score(random_state=2)
    once, thrice = score(n_repeats=1), score(n_repeats=3)
    assert list(once) == list(thrice) == list(fleet[6:].ids)
    assert once != thrice


def test_tasks_without_outliers_are_told_from_each_other(fitted, fleet):
    plain = TaskCollection([Task(t.id, t.X[t.y == 1]) for t in fleet[6:]])
    scores = few_shot_scores(fitted, plain)
    assert min(scores.values()) > 0.6
    alone = few_shot_scores(fitted, plain[:1])
    assert list(alone.values())[0] > 0.5


def test_outliers_from_other_tasks_are_distinct_rows_of_others():
    task = np.repeat(np.arange(5), [4, 9, 30, 5, 6])
    rows = 100 * task + np.arange(len(task))
    drawn = []

    def spy(y, decision):
        drawn.append((decision[y == 1], decision[y == -1]))
        return 0.0

    few_shot_scores(
        FirstColumn(), rows[:, None], task=task, metric=spy, n_support=2, n_repeats=5
    )
    assert len(drawn) == 25
    for place, (own, others) in enumerate(drawn):
        assert set(own // 100) == {place % 5}
        assert place % 5 not in others // 100
        assert len(set(others)) == len(others)
        n_others = len(task) - 5 * 2 - len(own)
        assert len(others) == min(len(own), n_others)


def test_a_pipeline_gets_a_frame_as_it_is(mixed):
    df, y, task = mixed
    pipe = encoded(MetaPrototypeDetector(n_iter=5, random_state=0))
    pipe.fit(df, y, metaprototypedetector__task=task)
    for labels in (y, None):
        found = few_shot_scores(pipe, df, labels, task=task)
        plain = few_shot_scores(pipe[-1], pipe[:-1].transform(df), labels, task=task)
        assert found == plain


def test_missing_values_reach_the_imputer(fleet):
    pd = pytest.importorskip("pandas")
    X, y, task = fleet.arrays()
    df = pd.DataFrame(X, columns=list("abcd")).astype("Float64")
    df.iloc[::5, 1] = pd.NA
    pipe = make_pipeline(
        SimpleImputer(), MetaPrototypeDetector(n_iter=5, random_state=0)
    ).fit(df, y, metaprototypedetector__task=task)
    filled = pipe[0].transform(df)
    found = few_shot_scores(pipe, df, y, task=task)
    assert found == few_shot_scores(pipe[-1], filled, y, task=task)


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("n_tasks", [1, 9])
def test_sparse_rows_reach_the_pipeline(fleet, n_tasks, labelled):
    X, y, task = fleet[:n_tasks].arrays()
    y = y if labelled else None
    scaled = MaxAbsScaler().fit(X)
    det = MetaPrototypeDetector(n_iter=3, n_calibration_networks=0, random_state=0)
    to_array = FunctionTransformer(np.asarray)
    dense = make_pipeline(to_array, det.fit(scaled.transform(X), y, task=task))
    to_array = FunctionTransformer(lambda rows: rows.toarray(), accept_sparse=True)
    pipe = make_pipeline(to_array, det)
    rows = sparse.csc_matrix(scaled.transform(X))
    found = few_shot_scores(pipe, rows, y, task=task)
    assert found == few_shot_scores(dense, rows.toarray(), y, task=task)
    support, query, *_ = support_query_split(rows, y, task=task, n_support=5)
    assert support.shape[0] == 5 * n_tasks and query.shape[0] == len(X) - 5 * n_tasks


def test_departures_of_one_frame_are_shuffled_rows_of_its_types(mixed):
    df = mixed[0][:40]
    det = FirstColumn()
    few_shot_scores(det, df, n_support=10)
    assert len(det.seen) == 60
    assert (det.seen.dtypes == df.dtypes).all()
    own, made = det.seen[:30], det.seen[30:]
    for name in df:
        assert sorted(own[name]) == sorted(made[name])
    assert len(own.merge(made)) < 5

    few_shot_scores(det, df[list("abcd")], n_support=10)
    assert list(det.seen) == list("abcd")
    assert not set(det.seen["a"][30:]) <= set(df["a"])


def test_labelled_and_hidden_outliers_go_into_the_support(fitted, fleet):
    sizes = []
    few_shot_scores(
        fitted,
        fleet[6:],
        metric=lambda y, d: sizes.append((y == -1).sum()) or 0.0,
        n_support=10,
        n_outliers=2,
        contamination=0.1,
    )
    assert sizes == [(t.y == -1).sum() - 3 for t in fleet[6:]]


class Watch(FirstColumn):
    """Whose first column tells when a row came; notes what it adapts to and judges."""

    def adapt(self, X, y=None, *, task=None):
        self.support, self.y, self.task = X, y, task
        return self

    def decision_function(self, X, task=None):
        self.query, self.query_task = X, task
        return super().decision_function(X)


@pytest.mark.parametrize("contamination", [0.0, 0.3])
@pytest.mark.parametrize("n_outliers", [0, 2])
def test_in_order_of_time_the_support_comes_first(fleet, n_outliers, contamination):
    tasks = TaskCollection(
        [Task(t.id, np.c_[np.arange(len(t)), t.X], t.y) for t in fleet]
    )
    det, options = Watch(), {"n_outliers": n_outliers, "contamination": contamination}
    for n_support in (5, 1000):
        few_shot_scores(det, tasks, n_support=n_support, chronological=True, **options)
        for i, task in enumerate(tasks):
            at, later = det.support[det.task == i], det.query[det.query_task == i]
            cut = np.flatnonzero(task.y == 1)[(task.y == 1).sum() // 2]
            assert at[:, 0].max() < cut
            past = (task.y[:cut] == -1).sum()
            n_told = 0 if det.y is None else (det.y[det.task == i] == -1).sum()
            assert n_told == min(n_outliers, past)
            assert set(range(cut, len(task))) <= set(later[:, 0])
    support, query = support_query_split(
        tasks, n_support=5, chronological=True, random_state=0
    )
    for one, other in zip(support, query, strict=True):
        assert one.X[:, 0].max() < other.X[:, 0].min()
    in_a_row = {"n_support": 5, "chronological": "consecutive"}
    few_shot_scores(det, tasks, **in_a_row, **options)
    split, _ = support_query_split(tasks, random_state=0, **in_a_row)
    for i, task in enumerate(tasks):
        for support in (det.support[det.task == i], split[i].X):
            at = support[:, 0].astype(int)
            place = np.flatnonzero(np.isin(np.flatnonzero(task.y == 1), at))
            np.testing.assert_array_equal(place, place[0] + np.arange(len(place)))
            assert np.isin(at, np.flatnonzero(task.y == 1)).sum() == len(place) >= 3


def test_the_score_of_a_detector_in_order_of_time(fleet):
    det = MetaPrototypeDetector(n_iter=3, n_calibration_networks=0, random_state=0)
    det.set_params(chronological=True).fit(fleet[:6])
    want = FewShotScorer(chronological=True)(det, fleet[6:])
    assert det.score(fleet[6:]) == want != FewShotScorer()(det, fleet[6:])
    det.set_params(chronological="consecutive")
    in_a_row = FewShotScorer(chronological="consecutive")(det, fleet[6:])
    assert det.score(fleet[6:]) == in_a_row != want
    with pytest.raises(ValueError, match="chronological='yes'"):
        FewShotScorer(chronological="yes")
    with pytest.raises(ValueError, match="chronological=2"):
        few_shot_scores(det, fleet[6:], chronological=2)
    with pytest.raises(ValueError, match="chronological='yes'"):
        support_query_split(fleet, n_support=2, chronological="yes")


@pytest.mark.parametrize("contamination", [0.1, 0.3, 0.99])
@pytest.mark.parametrize("n_outliers", [0, 5])
def test_an_outlier_is_left_in_every_query(fleet, contamination, n_outliers):
    X = fleet[0].X[:40]
    few = [Task(n, np.r_[X, X[:n]], np.repeat([1, -1], [40, n])) for n in (1, 2, 3)]
    sizes = []
    few_shot_scores(
        FirstColumn(),
        TaskCollection(few),
        metric=lambda y, d: sizes.append(((y == 1).sum(), (y == -1).sum())) or 0.0,
        contamination=contamination,
        n_outliers=n_outliers,
    )
    for n, (n_in, n_out) in enumerate(sizes, start=1):
        labelled = min(n_outliers, n // 2)
        hidden = min(round(10 * contamination), n - labelled - 1)
        assert n_out == n - labelled - hidden >= 1
        assert n_in == 40 - (10 - hidden)


def test_the_scorer_is_the_mean_over_tasks(fitted, fleet):
    scorer = FewShotScorer("average_precision", n_support=5, random_state=2)
    values = scorer.per_task(fitted, fleet[6:])
    assert scorer(fitted, fleet[6:]) == pytest.approx(np.mean(list(values.values())))
    assert "average_precision" in repr(scorer)
    assert fitted.score(fleet[6:]) == pytest.approx(
        np.mean(list(few_shot_scores(fitted, fleet[6:]).values()))
    )


def test_the_scorer_takes_ids_under_another_name(fleet):
    X, y, task = fleet.arrays()
    det = MetaPrototypeDetector(n_iter=3, n_calibration_networks=0, random_state=0)

    scorer = FewShotScorer()

    def scored(name):
        with config_context(enable_metadata_routing=True):
            return cross_val_score(
                clone(det).set_fit_request(task=name),
                X,
                y,
                cv=TaskKFold(2).set_split_request(task=name),
                scoring=clone(scorer.set_score_request(task=name), safe=False),
                params={name: task},
                error_score="raise",
            )

    np.testing.assert_array_equal(scored("unit"), scored("task"))


def test_unknown_metrics_and_too_small_tasks_are_named(fitted, fleet):
    with pytest.raises(ValueError, match="metric='auc'.*roc_auc"):
        FewShotScorer("auc")
    small = TaskCollection([Task("lonely", fleet[0].X[:1]), fleet[1]])
    with pytest.raises(ValueError, match="lonely"):
        few_shot_scores(fitted, small)


def test_a_collection_brings_its_own_labels_and_ids(fleet):
    _, y, task = fleet.arrays()
    for name, value in (("y", y), ("task", task)):
        with pytest.raises(ValueError, match=f"{name} was given"):
            few_shot_scores(FirstColumn(), fleet, **{name: value})


def test_nothing_to_score_is_told(fleet):
    with pytest.raises(ValueError, match="X is an empty collection"):
        few_shot_scores(FirstColumn(), fleet[:0])
    for score in (lambda X: few_shot_scores(FirstColumn(), X), support_query_split):
        with pytest.raises(ValueError, match="X has 0 rows"):
            score(np.empty((0, 3)))
    for n_repeats, error in ((0, ValueError), (1.0, TypeError)):
        with pytest.raises(error, match=f"n_repeats={n_repeats}: expected"):
            FewShotScorer(n_repeats=n_repeats)


def test_pyods_labels_are_warned_of_where_supports_are_drawn(fleet):
    X, y, task = fleet.arrays()
    with pytest.warns(LabelsIgnoredWarning, match="from_pyod_labels"):
        support_query_split(X, (y == -1).astype(int), task=task, n_support=3)


def test_a_metric_that_is_none_is_named(fleet):
    with pytest.raises(ValueError, match=r"metric=\['roc_auc'\]"):
        few_shot_scores(FirstColumn(), fleet, metric=["roc_auc"])
    with pytest.raises(TypeError, match="returned None: expected a number"):
        few_shot_scores(FirstColumn(), fleet, metric=lambda y, decision: None)


def test_decision_values_without_a_number_are_named(fleet):
    class Lost(FirstColumn):
        def decision_function(self, X, *, task=None):
            return np.full(len(X), np.nan)

    for metric in ("roc_auc", "average_precision"):
        with pytest.raises(ValueError, match="NaN"):
            few_shot_scores(Lost(), fleet, metric=metric)


def test_groups_of_tasks_may_be_any_iterable_and_none_at_all():
    tasks = make_fleet(n_tasks=4, n_rows=10, random_state=0)
    splits = TaskKFold(2).split(tasks, groups=(i % 2 for i in range(4)))
    assert [test.tolist() for _, test in splits] == [[1, 3], [0, 2]]
    assert LeaveOneTaskOut().get_n_splits([], groups=[]) == 0
