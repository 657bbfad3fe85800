"""The contract of every detector: public methods here, hooks in the detectors."""

import copy
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from skmetaad._compat import Interval, fit_context
from skmetaad._held_out import learned_offsets
from skmetaad._hooks import Hooks
from skmetaad._restore import restored_on_error
from skmetaad._rows import check_features, check_rows, unpack
from skmetaad.tasks import as_collection

__all__ = ["BaseMetaDetector"]


class BaseMetaDetector(Hooks, CallbackSupportMixin, OutlierMixin, BaseEstimator):
    """Base class of all meta-learning detectors.

    The public methods are final. A detector implements three hooks on numpy arrays with
    a leading task axis: `_meta_fit`, `_adapt` and `_score`.

    Parameters
    ----------
    contamination : float, default=0.1
        Expected share of outliers among rows not labelled as outliers, in (0, 0.5].
        It sets thresholds. `offset_`, for rows without a task, is such that this share
        of the training rows, labelled outliers aside, is flagged after `fit`. A task's
        is such that this share of its further inliers is expected to be, as estimated
        from held-out support rows and from the tasks of `fit`. Rows that a task was
        adapted to are more like it than further ones: `fit_predict` holds them out.
    max_support : int, default=256
        Largest number of support rows kept per task, labelled outliers and all others
        apart; more are thinned at random.
    random_state : int, RandomState instance or None, default=None
        Seed of all randomness in `fit`.

    Attributes
    ----------
    meta_ : dict of str to ndarray
        What was learned over all tasks.
    state_ : dict of str to ndarray
        What was adapted to each task, with a leading axis of tasks.
    reference_ : dict of str to ndarray or None
        What judges rows that come without a task, with a leading axis of length 1.
    task_ids_ : tuple
        The ids of the tasks in `state_`, in order; empty when no `task` was given.
    offset_ : float or ndarray of shape (n_tasks,)
        Threshold: `decision_function = score_samples - offset_`. An array, in the order
        of `task_ids_`, after `adapt` to several tasks.
    task_offsets_ : ndarray of shape (n_tasks,)
        The threshold of each task in `task_ids_`.
    offset_prior_ : dict of str to ndarray
        What tasks tell about thresholds, by "shots".
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, when `X` has names.

    Examples
    --------
    >>> from skmetaad import BaseMetaDetector, MetaPrototypeDetector
    >>> isinstance(MetaPrototypeDetector(), BaseMetaDetector)
    True
    """

    __metadata_request__fit = {"task": True}
    __metadata_request__predict = {"task": True}
    __metadata_request__decision_function = {"task": True}
    __metadata_request__score = {"task": True}

    _parameter_constraints = {
        "contamination": [Interval(Real, 0, 0.5, closed="right")],
        "max_support": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(self, *, contamination=0.1, max_support=256, random_state=None):
        self.contamination = contamination
        self.max_support = max_support
        self.random_state = random_state

    # ---------------------------------------------------------------- public, final

    @with_callbacks
    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, task=None):
        """Meta-train on many tasks.

        Afterwards the detector is ready: each task seen is adapted on its own rows,
        and rows without a task are judged against a reference adapted on rows of all
        tasks together.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of all tasks. A `TaskCollection` (or a list of `Task`) brings its own
            labels and task ids.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. Without a single -1 it is
            ignored, with a `LabelsIgnoredWarning` unless all are +1 or all 0.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: all rows are one task.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            When the rows, labels, task ids or parameters are not usable.
        """
        with restored_on_error(self):
            rows = check_rows(self, X, y, task, reset=True)
            kept = np.flatnonzero(~rows.outlier)
            if len(kept) < 2:
                raise ValueError(
                    f"X has n_samples = {len(kept)} rows that are not labelled as "
                    f"outliers: {type(self).__name__}.fit needs at least 2, one to "
                    "adapt on and one to judge."
                )
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            rng = np.random.default_rng(seed)
            self.task_ids_ = rows.ids
            self._learned_with = {name: getattr(self, name) for name in self._shaping}
            self.meta_ = self._meta_fit(rows.X, rows.y, rows.code, rng)
            self.offset_prior_ = self._prior(rows, rng)
            self._judge(rows)
            self._reference(rows, kept, rng)
        return self

    def adapt(self, X, y=None, *, task=None):
        """Adapt to new tasks from their support rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Support rows. One row per task is enough.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. Without a single -1 it is
            ignored, with a `LabelsIgnoredWarning` unless all are +1 or all 0.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: all rows are one task, and the result judges
            rows without a task id.

        Returns
        -------
        adapted : object
            A new fitted detector of the same class, which shares what was learned in
            `fit`; `self` is left untouched.

        Raises
        ------
        ValueError
            When the rows, labels, task ids or parameters are not usable, or a task has
            no row that is not labelled as outlier.
        """
        check_is_fitted(self)
        self._check_unchanged()
        self._validate_params()
        adapted = copy.copy(self)
        rows = check_rows(adapted, X, y, task, reset=self._any_width)
        adapted._judge(rows)
        return adapted

    def calibrate(self, X, y=None, *, task=None, balanced=False):
        """Learn thresholds anew, on tasks that `fit` did not see.

        A network judges the tasks it was trained on with too much confidence. Held-out
        tasks show how scores of fresh inliers really spread, so that the share
        `contamination` of a new task's inliers falls below its threshold. Or, if
        `balanced`, they show where inliers and outliers are told apart best.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of tasks, as in `fit`; many tasks rather than many rows.
        y : array-like of shape (n_rows,), default=None
            Labels, as in `fit`.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        balanced : bool, default=False
            Whether the class-balanced accuracy on these tasks, (share of inliers kept +
            share of outliers flagged) / 2, decides, and `contamination` does not.
            Outliers are rows labelled so, or rows of other tasks where a task has none.

        Returns
        -------
        calibrated : object
            A new fitted detector of the same class, whose `adapt` sets thresholds by
            these tasks. Tasks adapted before keep theirs.

        Raises
        ------
        ValueError
            When the rows, labels, task ids or parameters are not usable, or `balanced`
            is True and the rows have no outliers, or the detector sets thresholds by
            other means.
        TypeError
            When `balanced` is not a bool.
        """
        check_is_fitted(self)
        self._check_unchanged()
        self._validate_params()
        if not isinstance(balanced, bool | np.bool_):
            raise TypeError(f"balanced={balanced!r}: expected True or False.")
        if self.offset_prior_ is None:
            raise ValueError(
                f"{type(self).__name__} sets thresholds without what other tasks tell: "
                "calibrate has nothing to learn."
            )
        calibrated = copy.copy(self)
        rows = check_rows(copy.copy(self), X, y, task, reset=self._any_width)
        calibrated.offset_prior_ = learned_offsets(
            [(self, None)], rows, np.random.default_rng(0), balanced=balanced
        )
        return calibrated

    def score_samples(self, X, *, task=None):
        """Return how normal each row is for its task.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to judge.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: judge by the reference, or by the one task
            adapted to.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Scores in float64, higher = more normal.

        Raises
        ------
        ValueError
            When the rows are not usable, or `task` holds an id that was not adapted.
        """
        return self._scores(X, task)[0]

    def decision_function(self, X, *, task=None):
        """Return how far each row is on the normal side of its task's threshold.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to judge.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: judge by the reference, or by the one task
            adapted to.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            `score_samples` less the threshold of the row's task: negative = outlier.

        Raises
        ------
        ValueError
            When the rows are not usable, or `task` holds an id that was not adapted.
        """
        scores, offsets = self._scores(X, task)
        return scores - offsets

    def predict(self, X, *, task=None):
        """Label each row as inlier or outlier of its task.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to judge.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: judge by the reference, or by the one task
            adapted to.

        Returns
        -------
        labels : ndarray of shape (n_rows,) of int64
            +1 for inliers, -1 for outliers.

        Raises
        ------
        ValueError
            When the rows are not usable, or `task` holds an id that was not adapted.
        """
        return np.where(self.decision_function(X, task=task) < 0, -1, 1)

    def fit_predict(self, X, y=None, *, task=None):
        """Meta-train, then label the training rows.

        Where rows have a task, each is judged without its own influence, since it is
        always like itself: by the other half of its task, by all other rows
        (`MetaPrototypeDetector`, `UniversalDetector`), or by PyOD's training scores
        (`PyODDetector`). Labelled outliers, rows beyond `max_support` and the row of a
        task that has no other are judged as `predict` does; so are all rows without a
        task.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of all tasks.
        y : array-like of shape (n_rows,), default=None
            Labels, as in `fit`.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        labels : ndarray of shape (n_rows,) of int64
            +1 for inliers, -1 for outliers, each row judged by its own task.
        """
        self.fit(X, y, task=task)
        if not self.task_ids_:
            return self.predict(X)
        scores, offsets = self._own_scores(X, y, task)
        return np.where(scores < offsets, -1, 1)

    def score(self, X, y=None, *, task=None, sample_weight=None):
        """Return the mean few-shot AUROC over tasks.

        From each task, 10 support rows are drawn (fewer from small tasks), the detector
        is adapted on them, and the task's other rows are ranked; with `chronological`
        as `few_shot_scores` has it.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels, as in `fit`. Without outlier labels, rows of other tasks serve as
            outliers, and for a single task synthetic departures do.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        sample_weight : None, default=None
            Not supported; pipelines hand it on.

        Returns
        -------
        score : float
            Area under the ROC curve, in [0, 1], averaged over tasks.

        Raises
        ------
        ValueError
            When the rows, labels or task ids are not usable, a task has fewer than two
            inliers, or `sample_weight` is given.

        See Also
        --------
        skmetaad.FewShotScorer : Other metrics, other numbers of support rows.
        """
        from skmetaad.metrics import FewShotScorer

        check_is_fitted(self)
        if sample_weight is not None:
            raise ValueError(
                f"sample_weight={sample_weight!r}: expected None, tasks count the same."
            )
        if not self._any_width or as_collection(X) is None:
            check_features(self, unpack(X, None, None)[0], reset=False)
        in_order = getattr(self, "chronological", False)
        return FewShotScorer(chronological=in_order)(self, X, y, task=task)
