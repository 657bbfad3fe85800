"""Checks of the meta-learning contract, for every detector."""

import copy
import pickle
import random
from functools import lru_cache

import numpy as np
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import get_tags

from skmetaad.datasets import make_fleet
from skmetaad.tasks import TaskCollection

__all__ = ["check_meta_detector", "meta_checks"]


def check_meta_detector(estimator):
    """Check that a detector keeps the contract of meta-learning detectors.

    Complements `sklearn.utils.estimator_checks.check_estimator`, which a detector
    should pass as well.

    Parameters
    ----------
    estimator : BaseMetaDetector
        The detector to check, unfitted; it is cloned. Give it few meta-iterations, but
        enough to learn a small fleet.

    Raises
    ------
    AssertionError
        When the detector breaks a rule; the message says which.

    Examples
    --------
    >>> from skmetaad import MetaPrototypeDetector
    >>> from skmetaad.utils.estimator_checks import check_meta_detector
    >>> check_meta_detector(MetaPrototypeDetector(n_iter=60))
    """
    for check in meta_checks():
        check(estimator)


def meta_checks():
    """Return the single checks, each a function of an unfitted detector.

    Returns
    -------
    checks : list of callable
        For use with `pytest.mark.parametrize`.

    Examples
    --------
    >>> from skmetaad.utils.estimator_checks import meta_checks
    >>> meta_checks()[0].__name__
    'check_sign'
    """
    return [
        check_sign,
        check_adapt_is_pure,
        check_support_order,
        check_one_row_support,
        check_single_row_scores,
        check_many_tasks_at_once,
        check_global_state_untouched,
        check_tasks_renamed,
        check_seed_reproduces,
        check_fitted_state_is_numpy,
        check_labels_rule,
        check_unknown_task,
        check_failed_fit_leaves_nothing,
        check_adaptation_helps,
    ]


def _fleet():
    fleet = make_fleet(n_tasks=12, n_rows=60, n_features=6, random_state=0)
    return fleet[:9], fleet[9:]


def _seeded(estimator):
    """Return an unfitted copy, with a seed if it takes one."""
    own = clone(estimator)
    return own.set_params(random_state=0) if "random_state" in own.get_params() else own


def _fitted(estimator):
    """Return a detector fitted to the fleet, by one fit for all checks, and new tasks.

    What cannot be pickled is fitted again for each check.
    """
    train, test = _fleet()
    unfitted = _seeded(estimator)
    try:
        pickled = pickle.dumps(unfitted)
    except (pickle.PicklingError, AttributeError, TypeError):
        return unfitted.fit(train), test
    # A copy: a check that finds a detector changed leaves the others theirs.
    return copy.deepcopy(_fitted_once(type(unfitted), pickled)), test


@lru_cache(maxsize=1)
def _fitted_once(kind, pickled):
    """Fit what was pickled; `kind` tells classes of one name apart."""
    return pickle.loads(pickled).fit(_fleet()[0])


def _support(task, n=10):
    return task.X[task.y == 1][:n]


def check_sign(estimator):
    """Higher scores are more normal, and predictions follow the decision function."""
    det, test = _fitted(estimator)
    new = det.adapt(_support(test[0]))
    rows = test[0].X
    decision = new.decision_function(rows)
    assert decision.dtype == np.float64, f"float64 scores expected: {decision.dtype}"
    assert decision.shape == (len(rows),), (
        f"one score per row expected: {decision.shape}"
    )
    np.testing.assert_allclose(decision, new.score_samples(rows) - new.offset_)
    expected = np.where(decision < 0, -1, 1)
    np.testing.assert_array_equal(new.predict(rows), expected)
    far = test[0].X[:1] + 1e3 * test[0].X.std(axis=0)
    near = new.score_samples(_support(test[0])).min()
    assert new.score_samples(far)[0] < near, (
        "a far-off row must score below normal ones"
    )


def check_adapt_is_pure(estimator):
    """`adapt` and scoring leave the detector as it was, to the byte."""
    det, test = _fitted(estimator)
    before = pickle.dumps(det)
    new = det.adapt(_support(test[0]))
    new.predict(test[0].X)
    assert new is not det, "adapt must return another detector"
    assert type(new) is type(det)
    assert pickle.dumps(det) == before, "adapt changed the detector it was called on"
    again = pickle.loads(pickle.dumps(new)).score_samples(test[0].X)
    np.testing.assert_array_equal(again, new.score_samples(test[0].X))


def check_support_order(estimator):
    """The order of the support rows does not matter."""
    det, test = _fitted(estimator)
    support = _support(test[0], 20)
    shuffled = support[np.random.default_rng(0).permutation(len(support))]
    a, b = det.adapt(support), det.adapt(shuffled)
    rows = test[0].X
    np.testing.assert_allclose(
        a.decision_function(rows), b.decision_function(rows), rtol=1e-6, atol=1e-8
    )


def check_one_row_support(estimator):
    """One support row is enough, with a finite threshold."""
    det, test = _fitted(estimator)
    new = det.adapt(_support(test[0], 1))
    assert np.isfinite(new.decision_function(test[0].X)).all()


