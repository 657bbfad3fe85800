"""The bridge to PyOD, both ways; PyOD is imported only when it is crossed."""

import copy
import random
import sys
from contextlib import ExitStack, contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.frozen import FrozenEstimator

from skmetaad._compat import Interval
from skmetaad._ids import rows_by_code
from skmetaad.base import BaseMetaDetector


@contextmanager
def _seeded(seed):
    """Seed the process's generators for a block, and put them back after it."""
    with ExitStack() as restored:
        restored.callback(random.setstate, random.getstate())
        restored.callback(np.random.set_state, np.random.get_state())  # noqa: NPY002
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch = sys.modules.get("torch")
        if torch is not None:  # else no detector draws from it
            n_gpus = torch.cuda.device_count() if torch.cuda.is_initialized() else 0
            restored.enter_context(torch.random.fork_rng(range(n_gpus)))
            torch.manual_seed(seed)
        yield


class PyODDetector(BaseMetaDetector):
    """A PyOD detector under the contract of meta-detectors.

    Nothing is learned over tasks, thresholds neither: `fit` and `adapt` fit one copy of
    the detector per task, on its rows that are not labelled as outliers. For benchmarks
    beside meta-detectors.

    Parameters
    ----------
    detector : pyod.models.base.BaseDetector
        The unfitted PyOD detector; it is copied, never fitted itself.
    contamination : float or None, default=None
        Share of outliers in the support, handed to the copies: the threshold is
        PyOD's own. None: what `detector` has.
    max_support : int or inf, default=inf
        Largest number of support rows kept per task; more are thinned at random. By
        default all are kept.
    random_state : int, RandomState instance or None, default=None
        Seed handed to copies that have a `random_state`; None: one is drawn, unless
        `detector` has its own. While a copy is fitted or scores, the process's random
        generators are seeded with it, and put back afterwards.

    Attributes
    ----------
    meta_ : dict
        Empty: nothing is learned over tasks.
    state_ : dict of str to ndarray
        "detector": the fitted copies, one per task.
    reference_ : dict of str to ndarray or None
        "detector": the copy that judges rows that come without a task. After `fit` of
        one task it is that task's; after `fit` of several it is fitted on their rows
        together, at most 2000.
    task_ids_ : tuple
        The ids of the tasks in `state_`, in order.
    offset_ : float or ndarray of shape (n_tasks,)
        Threshold: `decision_function = score_samples - offset_`.
    task_offsets_ : ndarray of shape (n_tasks,)
        The threshold of each task in `task_ids_`.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, when `X` has names.

    See Also
    --------
    to_pyod : The other way.

    Examples
    --------
    >>> from pyod.models.knn import KNN
    >>> from skmetaad import PyODDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=3, random_state=0)
    >>> det = PyODDetector(KNN()).fit(fleet)
    >>> det.predict(fleet).shape
    (600,)
    """

    _parameter_constraints = {
        **BaseMetaDetector._parameter_constraints,
        "contamination": [
            *BaseMetaDetector._parameter_constraints["contamination"],
            None,
        ],
        "detector": "no_validation",
        "max_support": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Real, np.inf, None, closed="both"),
        ],
    }
    # Rows of several tasks that the copy for rows without a task is fitted on.
    _max_pooled = 2000

    def __init__(
        self, detector, *, contamination=None, max_support=np.inf, random_state=None
    ):
        super().__init__(
            contamination=contamination,
            max_support=max_support,
            random_state=random_state,
        )
        self.detector = detector

    def __copy__(self):
        # For `adapt`: what it returns has parameters of its own.
        copied = type(self).__new__(type(self))
        vars(copied).update(vars(self), detector=copy.deepcopy(self.detector))
        return copied

    def _meta_fit(self, X, y, code, rng):
        origins = {(c.__module__, c.__name__) for c in type(self.detector).__mro__}
        if ("pyod.models.base", "BaseDetector") not in origins:
            raise TypeError(
                f"detector={self.detector!r}: expected a PyOD detector, such as KNN()."
            )
        # PyOD checks it when a detector is made; it may have been set since.
        own = getattr(self.detector, "contamination", None)
        if self.contamination is None and isinstance(own, Real) and not 0 < own <= 0.5:
            raise ValueError(
                f"detector has contamination={own!r}: expected a share in (0, 0.5]."
            )
        return {"seed": np.array(rng.integers(2**31 - 1))}

    def _prior(self, rows, rng):
        return None

    def _reference(self, rows, kept, rng):
        """Judge rows without a task by PyOD's own fit and threshold."""
        if self.reference_ is None:  # else fitted on the rows already, as one task
            n = min(self.max_support, self._max_pooled)
            self.reference_ = self._pooled(rows, n)
        self.offset_ = float(self._thresholds(self.reference_)[0])

    def _adapt(self, X, y, mask):
        fitted = np.empty(len(X), dtype=object)
        for i, rows in enumerate(mask & (y != -1)):
            fitted[i] = self._fit_one(X[i][rows])
        return {"detector": fitted}

    def _fit_one(self, X):
        detector = copy.deepcopy(self.detector)
        own = vars(detector)
        if self.contamination is not None and "contamination" in own:
            detector.contamination = float(self.contamination)
        seeded = self.random_state is None and own.get("random_state") is not None
        if "random_state" in own and not seeded:
            detector.random_state = int(self.meta_["seed"])
        with self._called(detector, f"be fitted on {len(X)} rows of a task"):
            detector.fit(X)
            n_nan = np.isnan(detector.decision_scores_).sum()
            if n_nan or not np.isfinite(detector.threshold_):
                raise ValueError(
                    f"its threshold is {detector.threshold_} and {n_nan} scores are "
                    "NaN, expected numbers. Give it more rows, or fewer copies and "
                    "constant columns."
                )
        return detector

    @contextmanager
    def _called(self, detector, purpose):
        own = getattr(detector, "random_state", None)
        seed = own if isinstance(own, Integral) else self.meta_["seed"]
        try:
            with _seeded(int(seed)):  # some seed themselves only when they are made
                yield
        except Exception as error:
            name = type(detector).__name__
            raise ValueError(f"{name} cannot {purpose}: {error}") from error

    def _in_blocks(self, X, code, function, shape=()):
        # All rows of a task at once, and no others: some detectors rank them together.
        X = X.astype(np.float64, copy=False)
        if code is None:
            return function(self.reference_, X[None])[0]
        result = np.empty((len(X), *shape))
        for rows in rows_by_code(code):
            one = code[rows[:1]]
            state = {name: value[one] for name, value in self.state_.items()}
            result[rows] = function(state, X[rows][None])[0]
        return result

    def _score(self, state, X):
        scores = np.empty(X.shape[:2])
        for i, detector in enumerate(state["detector"]):
            with self._called(detector, f"score {X.shape[1]} rows of a task"):
                scores[i] = -np.ravel(detector.decision_function(X[i]))
                if np.isnan(scores[i]).any():
                    raise ValueError("scores are NaN, expected numbers.")
        return scores

    def _held_out(self, X, y, mask, state):
        scores = np.full(mask.shape, np.nan)
        for i, rows in enumerate(mask & (y != -1)):
            scores[i, rows] = -state["detector"][i].decision_scores_
        return scores

    def _offsets(self, X, y, mask, state):
        return self._thresholds(state)

    @staticmethod
    def _thresholds(state):
        return np.array([-float(d.threshold_) for d in state["detector"]])


