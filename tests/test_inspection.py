"""The displays: what they show, and what they refuse."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy.stats import wilcoxon
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    LabelsIgnoredWarning,
    MetaPrototypeDetector,
    Task,
    UniversalDetector,
    adapt,
    few_shot_scores,
)
from skmetaad.datasets import make_fleet
from skmetaad.inspection import (
    AdaptationCurveDisplay,
    CriticalDifferenceDisplay,
    EmbeddingDisplay,
    ScoreHistogramDisplay,
    TaskScoreDisplay,
    TimelineDisplay,
)

FLEET = make_fleet(n_tasks=14, n_rows=60, random_state=0)


@pytest.fixture(scope="module")
def detector():
    return MetaPrototypeDetector(n_iter=20, random_state=0).fit(FLEET[:10])


@pytest.fixture(autouse=True)
def closed():
    plt.switch_backend("Agg")
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


# ------------------------------------------------------------------------ what is shown


def test_the_curve_is_the_mean_of_few_shot_scores(detector):
    display = AdaptationCurveDisplay.from_estimator(
        detector, FLEET[10:], n_support=(1, 5), n_repeats=2
    )
    for k, mean in zip((1, 5), display.line_.get_ydata(), strict=True):
        scores = few_shot_scores(detector, FLEET[10:], n_support=k, n_repeats=2)
        assert mean == pytest.approx(np.mean(list(scores.values())))
    in_order = AdaptationCurveDisplay.from_estimator(
        detector, FLEET[10:], n_support=(5,), chronological=True
    )
    scores = few_shot_scores(detector, FLEET[10:], n_support=5, chronological=True)
    assert in_order.line_.get_ydata()[0] == np.mean(list(scores.values())) != mean
    assert texts(display.ax_) == ["MetaPrototypeDetector"]
    low, high = np.sort(display.band_.get_paths()[0].vertices[:, 1])[[0, -1]]
    assert display.scores.min() <= low <= high <= display.scores.max()


@pytest.mark.parametrize("chronological", [True, "consecutive"])
def test_supports_that_come_first_are_drawn_as_such(detector, chronological):
    options = {"n_support": 5, "chronological": chronological}
    found = few_shot_scores(detector, FLEET[10:], **options)
    assert found != few_shot_scores(detector, FLEET[10:], n_support=5)
    shown = TaskScoreDisplay.from_estimator(detector, FLEET[10:], **options)
    assert shown.scores == found
    both = {"one": detector, "two": detector}
    ranks = CriticalDifferenceDisplay.from_estimators(both, FLEET[10:], **options)
    assert ranks.scores["one"].tolist() == list(found.values())


def test_curves_of_several_detectors_share_axes(detector):
    one = AdaptationCurveDisplay([1, 5], np.ones((2, 3)), name="one").plot()
    two = AdaptationCurveDisplay.from_estimator(
        detector, FLEET[10:], n_support=(1, 5), name="two", ax=one.ax_, color="red"
    )
    assert two.ax_ is one.ax_
    assert two.figure_ is one.figure_
    assert two.line_.get_color() == "red"
    assert texts(one.ax_) == ["one", "two"]


def test_tasks_are_sorted_and_beside_their_reference(detector):
    untrained = MetaPrototypeDetector(n_iter=1, random_state=1).fit(FLEET[:10])
    display = TaskScoreDisplay.from_estimator(
        detector, FLEET[10:], reference=untrained, n_support=5
    )
    expected = few_shot_scores(detector, FLEET[10:], n_support=5)
    found = display.points_.get_offsets()[:, 0]
    np.testing.assert_allclose(found, sorted(expected.values()))
    ids = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert ids == sorted(expected, key=expected.get)
    rival = few_shot_scores(untrained, FLEET[10:], n_support=5)
    other = display.reference_points_.get_offsets()[:, 0]
    np.testing.assert_allclose(other, [rival[i] for i in ids])


def test_tasks_without_a_reference():
    display = TaskScoreDisplay({1: 0.5}).plot()
    assert display.reference_points_ is None
    assert display.ax_.get_legend() is None


def test_histograms_count_rows_by_label(detector):
    new = FLEET[10]
    adapted = detector.adapt(new.X[new.y == 1][:10])
    display = ScoreHistogramDisplay.from_estimator(adapted, new.X, new.y, bins=7)
    for kind, label in (("inlier", 1), ("outlier", -1)):
        heights = [bar.get_height() for bar in display.bars_[kind]]
        assert len(heights) == 7
        assert sum(heights) == (new.y == label).sum()
    assert "unlabelled" not in display.bars_
    np.testing.assert_array_equal(display.decision, adapted.decision_function(new.X))
    assert display.threshold_.get_xdata()[0] == 0


def test_histograms_take_any_outlier_detector_and_tasks(detector):
    new = FLEET[10]
    forest = IsolationForest(random_state=0).fit(new.X)
    assert ScoreHistogramDisplay.from_estimator(forest, new.X, new.y).bars_
    X, y, task = FLEET[10:].arrays()
    adapted = detector.adapt(FLEET[10:])
    display = ScoreHistogramDisplay.from_estimator(adapted, X, y, task=task, name="all")
    assert len(display.decision) == len(X)
    assert display.ax_.get_title() == "all"


@pytest.mark.parametrize("display", [ScoreHistogramDisplay, TimelineDisplay])
def test_labels_come_with_the_tasks(detector, display):
    X, y, task = FLEET[10:].arrays()
    adapted = detector.adapt(FLEET[10:])
    found = display.from_estimator(adapted, FLEET[10:])
    np.testing.assert_array_equal(found.y, y)
    np.testing.assert_array_equal(
        found.decision, adapted.decision_function(X, task=task)
    )
    own = display.from_estimator(adapted, FLEET[10:], -y)
    np.testing.assert_array_equal(own.y, -y)
    assert not display.from_estimator(adapted, X, task=task).y.any()


@pytest.mark.parametrize("display", [ScoreHistogramDisplay, TimelineDisplay])
def test_pipelines_judge_rows_by_their_tasks(display):
    X, y, task = FLEET.arrays()
    pipe = make_pipeline(
        StandardScaler(), MetaPrototypeDetector(n_iter=5, random_state=0)
    ).fit(X, y, metaprototypedetector__task=task)
    adapted = adapt(pipe, X, y, task=task)
    expected = adapted[-1].decision_function(adapted[0].transform(X), task=task)
    for found in (
        display.from_estimator(adapted, X, y, task=task),
        display.from_estimator(adapted, FLEET),
    ):
        np.testing.assert_array_equal(found.decision, expected)
        np.testing.assert_array_equal(found.y, y)
    one = adapt(pipe, X[:9])
    np.testing.assert_array_equal(
        display.from_estimator(one, X).decision, one.decision_function(X)
    )


def test_tasks_of_any_width_are_judged():
    tasks = [Task("a", np.eye(9), [1] * 8 + [-1]), Task("b", np.eye(5))]
    adapted = UniversalDetector().fit(tasks)
    display = ScoreHistogramDisplay.from_estimator(adapted, tasks)
    assert display.y.tolist() == [1] * 8 + [-1] + [0] * 5


def test_own_colours_and_labels_of_histograms_win():
    display = ScoreHistogramDisplay.from_predictions(
        [1, -1], [0.5, -1], color="black", label="rows"
    )
    colors = {bars.patches[0].get_facecolor()[:3] for bars in display.bars_.values()}
    assert colors == {(0, 0, 0)}
    assert texts(display.ax_) == ["rows", "rows", "threshold"]


def test_timelines_mark_alarms_and_runs_of_anomalies():
    decision = np.array([1.0, -1, 2, -3, -4, 5, 6])
    y = np.array([-1, -1, 1, 0, -1, 1, -1])
    time = np.arange(7) * 10.0
    display = TimelineDisplay.from_predictions(decision, y, time=time)
    np.testing.assert_array_equal(display.alarms_.get_offsets()[:, 0], [10, 30, 40])
    spans = [(w.get_x(), w.get_x() + w.get_width()) for w in display.windows_]
    assert spans == [(0, 20), (40, 50), (60, 70)]
    assert texts(display.ax_) == ["alarm (3)", "anomaly", "threshold"]
    assert TimelineDisplay.from_predictions(decision).windows_ == []


@pytest.mark.parametrize(
    ("time", "width"),
    [
        (None, 1),
        ([0.0, 1, 3, 5, 1000], 2),
        (np.array(["2020-01-01"], "M8[h]") + np.arange(5), 1 / 24),
    ],
)
def test_an_anomaly_in_the_last_row_is_one_usual_step_wide(time, width):
    y = [1, 1, 1, 1, -1]
    display = TimelineDisplay.from_predictions(np.ones(5), y, time=time)
    (window,) = display.windows_
    assert window.get_width() == pytest.approx(width)
    assert TimelineDisplay([1.0], [-1]).plot().windows_[0].get_width() == 1


def test_timelines_judge_the_rows_of_a_task(detector):
    new = FLEET[10]
    adapted = detector.adapt(new.X[new.y == 1][:10])
    display = TimelineDisplay.from_estimator(adapted, new.X, new.y)
    np.testing.assert_array_equal(
        display.line_.get_ydata(), adapted.decision_function(new.X)
    )
    assert display.ax_.get_title() == "MetaPrototypeDetector"


def test_two_dimensions_keep_the_distances_of_a_plane():
    rng = np.random.default_rng(0)
    plane = np.linalg.qr(rng.normal(size=(5, 2)))[0].T
    support, query = rng.normal(size=(3, 2)) @ plane, rng.normal(size=(4, 2)) @ plane
    display = EmbeddingDisplay.from_predictions(support, query, [1, 1, -1, 0])
    assert {k: len(v.get_offsets()) for k, v in display.query_.items()} == {
        "inlier": 2,
        "outlier": 1,
        "unlabelled": 1,
    }
    flat = np.asarray(display.support_.get_offsets())
    center = np.asarray(display.center_.get_offsets())[0]
    odd = np.asarray(display.query_["outlier"].get_offsets())[0]
    np.testing.assert_allclose(center, flat.mean(axis=0))
    for i in range(3):
        expected = np.linalg.norm(support[i] - query[2])
        assert np.linalg.norm(flat[i] - odd) == pytest.approx(expected)


def test_an_embedding_takes_the_labels_that_others_take():
    points = np.zeros((4, 2))
    with pytest.warns(LabelsIgnoredWarning, match="PyOD"):
        EmbeddingDisplay(points, points, [0, 0, 1, 0])
    for wrong in ([True, False, True, True], [2, 3, 2, 3]):
        with pytest.raises(ValueError, match="from_pyod_labels"):
            EmbeddingDisplay(points, points, wrong)


def test_one_dimension_is_drawn_on_a_line():
    display = EmbeddingDisplay.from_predictions([[1.0]], [[3.0]])
    assert display.support_.get_offsets()[0, 1] == 0


def test_embeddings_come_from_the_detector(detector):
    new = FLEET[10]
    support = new.X[new.y == 1][:10]
    adapted = detector.adapt(support)
    display = EmbeddingDisplay.from_estimator(adapted, support, new.X, new.y)
    np.testing.assert_array_equal(display.support, adapted.embed(support))
    with pytest.raises(TypeError, match="IsolationForest has no embed"):
        EmbeddingDisplay.from_estimator(IsolationForest().fit(support), support, new.X)


# --------------------------------------------------------------- critical differences


def made_scores():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.5, 0.9, 25)
    noisy = {name: base + 0.02 * rng.normal(size=25) for name in ("b", "c", "d")}
    return {**noisy, "a": base + 0.1, "e": base - 0.1}


def test_ranks_groups_and_p_values():
    scores = made_scores()
    display = CriticalDifferenceDisplay.from_predictions(scores)
    assert next(iter(display.ranks_)) == "a"
    assert display.ranks_["a"] < 1.5
    assert display.ranks_["e"] > 4.5
    assert sum(display.ranks_.values()) == pytest.approx(15)
    assert [sorted(group) for group in display.groups_] == [["b", "c", "d"]]
    assert display.friedman_p_ < 1e-6
    raw = sorted(wilcoxon(scores[a] - scores[b]).pvalue for a, b in display.p_values_)
    found = sorted(display.p_values_.values())
    assert found[0] == pytest.approx(10 * raw[0])
    assert found[1] == pytest.approx(max(found[0], 9 * raw[1]))
    assert found[-1] == pytest.approx(min(1, max(found[-2], raw[-1])))
    shown = " ".join(text.get_text() for text in display.ax_.texts)
    assert all(name in shown for name in scores)


def test_holms_method_is_that_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    scores = made_scores()
    display = CriticalDifferenceDisplay(scores)
    raw = [wilcoxon(scores[a] - scores[b]).pvalue for a, b in display.p_values_]
    expected = multitest.multipletests(raw, method="holm")[1]
    np.testing.assert_allclose(list(display.p_values_.values()), expected)


def test_pairs_are_told_apart_as_by_scikit_posthocs():
    posthocs = pytest.importorskip("scikit_posthocs")
    scores = made_scores()
    display = CriticalDifferenceDisplay(scores)
    samples = list(scores.values())
    expected = posthocs.posthoc_wilcoxon(samples, p_adjust="holm").to_numpy()
    at = {name: i for i, name in enumerate(scores)}
    for (a, b), p in display.p_values_.items():
        assert p == pytest.approx(expected[at[a], at[b]])


def test_scores_by_task_are_aligned():
    scores = made_scores()
    ids = [f"task {i}" for i in range(25)]
    named = {name: dict(zip(ids, v, strict=True)) for name, v in scores.items()}
    named["a"] = dict(reversed(named["a"].items()))
    pd = pytest.importorskip("pandas")
    named["b"] = pd.Series(named["b"]).sort_values()
    found = CriticalDifferenceDisplay.from_predictions(named)
    by_place = {name: pd.Series(v) for name, v in scores.items()}
    assert CriticalDifferenceDisplay(by_place).ranks_ == found.ranks_
    twice = {name: pd.Series(v, index=[0] * 25) for name, v in scores.items()}
    with pytest.raises(ValueError, match="index that repeats"):
        CriticalDifferenceDisplay(twice)
    expected = CriticalDifferenceDisplay(scores)
    assert found.ranks_ == expected.ranks_
    assert list(found.p_values_.values()) == pytest.approx(
        list(expected.p_values_.values())
    )


def test_detectors_are_ranked_on_the_same_rows(detector):
    untrained = MetaPrototypeDetector(n_iter=1, random_state=1).fit(FLEET[:10])
    named = {"trained": detector, "untrained": untrained}
    display = CriticalDifferenceDisplay.from_estimators(named, FLEET[8:], n_support=5)
    for name, one in named.items():
        expected = list(few_shot_scores(one, FLEET[8:], n_support=5).values())
        np.testing.assert_allclose(display.scores[name], expected)
    assert display.figure_ is display.ax_.figure


def test_displays_of_scores_that_are_known_are_drawn_at_once():
    curve = AdaptationCurveDisplay.from_predictions([1, 5], np.ones((2, 3)), name="a")
    tasks = TaskScoreDisplay.from_predictions({"x": 0.5}, {"x": 0.4}, name="a", ax=None)
    assert texts(curve.ax_) == ["a"]
    assert tasks.reference_points_.get_offsets()[0, 0] == 0.4
    for display in (curve, tasks):
        assert display.figure_ is display.ax_.figure


def test_methods_that_are_the_same_are_in_one_group():
    scores = {"x": np.linspace(0, 1, 9), "y": np.linspace(0, 1, 9)}
    display = CriticalDifferenceDisplay.from_predictions(scores)
    assert display.groups_ == [("x", "y")]
    assert display.ranks_ == {"x": 1.5, "y": 1.5}
    assert np.isnan(display.friedman_p_)


# --------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AdaptationCurveDisplay([1, 2], [[0.5]]), r"shape \(1, 1\)"),
        (lambda: TaskScoreDisplay({}), "scores is empty"),
        (lambda: TaskScoreDisplay({"a": 1.0}, {"b": 1.0}), "differ in task"),
        (lambda: ScoreHistogramDisplay([1, 1], [0.5]), r"\(1,\)"),
        (lambda: TimelineDisplay([0.5, 1.0], [1]), r"y has shape \(1,\)"),
        (lambda: EmbeddingDisplay([[1.0]], [[1.0, 2.0]]), "one number of dimensions"),
        (lambda: EmbeddingDisplay([[1.0]], [[2.0]], [1, 1]), "one label per row"),
        (lambda: CriticalDifferenceDisplay({"a": [1.0]}), "at least two methods"),
        (lambda: CriticalDifferenceDisplay({"a": [1.0], "b": [1, 2]}), "the same"),
        (
            lambda: CriticalDifferenceDisplay({"a": {1: 0.5}, "b": {2: 0.5}}),
            "'a' and 'b' differ in task",
        ),
        (
            lambda: CriticalDifferenceDisplay({"a": {1: 0.5}, "b": [0.5]}),
            r"\['b'\] come without task ids",
        ),
        (
            lambda: CriticalDifferenceDisplay({"a": [1, 2], "b": [1, np.nan]}),
            "'b' have nan at place 1",
        ),
        (
            lambda: CriticalDifferenceDisplay({"a": {"x": np.inf}, "b": {"x": 1.0}}),
            "'a' have inf at task 'x'",
        ),
    ],
)
def test_what_does_not_fit_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_detector_beside_itself_is_itself_whatever_the_seed(detector):
    det, new = detector, FLEET[10:]
    for seed in (None, np.random.RandomState(0)):
        shown = TaskScoreDisplay.from_estimator(
            det, new, reference=det, n_support=3, random_state=seed
        )
        assert shown.scores == shown.reference
        two = CriticalDifferenceDisplay.from_estimators(
            {"a": det, "b": det}, new, n_support=3, random_state=seed
        )
        assert two.ranks_ == {"a": 1.5, "b": 1.5}


def test_sums_in_another_order_are_ties():
    base = np.linspace(0.1, 0.9, 10)
    shown = CriticalDifferenceDisplay({"a": base, "b": base * (1 + 2e-16)})
    assert shown.ranks_ == {"a": 1.5, "b": 1.5}
    assert shown.p_values_["a", "b"] == 1
    steps = np.r_[0.1, -0.1, 0.2, 0.3, 0.1, -0.2, 0.4, 0.1]
    rounded = CriticalDifferenceDisplay({"a": base[:8] + steps, "b": base[:8]})
    assert rounded.p_values_["a", "b"] == wilcoxon(steps).pvalue


def test_curves_leave_out_what_tasks_have_no_rows_for(detector):
    det, new = detector, FLEET[10:]
    tasks = [Task(task.id, task.X[task.y == 1][:21]) for task in new]
    with pytest.warns(UserWarning, match=r"n_support up to 10: \[20, 50\] are left"):
        curve = AdaptationCurveDisplay.from_estimator(
            det, tasks, n_support=(1, 10, 20, 50)
        )
    assert curve.n_support.tolist() == [1, 10]
    with pytest.raises(ValueError, match="n_support=\\(30,\\): task .* up to 10"):
        AdaptationCurveDisplay.from_estimator(det, tasks, n_support=(30,))


def test_labels_of_rows_are_checked():
    with pytest.warns(LabelsIgnoredWarning, match="from_pyod_labels"):
        ScoreHistogramDisplay([0, 1, 1], [1.0, 2.0, 3.0])
    for cls, args in (
        (ScoreHistogramDisplay, (["n", "a"], [1.0, 2.0])),
        (TimelineDisplay, ([1.0, 2.0], [0.5, -0.5])),
    ):
        with pytest.raises(ValueError, match="y holds"):
            cls(*args)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CriticalDifferenceDisplay([[1, 2], [2, 3]]), TypeError, "a dict"),
        (lambda: CriticalDifferenceDisplay({"a": [], "b": []}), ValueError, "shapes"),
        (
            lambda: CriticalDifferenceDisplay({"a": [1.0], "b": [2.0]}, alpha=5),
            ValueError,
            "alpha=5",
        ),
        (lambda: TaskScoreDisplay([0.1, 0.2]), TypeError, "a dict"),
        (lambda: TaskScoreDisplay({"a": np.nan}), ValueError, "task 'a'"),
        (lambda: AdaptationCurveDisplay([1], [[np.nan]]), ValueError, "place 0 for 1"),
        (lambda: AdaptationCurveDisplay([], []), ValueError, "n_support is empty"),
        (lambda: ScoreHistogramDisplay([1], [np.nan]), ValueError, "nan at row 0"),
        (lambda: TimelineDisplay(3.0), ValueError, r"decision has shape \(\)"),
        (lambda: TimelineDisplay(["low"]), TypeError, "holds no numbers"),
        (
            lambda: TimelineDisplay([1.0], time=["noon"]),
            TypeError,
            "text such as 'noon",
        ),
        (
            lambda: CriticalDifferenceDisplay.from_estimators([1], None),
            TypeError,
            "a dict",
        ),
        (
            lambda: AdaptationCurveDisplay.from_estimator(
                UniversalDetector().fit(np.eye(9)), np.eye(9), n_support=5
            ),
            TypeError,
            "n_support=5",
        ),
    ],
)
def test_scores_that_are_none_are_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
