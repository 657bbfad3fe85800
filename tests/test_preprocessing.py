"""Transformers fitted task by task."""

import numpy as np
import pytest
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skmetaad import PerTaskTransformer
from skmetaad.datasets import make_fleet


@parametrize_with_checks([PerTaskTransformer()])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def fleet():
    return make_fleet(n_tasks=4, n_rows=30, n_features=3, random_state=0)


@pytest.mark.parametrize("inner", [None, MinMaxScaler(), RobustScaler()])
def test_each_task_is_scaled_by_its_own_rows(fleet, inner):
    X, _, task = fleet.arrays()
    order = np.random.default_rng(0).permutation(len(X))
    found = PerTaskTransformer(inner).fit(X, task=task)
    found = found.transform(X[order], task=task[order])
    for one in fleet:
        scaler = inner if inner is not None else StandardScaler()
        want = scaler.fit_transform(one.X)
        rows = found[task[order] == one.id]
        place = order[task[order] == one.id] - np.flatnonzero(task == one.id)[0]
        np.testing.assert_allclose(rows, want[place])


def test_rows_without_a_task_are_scaled_by_all_rows(fleet):
    X, _, task = fleet.arrays()
    found = PerTaskTransformer().fit(X, task=task).transform(X)
    np.testing.assert_allclose(found, StandardScaler().fit_transform(X))


def test_adapting_fits_new_tasks_and_leaves_the_old_as_they_were(fleet):
    X, _, task = fleet[:3].arrays()
    old = PerTaskTransformer().fit(X, task=task)
    before = old.transform(X, task=task)
    new = old.adapt(fleet[3].X[:5])
    want = StandardScaler().fit(fleet[3].X[:5]).transform(fleet[3].X)
    np.testing.assert_allclose(new.transform(fleet[3].X), want)
    np.testing.assert_array_equal(old.transform(X, task=task), before)


def test_one_row_is_centred_only(fleet):
    new = PerTaskTransformer().fit(fleet[0].X).adapt(fleet[1].X[:1])
    np.testing.assert_allclose(new.transform(fleet[1].X), fleet[1].X - fleet[1].X[0])


def test_an_unknown_task_is_named(fleet):
    X, _, task = fleet.arrays()
    scaler = PerTaskTransformer().fit(X, task=task)
    with pytest.raises(ValueError, match="nobody"):
        scaler.transform(X[:2], task=["nobody", "nobody"])