def to_pyod(estimator, *, contamination=0.1):
    """Turn a fitted meta-detector into a PyOD detector.

    Its `fit` adapts to one table. Labels are PyOD's (0 inlier, 1 outlier) and scores
    are higher for outliers. Training scores (`decision_scores_`, hence `threshold_` and
    `labels_`) are held-out ones: each fifth of the rows is scored by the detector
    adapted to the others. `UniversalDetector` needs no such folds: it judges each
    support row as if that row were not in the support.

    Parameters
    ----------
    estimator : object
        A fitted meta-detector, or what `skmetaad.adapt` takes. It is kept in a
        `FrozenEstimator`, so that `clone` leaves it fitted.
    contamination : float, default=0.1
        PyOD's share of outliers in the table, in (0, 0.5].

    Returns
    -------
    detector : pyod.models.base.BaseDetector
        The PyOD detector, unfitted. Its `fit` takes what the meta-detector's `adapt`
        takes: data frames with its columns, NaN where it allows them. It takes at least
        2 rows, since the score of a single one cannot be held out.

    Raises
    ------
    ImportError
        When PyOD is not installed.
    TypeError
        When `contamination` is None.

    See Also
    --------
    PyODDetector : The other way.

    Examples
    --------
    >>> from skmetaad import MetaPrototypeDetector, to_pyod
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=5, random_state=0)
    >>> meta = MetaPrototypeDetector(n_iter=20, random_state=0).fit(fleet[:4])
    >>> det = to_pyod(meta).fit(fleet[4].X)
    >>> det.labels_.shape, det.predict(fleet[4].X[:3]).shape
    ((200,), (3,))
    """
    from skmetaad._pyod_model import AdaptedDetector

    if contamination is None:
        raise TypeError("contamination=None: expected a number in (0, 0.5].")
    if not isinstance(estimator, FrozenEstimator):
        estimator = FrozenEstimator(estimator)
    return AdaptedDetector(estimator, contamination=contamination)
