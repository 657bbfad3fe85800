"""Tasks and collections of them."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sklearn.model_selection import KFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing as safe_indexing

from skmetaad.tasks import Task, TaskCollection, as_collection


def collection(n_tasks=5, width=2):
    rng = np.random.default_rng(0)
    return TaskCollection(
        Task(f"t{i}", rng.normal(size=(i + 1, width))) for i in range(n_tasks)
    )


# ------------------------------------------------------------------------------- Task


def test_task_keeps_the_array_and_narrows_the_labels():
    X = np.zeros((3, 2), np.float32)
    task = Task("a", X, [1.0, -1.0, 0.0])
    assert task.X is X
    assert task.y.dtype == np.int8
    assert task.y.tolist() == [1, -1, 0]
    assert (len(task), task.n_features, task.n_outliers) == (3, 2, 1)
    assert repr(task) == "Task(id='a', n_rows=3, n_features=2, n_outliers=1)"


def test_task_may_hold_images():
    task = Task(1, np.zeros((4, 3, 5), np.uint8))
    assert (task.n_features, task.n_outliers) == (15, None)
    assert task.X.shape == (4, 3, 5)


def test_task_is_frozen_and_pickles():
    task = Task(("a", 1), [[1.0]], [1])
    with pytest.raises(AttributeError):
        task.id = "b"
    copy = pickle.loads(pickle.dumps(task))
    assert (copy.id, copy.X.tolist(), copy.y.tolist()) == (("a", 1), [[1.0]], [1])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([1], [[1.0]]), TypeError, "hashable"),
        (("a", [1.0, 2.0]), ValueError, r"X of task 'a' has shape \(2,\)"),
        (("a", np.empty((0, 2))), ValueError, "X of task 'a' has no rows"),
        (("a", [["x"]]), TypeError, "X of task 'a' has dtype"),
        (("a", [[1j]]), TypeError, "real numbers"),
        (("a", [[1.0]], [1, 1]), ValueError, r"y of task 'a' has shape \(2,\)"),
        (("a", [[1.0]], [2]), ValueError, "y of task 'a' holds 2.*from_pyod_labels"),
        (("a", [[1.0]], [np.nan]), ValueError, "y of task 'a' holds nan"),
        (("a", [[1.0]], ["x"]), ValueError, "y of task 'a' holds 'x'"),
        (("a", [[1.0]], [True]), ValueError, "y of task 'a' is boolean.*from_pyod"),
        (("a", [[1.0]], None, ["x", "y"]), ValueError, "2 names, but X has shape"),
        (("a", np.ones((1, 2, 2)), None, ["x"]), ValueError, "1 names, but X has"),
        (("a", [[1.0]], None, [0]), TypeError, r"feature_names of task 'a'=\(0,\)"),
        (("a", [[1.0]], np.array([5], np.int8)), ValueError, "holds 5"),
    ],
)
def test_task_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        Task(*arguments)


# --------------------------------------------------------------------------- indexing


def test_collection_refuses_other_things_and_repeated_ids():
    with pytest.raises(TypeError, match=r"tasks\[1\] is a int"):
        TaskCollection([Task("a", [[1.0]]), 3])
    with pytest.raises(ValueError, match="'t2'"):
        TaskCollection([*collection(), Task("t2", [[1.0]])])
    with pytest.raises(ValueError, match="'t0'"):
        collection()[[0, 0]]


@given(st.data())
def test_collection_indexes_like_an_array_of_its_ids(data):
    n = data.draw(st.integers(0, 6))
    tasks = collection(n)
    ids = np.array(tasks.ids, dtype=object)
    places = st.lists(st.integers(-n, n - 1), unique_by=lambda i: i % n) if n else None
    for index in (
        data.draw(st.slices(n)),
        data.draw(places) if n else [],
        np.array(data.draw(places) if n else [], dtype=np.int64),
        data.draw(st.lists(st.booleans(), min_size=n, max_size=n)),
        np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)), bool),
    ):
        part = tasks[index]
        assert isinstance(part, TaskCollection)
        expected = ids[index] if len(np.atleast_1d(index)) or n else ids[:0]
        assert part.ids == tuple(expected)
    for i in range(-n, n):
        assert tasks[i] is tasks[np.int64(i)] is list(tasks)[i]
    assert len(tasks) == n == len(list(tasks))


@pytest.mark.parametrize("index", [1.0, [0.5], (0, 1), [[0]], None, True])
def test_collection_refuses_other_indices(index):
    with pytest.raises(TypeError, match="index"):
        collection()[index]


def test_collection_refuses_indices_out_of_range():
    for index in (5, [5], [True]):
        with pytest.raises(IndexError):
            collection()[index]


def test_collection_equals_one_of_the_same_tasks():
    tasks = collection()
    assert tasks == TaskCollection(tasks) == pickle.loads(pickle.dumps(tasks))
    assert tasks == copy.deepcopy(tasks)
    assert tasks != tasks[:2]
    assert tasks != tasks[::-1]
    assert tasks != list(tasks)


def test_tasks_are_equal_when_all_that_they_hold_is():
    task = Task("a", [[1.0, np.nan]], [1], ("x", "y"))
    assert task == copy.deepcopy(task)
    assert len({task, copy.deepcopy(task)}) == 1
    for other in (
        Task("b", task.X, task.y, ("x", "y")),
        Task("a", [[2.0, np.nan]], task.y, ("x", "y")),
        Task("a", task.X, [-1], ("x", "y")),
        Task("a", task.X, None, ("x", "y")),
        Task("a", task.X, task.y, ("y", "x")),
        Task("a", task.X, task.y),
        "a",
    ):
        assert task != other


def test_tasks_are_found_by_id():
    tasks = TaskCollection(
        [Task("a", [[1.0]]), Task((1, "b"), [[1.0]]), Task(0, [[2]])]
    )
    assert tasks["a"] is tasks[0]
    assert tasks[1, "b"] is tasks[1]
    assert tasks[2].id == 0  # a number is a place
    with pytest.raises(KeyError, match="'nobody'"):
        tasks["nobody"]


def test_collections_add_up():
    tasks = collection()
    assert tasks[:2] + tasks[2:] == tasks
    assert (tasks[:1] + list(tasks[1:3]) + tasks[4]).ids == ("t0", "t1", "t2", "t4")
    with pytest.raises(ValueError, match="'t1' more than once"):
        tasks[:2] + tasks[1:]
    with pytest.raises(TypeError, match="unsupported operand"):
        tasks + [1]


def test_a_collection_is_no_array_and_says_what_to_do():
    for use in (np.asarray, StandardScaler().fit, make_pipeline(StandardScaler()).fit):
        with pytest.raises(TypeError, match=r"tasks\.arrays\(\)"):
            use(collection())


def test_notebooks_show_the_counts_of_each_task():
    several = [Task(f"<{i}>", np.ones((3, 2)), [1, -1, 0]) for i in range(12)]
    found = TaskCollection([*several, Task("last", [[1.0, 2.0]])])._repr_html_()
    assert found.count("<tr>") == 11
    cells = "<td>&lt;0&gt;</td><td>3</td><td>2</td><td>1</td><td>1</td><td>1</td>"
    assert cells in found
    assert "and 3 more" in found
    assert "<tr><th>task" in TaskCollection([])._repr_html_()


def test_collection_repr_shows_counts():
    assert repr(TaskCollection([])) == "TaskCollection(n_tasks=0)"
    mixed = TaskCollection(
        [Task(0, np.ones((2, 3))), Task(1, np.ones((5, 1)), [-1] * 5)]
    )
    assert repr(mixed) == (
        "TaskCollection(n_tasks=2, n_rows=7 (2 to 5 per task), n_features=1 to 3, "
        "n_outliers=5)"
    )


def test_scikit_learn_splits_a_collection_into_lists_of_tasks():
    tasks = collection(6)
    for train, test in KFold(3).split(tasks):
        part = safe_indexing(tasks, test)
        assert as_collection(part).ids == tasks[test].ids
        assert not set(tasks[train].ids) & set(tasks[test].ids)


def test_as_collection():
    tasks = collection()
    assert as_collection(tasks) is tasks
    assert as_collection(list(tasks)) == as_collection(tuple(tasks)) == tasks
    assert as_collection(tasks[1]).ids == ("t1",)
    for other in ([], (), [[1.0]], np.ones((2, 2)), None, "tasks"):
        assert as_collection(other) is None
    with pytest.raises(TypeError, match=r"tasks\[1\]"):
        as_collection([tasks[0], np.ones((2, 2))])


# ----------------------------------------------------------------------------- arrays

IDS = st.one_of(
    st.text(max_size=3),
    st.integers(-3, 3),
    st.integers(2**64, 2**64 + 2),
    st.tuples(st.integers(0, 2), st.integers(0, 2)),
)


@pytest.mark.filterwarnings("ignore::skmetaad.LabelsIgnoredWarning")
@given(st.lists(st.tuples(IDS, st.sampled_from([-1, 0, 1])), min_size=1, max_size=20))
@example([("\0", 0)])
def test_arrays_and_from_arrays_are_inverse(rows):
    task = np.empty(len(rows), object)
    task[:] = [name for name, _ in rows]
    y = np.array([label for _, label in rows])
    X = np.arange(2 * len(rows)).reshape(-1, 2)
    tasks = TaskCollection.from_arrays(X, y, task=task)
    assert tasks.ids == tuple(dict.fromkeys(task.tolist()))  # first-seen order
    stacked, labels, ids = tasks.arrays()
    order = np.argsort(stacked[:, 0])
    assert (stacked[order] == X).all()
    assert (labels is None and not y.any()) or (labels[order] == y).all()
    assert [type(v) for v in ids[order].tolist()] == [type(v) for v in task.tolist()]
    assert ids[order].tolist() == task.tolist()
    for t in tasks:
        assert (np.diff(t.X[:, 0]) > 0).all()  # rows keep their order
        assert t.y is None or t.y.any()
    again = TaskCollection.from_arrays(stacked, labels, task=ids)
    assert again.ids == tasks.ids
    for a, b in zip(tasks, again, strict=True):
        np.testing.assert_array_equal(a.X, b.X)
        np.testing.assert_array_equal(a.y, b.y)


def test_arrays_marks_tasks_without_labels_as_unlabelled():
    tasks = TaskCollection([Task("a", [[1.0]]), Task("b", [[2.0], [3.0]], [1, -1])])
    X, y, task = tasks.arrays()
    assert y.dtype == np.int8
    assert y.tolist() == [0, 1, -1]
    assert task.tolist() == ["a", "b", "b"]
    assert tasks[:1].arrays()[1] is None


def test_arrays_flattens_images():
    images = np.arange(24).reshape(2, 3, 4)
    X, _, _ = TaskCollection([Task("a", images)]).arrays()
    np.testing.assert_array_equal(X, images.reshape(2, 12))


def test_arrays_refuses_ragged_and_empty_collections():
    ragged = TaskCollection([Task("a", np.ones((1, 2))), Task("b", np.ones((1, 3)))])
    with pytest.raises(ValueError, match="'a' and 'b'.* 2 and 3"):
        ragged.arrays()
    with pytest.raises(ValueError, match="empty"):
        TaskCollection([]).arrays()


@pytest.mark.parametrize(
    ("y", "task", "message"),
    [
        (None, ["a"], "task has 1 ids, but X has 2 rows"),
        (None, [["a"], ["b"]], "task has shape"),
        (None, ["a", None], "missing id in row 1"),
        (None, [0.0, np.nan], "missing id in row 1"),
        ([1], ["a", "b"], r"y has shape \(1,\)"),
        ([1, 2], ["a", "b"], "y holds 2"),
    ],
)
def test_from_arrays_refuses(y, task, message):
    with pytest.raises(ValueError, match=message):
        TaskCollection.from_arrays(np.ones((2, 2)), y, task=task)


def test_a_search_over_tasks_hands_lists_of_tasks_to_fit():
    from sklearn.base import BaseEstimator

    class CountsTasks(BaseEstimator):
        def fit(self, X, y=None):
            self.ids_ = as_collection(X).ids
            return self

        def score(self, X, y=None):
            return float(len(as_collection(X)))

    found = cross_validate(CountsTasks(), collection(6), cv=KFold(3))
    assert found["test_score"].tolist() == [2.0, 2.0, 2.0]
