"""The order of support rows, which must not matter, and joining their states."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skmetaad import (
    MetaPrototypeDetector,
    SiameseDetector,
    Task,
    UniversalDetector,
)
from skmetaad._rows import Rows, thin

VALUES = st.sampled_from([0.0, -1.0, 1.0, 2.5, 1e-9, 1e17, np.nan])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_rows_are_ordered_by_what_they_hold_alone(data):
    n, d = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 4))
    cells = st.lists(VALUES, min_size=n * d, max_size=n * d)
    X = np.array(data.draw(cells)).reshape(n, d)
    order = np.array(data.draw(st.permutations(range(n))))
    y, code = np.ones(n, np.int8), np.zeros(n, np.int64)
    most = data.draw(st.integers(1, n))
    kept = thin(Rows(X, y, code, ()), most)[0].X
    np.testing.assert_array_equal(kept, thin(Rows(X[order], y, code, ()), most)[0].X)
    assert len(kept) == min(n, most)


def test_other_tasks_do_not_change_the_order():
    rng = np.random.default_rng(0)
    X = np.c_[rng.normal(size=(30, 2)), np.full(30, 3e15)]
    alone = thin(Rows(X, None, np.zeros(30, np.int64), ()), 10)[0].X
    both = np.r_[X, rng.normal(size=(30, 3)) * 1e18]
    beside = thin(Rows(both, None, np.repeat([0, 1], 30), ("a", "b")), 10)[0].X
    np.testing.assert_array_equal(beside[:10], alone)


@pytest.mark.parametrize("max_support", [20, 256])
@pytest.mark.parametrize("kind", ["gaps", "huge"])
def test_scores_do_not_depend_on_the_order_of_the_support(kind, max_support):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    if kind == "gaps":
        X = rng.choice([0.0, 1.0, np.nan], size=(40, 3))
        det = UniversalDetector(max_support=max_support)
    else:
        X = np.c_[X, np.full(40, 1.7e18)]
        det = SiameseDetector(n_iter=3, max_support=max_support, random_state=0)
    det.fit(X)
    scores = det.adapt(X).decision_function(X)
    np.testing.assert_array_equal(det.adapt(X[::-1]).decision_function(X), scores)


def test_one_long_support_is_joined_without_further_copies():
    """States are padded to it; that is all that they take."""
    rng = np.random.default_rng(0)
    n = np.full(300, 5)
    n[7] = 256
    X, task = rng.normal(size=(n.sum(), 40)), np.repeat(np.arange(300), n)
    det = MetaPrototypeDetector(n_iter=2, n_calibration_networks=0, random_state=0)
    det.fit(X[:200], task=task[:200] % 20)
    tracemalloc.start()
    adapted = det.adapt(X, task=task)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    size = sum(value.nbytes for value in adapted.state_.values())
    assert size < peak < 1.4 * size
    for i in (0, 7, 299):
        own = X[task == i]
        np.testing.assert_allclose(
            adapted.score_samples(own, task=np.full(len(own), i)),
            det.adapt(own).score_samples(own),
            atol=1e-4,
        )


def test_equal_rows_of_different_labels_do_not_depend_on_their_order():
    rng = np.random.default_rng(0)
    X = rng.integers(3, size=(300, 4)).astype(float)
    y = rng.choice([-1, 0, 1], 300, p=[0.1, 0.5, 0.4])
    det = UniversalDetector(max_support=50).fit(X)
    order = rng.permutation(300)
    one, other = det.adapt(X, y), det.adapt(X[order], y[order])
    n_outliers = min(50, (y == -1).sum())
    assert one.reference_["count"].tolist() == [50]
    assert one.reference_["outliers"].tolist() == [n_outliers]
    np.testing.assert_allclose(
        one.decision_function(X), other.decision_function(X), atol=1e-9
    )


def test_equal_rows_of_two_tasks_stay_with_theirs():
    tasks = [Task(i, np.ones((90, 3)), np.tile([1, 0, -1], 30)) for i in range(2)]
    det = UniversalDetector(max_support=20).fit(tasks)
    assert det.state_["count"].tolist() == det.state_["outliers"].tolist() == [20, 20]
