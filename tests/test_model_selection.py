"""Splits by task, and few-shot metrics."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from skmetaad import (
    FewShotScorer,
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


def test_a_task_that_is_too_small_is_named(fleet):
    with pytest.raises(ValueError, match="machine-0"):
        support_query_split(fleet, n_support=1000)


# --------------------------------------------------------------------------- metrics


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("roc_auc", lambda y, d: roc_auc_score(y == -1, -d)),
        ("average_precision", lambda y, d: average_precision_score(y == -1, -d)),
        ("f1", lambda y, d: f1_score(y, np.where(d < 0, -1, 1), pos_label=-1)),
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


@pytest.mark.parametrize("name", ["accuracy", "balanced_accuracy", "precision"])
def test_metrics_at_the_threshold_lie_between_0_and_1(fitted, fleet, name):
    for value in few_shot_scores(fitted, fleet[6:], metric=name).values():
        assert 0 <= value <= 1


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


def test_the_scorer_is_the_mean_over_tasks(fitted, fleet):
    scorer = FewShotScorer("average_precision", n_support=5, random_state=2)
    values = scorer.per_task(fitted, fleet[6:])
    assert scorer(fitted, fleet[6:]) == pytest.approx(np.mean(list(values.values())))
    assert "average_precision" in repr(scorer)
    assert fitted.score(fleet[6:]) == pytest.approx(
        np.mean(list(few_shot_scores(fitted, fleet[6:]).values()))
    )


def test_unknown_metrics_and_too_small_tasks_are_named(fitted, fleet):
    with pytest.raises(ValueError, match="metric='auc'.*roc_auc"):
        FewShotScorer("auc")
    small = TaskCollection([Task("lonely", fleet[0].X[:1]), fleet[1]])
    with pytest.raises(ValueError, match="lonely"):
        few_shot_scores(fitted, small)
