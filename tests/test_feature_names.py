"""Names of columns, from a table through tasks to a detector."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    LabelsIgnoredWarning,
    MetaPrototypeDetector,
    UniversalDetector,
    adapt,
    few_shot_scores,
    support_query_split,
)
from skmetaad.tasks import Task, TaskCollection

NAMES = ("cpu", "wait")
X = np.random.default_rng(0).normal(size=(60, 2)) * [1.0, 100.0]
HOSTS = np.repeat(["a", "b", "c"], 20)


def table(names=NAMES):
    return pd.DataFrame(X, columns=list(NAMES))[list(names)].assign(host=HOSTS)


def named(names=NAMES):
    return TaskCollection.from_frame(table(names), task="host")


@pytest.fixture(scope="module")
def plain():
    return TaskCollection.from_arrays(X, task=HOSTS)


@pytest.fixture(scope="module")
def det():
    return MetaPrototypeDetector(n_iter=2, random_state=0).fit(named())


@pytest.fixture(autouse=True)
def _warnings_are_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def test_tables_name_the_columns_of_tasks(plain):
    df = pd.DataFrame(X, columns=list(NAMES))
    tasks = named()
    for made in (
        tasks,
        TaskCollection.from_arrays(df, task=HOSTS),
        TaskCollection.from_classes(df, HOSTS),
        TaskCollection([Task("a", df)]),
        TaskCollection([Task("a", X, feature_names=list(NAMES))]),
        tasks[1:],
        tasks[[0, 2]],
        tasks[:1] + tasks[1:],
        TaskCollection(list(tasks)),
    ):
        assert made.feature_names == NAMES
        assert all(task.feature_names == NAMES for task in made)
    assert "n_features=2 (cpu, wait)" in repr(tasks)
    assert plain.feature_names is None
    assert TaskCollection.from_arrays(pd.DataFrame(X), task=HOSTS).feature_names is None
    assert (tasks[:1] + plain[1:]).feature_names is None
    assert TaskCollection([]).feature_names is None


def test_a_detector_learns_the_names_and_takes_tasks_and_tables(det):
    assert det.feature_names_in_.tolist() == list(NAMES)
    new = det.adapt(named()[:1])
    want = new.decision_function(table()[list(NAMES)][:20])
    np.testing.assert_array_equal(new.decision_function(named()["a"]), want)
    np.testing.assert_array_equal(
        adapt(det, named()[:1]).decision_function(named()[:1]), want
    )


def test_columns_in_another_order_are_refused(det):
    swapped = named(NAMES[::-1])
    for call in (det.adapt, det.predict, det.calibrate, det.score):
        with pytest.raises(ValueError, match="same order"):
            call(swapped)
        with pytest.raises(ValueError, match="'a' and 'b' name their columns"):
            call(named()[:1] + swapped[1:])


def test_tasks_without_names_are_as_arrays_are(det, plain):
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        det.predict(plain)
    nameless = MetaPrototypeDetector(n_iter=2, random_state=0).fit(plain)
    assert not hasattr(nameless, "feature_names_in_")
    nameless.adapt(plain[:1]).predict(plain[:1])
    with pytest.warns(UserWarning, match="fitted without feature names"):
        nameless.predict(named())


def test_steps_of_a_pipeline_see_the_names():
    pipe = make_pipeline(StandardScaler(), MetaPrototypeDetector(n_iter=2))
    pipe.fit(table()[list(NAMES)], metaprototypedetector__task=HOSTS)
    adapt(pipe, named()[:1])
    with pytest.raises(ValueError, match="same order"):
        adapt(pipe, named(NAMES[::-1])[:1])


def test_a_detector_of_any_columns_asks_for_no_names():
    det = UniversalDetector(random_state=0).fit(named())
    others = Task("new", X[:, :1], feature_names=["load"])
    assert det.adapt([others, *named()]).predict([others, *named()]).shape == (120,)


def test_a_detector_of_any_columns_keeps_each_tasks_to_theirs():
    det = UniversalDetector(random_state=0).fit(named())
    assert det.feature_names_in_.tolist() == list(NAMES)
    det.predict(named()[1:])
    with pytest.raises(ValueError, match="task 'a' has the columns"):
        det.predict(named(NAMES[::-1]))
    with pytest.raises(ValueError, match="same order"):
        det.predict(table()[list(NAMES[::-1])], task=HOSTS)
    # Tables whose columns happen to be as many need not share them.
    mixed = [named()[0], named(NAMES[::-1])[1]]
    det.fit(mixed).predict(mixed)
    det.predict(mixed[1:])
    with pytest.raises(ValueError, match="task 'a' has the columns"):
        det.predict(named(NAMES[::-1])[:1])


@pytest.mark.parametrize(("name", "n", "known"), [("wide", 1, 2), ("narrow", 2, 1)])
def test_a_table_of_another_width_than_adapted_to_is_refused(name, n, known):
    tasks = [Task("wide", X[:30]), Task("narrow", X[30:, :1])]
    det = UniversalDetector(random_state=0).fit(tasks)
    det.predict(tasks[::-1])
    with pytest.raises(ValueError, match=f"'{name}' has {n} columns: expected {known}"):
        det.predict([Task(name, X[:, :n])])
    det.fit(X, task=HOSTS)
    with pytest.raises(ValueError, match="'a' has 1 columns: expected 2"):
        det.predict([Task("a", X[:, :1])])


def test_tasks_of_any_columns_and_ids_come_back_from_skops():
    skops = pytest.importorskip("skops.io")
    tasks = [Task((1, "x"), X[:30]), Task((2, "y"), X[30:, :1])]
    det = UniversalDetector(random_state=0).fit(tasks)
    kept = skops.dumps(det)
    again = skops.loads(kept, trusted=skops.get_untrusted_types(data=kept))
    np.testing.assert_array_equal(again.predict(tasks), det.predict(tasks))


def test_a_list_of_tasks_warns_once_of_other_labels():
    tasks = [Task(name, X[:20], [0, 1] * 10) for name in "ab"]
    for det in (MetaPrototypeDetector(n_iter=2), UniversalDetector()):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            det.fit(tasks)
        assert [one.category for one in seen] == [LabelsIgnoredWarning]


def test_rows_are_not_copied_for_their_names():
    from skmetaad._rows import named as with_names

    assert np.shares_memory(with_names(X, NAMES).to_numpy(), X)


def test_names_stay_with_tasks_through_splits_and_scores(det):
    support, query = support_query_split(named(), n_support=5, random_state=0)
    assert support.feature_names == query.feature_names == NAMES
    det.adapt(support).predict(query)
    assert set(few_shot_scores(det, named())) == {"a", "b", "c"}
    assert 0 <= det.score(named()) <= 1
    with pytest.raises(ValueError, match="same order"):
        few_shot_scores(det, named(NAMES[::-1]))
