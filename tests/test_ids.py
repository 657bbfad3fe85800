"""Task ids of any hashable kind."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from skmetaad import MetaPrototypeDetector
from skmetaad._ids import factorize, lookup

TIMES = ["2020-01-01 00:00", "2021-06-01 12:00"]


@pytest.mark.parametrize(
    ("task", "ids"),
    [
        ([7, 5, 7], (7, 5)),
        (np.array(["b", "a", "b"]), ("b", "a")),
        ([1, "a", 1], (1, "a")),
        ([("a", 1), ("b", 2), ("a", 1)], (("a", 1), ("b", 2))),
        ([("a", 1), ("b",), ("a", 1)], (("a", 1), ("b",))),
        ((2, 1, 2), (2, 1)),
        ([None.__class__, int, None.__class__], (type(None), int)),
        (pd.Series(["b", "a", "b"], dtype="string"), ("b", "a")),
        (pd.Series(["b", "a", "b"], dtype="category"), ("b", "a")),
        (pd.Series([3, 1, 3], dtype="Int64"), (3, 1)),
    ],
)
def test_ids_keep_their_type_and_order(task, ids):
    code, found = factorize(task, 3)
    assert code.tolist() == [0, 1, 0]
    assert found == ids
    assert list(map(type, found)) == list(map(type, ids))
    assert lookup(task, 3, found).tolist() == [0, 1, 0]
    assert lookup([ids[1]], 1, found).tolist() == [1]


@pytest.mark.parametrize(
    "task",
    [
        ["a", "b", float("nan")],
        ["a", "b", None],
        [1, 2, np.nan],
        np.array([1.0, 2.0, np.nan]),
        pd.Series(["a", "b", pd.NA], dtype="string"),
        pd.Series(["a", "b", None]),
        pd.Series(["a", "b", None], dtype="category"),
        pd.Series([1, 2, None], dtype="Int64"),
        pd.to_datetime(pd.Series([*TIMES, None])),
        [pd.Timestamp(TIMES[0]), pd.Timestamp(TIMES[1]), pd.NaT],
        np.array(["2020", "2021", "NaT"], "M8[D]"),
        np.array([1, 2, "NaT"], "m8[s]"),
    ],
)
def test_a_missing_id_is_refused(task):
    with pytest.raises(ValueError, match="task holds a missing id in row 2"):
        factorize(task, 3)


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_times_are_found_in_whatever_form_they_come(unit):
    times = np.array([np.datetime64(t) for t in TIMES], f"M8[{unit}]")
    _, ids = factorize(times, 2)
    for again in (
        times,
        pd.Series(times),
        list(map(pd.Timestamp, TIMES)),
        [datetime(2020, 1, 1), datetime(2021, 6, 1, 12)],
        [np.datetime64(t, "s") for t in TIMES],
    ):
        assert lookup(again, 2, ids).tolist() == [0, 1]
    steps = np.array([1, 2], f"m8[{unit}]")
    assert lookup(pd.Series(steps), 2, factorize(steps, 2)[1]).tolist() == [0, 1]


def test_parts_of_a_microsecond_tell_times_apart():
    times = np.array([1, 2, 1000], "M8[ns]")
    code, ids = factorize(times, 3)
    assert code.tolist() == [0, 1, 2]
    assert lookup(times[1:], 2, ids).tolist() == [1, 2]


def test_other_shapes_and_unknown_ids_are_named():
    with pytest.raises(ValueError, match=r"task has shape \(2, 1\)"):
        factorize([["a"], ["b"]], 2)
    with pytest.raises(ValueError, match="unknown id '1'"):
        lookup(["1"], 1, (1, "a"))


def test_a_detector_knows_its_tasks_by_such_ids():
    X = np.random.default_rng(0).normal(size=(40, 2))
    ids = [("host", i % 2) for i in range(40)]
    det = MetaPrototypeDetector(n_iter=2, random_state=0).fit(X, task=ids)
    assert det.predict(X[:1], task=[("host", 1)]).shape == (1,)


@pytest.mark.parametrize(
    "ids", [("a\0", "a"), (b"a\0", b"a"), (2**63 + 1, -1), (2**53 + 1, 2**53, -1)]
)
def test_lists_of_ids_that_arrays_would_change(ids):
    assert factorize(list(ids), len(ids))[1] == ids
