"""The makers of collections of tasks."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmetaad import LabelsIgnoredWarning, UniversalDetector, support_query_split
from skmetaad.tasks import Task, TaskCollection, as_collection

# ------------------------------------------------------------------------- from_frame


def frame():
    return pd.DataFrame(
        {
            "host": ["b", "a", "b"],
            "cpu": np.array([1, 2, 3], np.float32),
            "up": [True, False, True],
            "state": [1, 0, -1],
        }
    )


def test_from_frame():
    tasks = TaskCollection.from_frame(frame(), task="host", label="state")
    assert tasks.ids == ("b", "a")
    assert tasks[0].X.tolist() == [[1.0, 1.0], [3.0, 1.0]]
    assert tasks[0].X.dtype == np.float64
    assert tasks[0].y.tolist() == [1, -1]
    assert tasks[1].y is None
    narrow = TaskCollection.from_frame(frame()[["host", "cpu"]], task="host")
    assert narrow[0].X.dtype == np.float32


def test_from_frame_reads_categories_and_nullable_columns():
    df = frame().astype({"host": "category", "cpu": "Int64"})
    df.loc[0, "cpu"] = pd.NA
    tasks = TaskCollection.from_frame(df, task="host", label="state")
    assert tasks.ids == ("b", "a")
    assert np.isnan(tasks[0].X[0, 0])
    X = df[["cpu", "cpu"]].set_axis(["a", "b"], axis=1)
    by_id = TaskCollection.from_arrays(X, task=df["host"])
    np.testing.assert_array_equal(by_id[0].X[:, 0], tasks[0].X[:, 0])
    np.testing.assert_array_equal(Task("all", X).X[:, 1], [np.nan, *df["cpu"][1:]])
    windows = TaskCollection.from_windows({"a": X}, 2)[0].X
    np.testing.assert_array_equal(windows[:, 2], [*df["cpu"][1:]])


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA])
def test_a_missing_label_is_no_label(missing):
    df = frame().assign(state=pd.Series([1, missing, -1], dtype=object))
    for state in (df.state, df.state.astype("Int64"), df.state.astype("category")):
        tasks = TaskCollection.from_frame(
            df.assign(state=state), task="host", label="state"
        )
        assert tasks[0].y.tolist() == [1, -1]
        assert tasks[1].y is None


@pytest.mark.parametrize("dtype", [bool, "boolean", object])
def test_boolean_labels_are_refused_as_either_may_mean_an_outlier(dtype):
    df = frame().assign(state=pd.Series([True, False, True], dtype=dtype))
    with pytest.raises(ValueError, match="column 'state' of df is boolean"):
        TaskCollection.from_frame(df, task="host", label="state")


@pytest.mark.parametrize(
    ("change", "arguments", "error", "message"),
    [
        ({}, {"task": "nobody"}, ValueError, "task='nobody' names 0 columns"),
        ({}, {"task": "host", "label": "nil"}, ValueError, "label='nil' names 0"),
        ({"note": "x"}, {"task": "host"}, TypeError, "column 'note' of df has dtype"),
        ({"host": ["a", None, "b"]}, {"task": "host"}, ValueError, "'host'.*row 1"),
        (
            {"state": [0, 1, 2]},
            {"task": "host", "label": "state"},
            ValueError,
            "column 'state' of df holds 2",
        ),
    ],
)
def test_from_frame_refuses(change, arguments, error, message):
    with pytest.raises(error, match=message):
        TaskCollection.from_frame(frame().assign(**change), **arguments)


def test_from_frame_refuses_arrays():
    with pytest.raises(TypeError, match="df is a ndarray.*from_arrays"):
        TaskCollection.from_frame(np.ones((2, 2)), task=0)


# ----------------------------------------------------------------------- from_classes


@given(
    st.lists(st.integers(0, 3), min_size=2, max_size=30).filter(
        lambda c: len(set(c)) > 1
    ),
    st.one_of(st.none(), st.integers(1, 30)),
)
def test_from_classes(classes, max_outliers):
    classes = np.array(classes)
    X = np.arange(len(classes))[:, None]
    tasks = TaskCollection.from_classes(
        X, classes, max_outliers=max_outliers, random_state=0
    )
    assert tasks.ids == tuple(dict.fromkeys(classes.tolist()))
    for task in tasks:
        rows = task.X[:, 0]
        assert (np.diff(rows) > 0).all()
        np.testing.assert_array_equal(task.y == 1, classes[rows] == task.id)
        n_others = int((classes != task.id).sum())
        assert (task.y == 1).sum() == len(classes) - n_others
        assert task.n_outliers == min(max_outliers or n_others, n_others)


def test_from_classes_is_seeded():
    X, classes = np.arange(90)[:, None], np.arange(90) % 3

    def rows(seed):
        made = TaskCollection.from_classes(
            X, classes, max_outliers=5, random_state=seed
        )
        return made.arrays()[0].ravel().tolist()

    assert rows(0) == rows(0) != rows(1)
    assert rows(np.random.RandomState(0)) == rows(np.random.RandomState(0))
    assert rows(np.random.default_rng(0)) == rows(0)


@pytest.mark.parametrize(
    ("classes", "arguments", "message"),
    [
        ([1, 1], {}, "classes holds 1 class"),
        ([1], {}, "classes has 1 ids, but X has 2 rows"),
        ([1, 2], {"max_outliers": 0}, "max_outliers=0"),
    ],
)
def test_from_classes_refuses(classes, arguments, message):
    with pytest.raises(ValueError, match=message):
        TaskCollection.from_classes(np.ones((2, 1)), classes, **arguments)


# ----------------------------------------------------------------------- from_windows


@settings(max_examples=50)
@given(st.data())
def test_windows_hold_the_right_rows_and_labels(data):
    n = data.draw(st.integers(1, 12))
    d = data.draw(st.integers(1, 3))
    width = data.draw(st.integers(1, n))
    step = data.draw(st.integers(1, 4))
    labels = data.draw(st.lists(st.sampled_from([-1, 1]), min_size=n, max_size=n))
    series = np.arange(n * d).reshape(n, d)
    rules = {
        "any": lambda y: -1 in y,
        "last": lambda y: y[-1] == -1,
        "majority": lambda y: y.count(-1) > len(y) / 2,
    }
    for rule, outlier in rules.items():
        (task,) = TaskCollection.from_windows(
            series, width, step, labels=labels, rule=rule
        )
        starts = range(0, n - width + 1, step)
        expected = [series[s : s + width].ravel() for s in starts]
        np.testing.assert_array_equal(task.X, expected)
        y = [-1 if outlier(labels[s : s + width]) else 1 for s in starts]
        assert task.y.tolist() == y
        (same,) = TaskCollection.from_windows(
            series,
            width,
            step,
            labels=labels,
            rule=lambda w, outlier=outlier: outlier(w.tolist()),
        )
        assert same.y.tolist() == y


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # Windows of labels: (1, 1, 0), (1, 0, -1), (0, -1, 1), (-1, 1, 1).
        ("any", [0, -1, -1, -1]),
        ("last", [0, -1, 1, 1]),
        ("majority", [1, 0, 0, 1]),
        (lambda y: -1 in y, [0, -1, -1, -1]),
    ],
)
def test_windows_are_unlabelled_where_the_answer_hangs_on_it(rule, expected):
    labels = [1, 1, 0, -1, 1, 1]
    (task,) = TaskCollection.from_windows(np.arange(6.0), 3, labels=labels, rule=rule)
    assert task.y.tolist() == expected


def test_windows_of_many_series():
    a, b = np.arange(4.0), np.ones((3, 2))
    of_list = TaskCollection.from_windows([a, b], 3, labels=[[1, 1, 1, -1], None])
    assert of_list.ids == (0, 1)
    assert [t.X.shape for t in of_list] == [(2, 3), (1, 6)]
    assert of_list[0].y.tolist() == [1, -1]
    assert of_list[1].y is None
    of_dict = TaskCollection.from_windows(
        {"a": a, "b": a + 1}, 2, labels={"b": [1] * 4, "a": [-1] * 4}
    )
    assert of_dict.ids == ("a", "b")
    assert [t.n_outliers for t in of_dict] == [3, 0]
    named = TaskCollection.from_windows([a, b], 2, ids=["x", "y"])
    assert named.ids == ("x", "y")
    assert TaskCollection.from_windows(a, 2, ids=["x"]).ids == ("x",)


def test_windows_of_tasks_keep_ids_and_labels():
    tasks = TaskCollection([Task("a", np.ones((3, 2)), [1, 1, -1]), Task("b", [[0.0]])])
    windows = TaskCollection.from_windows(tasks[:1], 2)
    assert windows.ids == ("a",)
    assert windows[0].y.tolist() == [1, -1]
    with pytest.raises(ValueError, match="series 'b' has 1 rows.*width=2"):
        TaskCollection.from_windows(tasks, 2)


def test_labels_and_ids_beside_tasks_are_refused():
    tasks = TaskCollection([Task("a", np.ones((3, 2))), Task("b", np.zeros((3, 2)))])
    with pytest.raises(ValueError, match="ids was given beside tasks"):
        TaskCollection.from_windows(tasks, 1, ids=["x", "y"])
    for take in (UniversalDetector().fit, support_query_split):
        with pytest.raises(ValueError, match="y was given beside tasks"):
            take(tasks, np.ones(6))
        with pytest.raises(ValueError, match="expected task=None"):
            take(tasks, task=np.ones(6))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"width": 0}, ValueError, "width=0"),
        ({"width": 2.0}, TypeError, "width=2.0"),
        ({"width": 2, "step": 0}, ValueError, "step=0"),
        ({"width": 9}, ValueError, "series 0 has 4 rows: expected at least width=9"),
        ({"width": 2, "rule": "most"}, ValueError, "rule='most'"),
        ({"width": 2, "ids": ["a", "b"]}, ValueError, "ids has 2 entries for 1 series"),
        ({"width": 2, "labels": [1]}, ValueError, "labels of series 0 has shape"),
        ({"width": 2, "labels": [1, 1, 1, 7]}, ValueError, "series 0 holds 7"),
        ({"width": 2, "series": np.ones((2, 2, 2))}, ValueError, "shape"),
        ({"width": 2, "series": {"a": [1, 2]}, "labels": {}}, ValueError, "same keys"),
        ({"width": 2, "series": {"a": [1, 2]}, "ids": [1]}, ValueError, "ids was"),
    ],
)
def test_windows_refuse(arguments, error, message):
    arguments = {"series": np.arange(4.0)} | arguments
    with pytest.raises(error, match=message):
        TaskCollection.from_windows(**arguments)


# ------------------------------------------------------------------- labels of 0 and 1

ZERO_ONE = [0, 1, 0, 0, 1, 0]
IDS = ["a", "a", "a", "b", "b", "b"]


def by_frame(y):
    df = pd.DataFrame({"host": IDS, "cpu": np.arange(6.0), "fault": y})
    return TaskCollection.from_frame(df, task="host", label="fault")


def by_arrays(y):
    return TaskCollection.from_arrays(np.ones((6, 2)), y, task=IDS)


def by_windows(y):
    return TaskCollection.from_windows([np.ones(3)] * 2, 2, labels=[y[:3], y[3:]])


def by_tasks(y):
    return TaskCollection([Task(i, np.ones((3, 2)), y[3 * i :][:3]) for i in range(2)])


def in_a_list(y):
    return as_collection([Task(i, np.ones((3, 2)), y[3 * i :][:3]) for i in range(2)])


MAKERS = [by_frame, by_arrays, by_windows, by_tasks, in_a_list]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("convert", [list, np.array, lambda y: np.array(y, float)])
def test_labels_of_0_and_1_warn_once(make, convert):
    with pytest.warns(LabelsIgnoredWarning, match="from_pyod_labels") as caught:
        tasks = make(convert(ZERO_ONE))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tasks[:1] + tasks[1:] == TaskCollection(list(tasks)) == tasks


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "y", [[0, 1, 0, 1, 1, -1], [1] * 6, [0] * 6, [0, 1, -1, 0, 0, 0], [-1, 1] * 3]
)
def test_other_labels_do_not(make, y):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(y)


def test_windows_carry_the_names_of_columns_and_mix_none():
    frame = pd.DataFrame({"load": np.arange(4.0), "heat": 1.0})
    tasks = TaskCollection.from_windows({"a": frame, "b": frame}, 2)
    names = ("load[t-1]", "heat[t-1]", "load[t]", "heat[t]")
    assert tasks.feature_names == names
    assert tasks[0].X[0].tolist() == [0, 1, 1, 1]
    swapped = frame[["heat", "load"]]
    series = {"a": frame, "b": swapped}
    for form in (series, [Task(k, v) for k, v in series.items()]):
        with pytest.raises(ValueError, match="series 'a' and 'b' name their columns"):
            TaskCollection.from_windows(form, 2)
    plain = TaskCollection.from_windows([frame, frame.to_numpy()], 2)
    assert plain.feature_names is None