def check_single_row_scores(estimator):
    """A row scores the same alone, in a batch, and in another order."""
    det, test = _fitted(estimator)
    new, rows = det.adapt(_support(test[0])), test[0].X[:20]
    together = new.score_samples(rows)
    alone = np.concatenate([new.score_samples(row[None]) for row in rows])
    np.testing.assert_allclose(alone, together, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(
        new.score_samples(rows[::-1])[::-1], together, rtol=1e-9, atol=1e-9
    )


def check_many_tasks_at_once(estimator):
    """Tasks adapted and scored in one call equal tasks taken one by one."""
    det, test = _fitted(estimator)
    sizes = dict(zip(test.ids, (1, 7, 30), strict=True))
    X = np.concatenate([_support(t, sizes[t.id]) for t in test])
    task = np.repeat(list(sizes), list(sizes.values()))
    fleet = det.adapt(X, task=task)
    assert fleet.task_ids_ == test.ids, (
        f"task_ids_ {test.ids} expected: {fleet.task_ids_}"
    )
    Xq, _, task_q = test.arrays()
    mixed = np.random.default_rng(0).permutation(len(Xq))
    together = np.empty(len(Xq))
    together[mixed] = fleet.decision_function(Xq[mixed], task=task_q[mixed])
    for t in test:
        one = det.adapt(_support(t, sizes[t.id]))
        np.testing.assert_allclose(
            together[task_q == t.id], one.decision_function(t.X), rtol=1e-5, atol=1e-6
        )


def check_global_state_untouched(estimator):
    """No global generator, default dtype or thread count moves."""

    def state():
        _, keys, position, *_ = np.random.get_state()
        return (
            random.getstate(),
            keys.tobytes(),
            position,
            torch.get_rng_state().numpy().tobytes(),
            torch.get_default_dtype(),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
        )

    before = state()
    train, test = _fleet()
    det = _seeded(estimator).fit(train)
    det.adapt(_support(test[0])).predict(test[0].X)
    assert state() == before, "fit, adapt or predict moved global state"


def check_tasks_renamed(estimator):
    """The names of the tasks have no influence on the result."""
    train, _ = _fleet()
    X, y, task = train.arrays()
    names = {name: f"z{-i % 7}-{i}" for i, name in enumerate(train.ids)}
    renamed = np.array([names[name] for name in task.tolist()])
    a, _ = _fitted(estimator)
    b = _seeded(estimator).fit(X, y, task=renamed)
    np.testing.assert_array_equal(
        a.decision_function(X, task=task), b.decision_function(X, task=renamed)
    )


def check_seed_reproduces(estimator):
    """The same seed gives the same detector."""
    a, test = _fitted(estimator)
    b = _seeded(estimator).fit(_fleet()[0])
    rows = test[0].X
    np.testing.assert_array_equal(a.score_samples(rows), b.score_samples(rows))


def check_fitted_state_is_numpy(estimator):
    """No torch object is among the fitted attributes."""
    det, test = _fitted(estimator)
    for fitted in (det, det.adapt(_support(test[0]))):
        assert not list(_torch_objects(vars(fitted))), "torch object in fitted state"
    for name in vars(det):
        if name not in det.get_params() and not name.startswith("_"):
            assert name.endswith("_"), f"fitted attribute {name!r} lacks a trailing _"


def _torch_objects(value):
    if type(value).__module__.split(".")[0] == "torch":
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _torch_objects(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _torch_objects(item)


def check_labels_rule(estimator):
    """A `y` without -1 is ignored with a warning; rows are judged the same."""
    import warnings

    from skmetaad.exceptions import LabelsIgnoredWarning

    det, test = _fitted(estimator)
    support = _support(test[0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        labelled = det.adapt(support, np.arange(len(support)) % 2)
    ignored = [w for w in caught if issubclass(w.category, LabelsIgnoredWarning)]
    assert ignored, "0/1 labels must be ignored with a LabelsIgnoredWarning"
    assert "from_pyod_labels" in str(ignored[0].message)
    np.testing.assert_array_equal(
        labelled.decision_function(test[0].X),
        det.adapt(support).decision_function(test[0].X),
    )


def check_unknown_task(estimator):
    """An id that was not adapted raises a ValueError that names it."""
    det, test = _fitted(estimator)
    rows = test[0].X[:3]
    try:
        det.decision_function(rows, task=["nobody"] * 3)
    except ValueError as error:
        assert "nobody" in str(error), f"the message must name the id: {error}"
    else:
        raise AssertionError("an unknown task id must raise a ValueError")


def check_failed_fit_leaves_nothing(estimator):
    """A fit that raises leaves an unfitted detector unfitted."""
    det = clone(estimator)
    before = set(vars(det))
    try:
        bad = np.nan if not get_tags(det).input_tags.allow_nan else np.inf
        det.fit(np.array([[0.0, bad], [1.0, 2.0], [2.0, 1.0]]))
    except ValueError:
        pass
    else:
        raise AssertionError(f"{bad} must raise a ValueError")
    try:
        det.fit(np.zeros((4, 2)), [1, -1, 5, 1])
    except ValueError:
        pass
    else:
        raise AssertionError("labels other than -1, 0, +1 must raise a ValueError")
    assert set(vars(det)) == before, "a failed fit left attributes behind"


def check_adaptation_helps(estimator):
    """On new tasks, ten support rows give better ranks than the fleet's reference."""
    det, test = _fitted(estimator)
    plain, adapted = [], []
    for t in TaskCollection(test):
        rows = np.ones(len(t.X), dtype=bool)
        rows[np.flatnonzero(t.y == 1)[:10]] = False
        outlier = t.y[rows] == -1
        new = det.adapt(_support(t))
        plain.append(roc_auc_score(outlier, -det.decision_function(t.X[rows])))
        adapted.append(roc_auc_score(outlier, -new.decision_function(t.X[rows])))
    assert np.mean(adapted) > np.mean(plain), (
        f"adapted AUROC {np.mean(adapted):.3f} is not above {np.mean(plain):.3f} of "
        "the reference"
    )
