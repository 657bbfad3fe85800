"""The contract of every detector: public methods here, hooks in the detectors."""

import copy
from contextlib import contextmanager
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from skmetaad._compat import Interval, fit_context
from skmetaad._ids import factorize, lookup
from skmetaad._rows import Rows, padded, stack_states, thin, unpack
from skmetaad.episodes import EpisodeSampler, blocks
from skmetaad.labels import check_labels
from skmetaad.thresholds import SHOTS, prior_at, shrunk_offset

__all__ = ["BaseMetaDetector"]


class BaseMetaDetector(CallbackSupportMixin, OutlierMixin, BaseEstimator):
    """Base class of all meta-learning detectors.

    The public methods are final. A detector implements three hooks on numpy arrays with
    a leading task axis: `_meta_fit`, `_adapt` and `_score`.

    Parameters
    ----------
    contamination : float, default=0.1
        Expected share of outliers among rows not labelled as outliers, in (0, 0.5].
        It sets `offset_`: after `fit`, this share of the training rows is flagged;
        after `adapt`, the expected share of a new task's inliers is, as estimated from
        held-out support rows and from the tasks of `fit`.
    max_support : int, default=256
        Largest number of support rows kept per task; more are thinned at random.
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

    # Numbers handed to a hook at once; bounds the memory of adapting and scoring.
    _max_cells = 1_000_000
    # Tasks whose held-out scores set the prior of the offset.
    _n_prior_tasks = 64

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
            ignored, with a `LabelsIgnoredWarning`.
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
        with self._restored_on_error():
            rows = self._check_rows(X, y, task, reset=True)
            n_inliers = len(rows.X) if rows.y is None else int((rows.y != -1).sum())
            if n_inliers < 2:
                raise ValueError(
                    f"X has n_samples = {n_inliers} rows that are not labelled as "
                    f"outliers: {type(self).__name__}.fit needs at least 2, one to "
                    "adapt on and one to judge."
                )
            seed = check_random_state(self.random_state).randint(2**31 - 1)
            rng = np.random.default_rng(seed)
            self.meta_ = self._meta_fit(rows.X, rows.y, rows.code, rng)
            self.offset_prior_ = self._prior(rows, rng)
            self._judge(rows)
            pool = Rows(rows.X, rows.y, np.zeros_like(rows.code), ())
            # At most half of the rows, so that the training scores that set the
            # offset are not all scores of rows the reference was adapted on.
            cap = max(1, min(self.max_support, n_inliers // 2))
            self.reference_, _ = self._adapt_all(thin(pool, cap), offsets=False)
            kept = slice(None) if rows.y is None else rows.y != -1
            in_sample = self._raw_scores(rows.X[kept], None)
            self.offset_ = float(np.quantile(in_sample, self.contamination))
        return self

    def adapt(self, X, y=None, *, task=None):
        """Adapt to new tasks from their support rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Support rows. One row per task is enough.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. Without a single -1 it is
            ignored, with a `LabelsIgnoredWarning`.
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
            When the rows, labels or task ids are not usable, or a task has no row that
            is not labelled as outlier.
        """
        check_is_fitted(self)
        rows = self._check_rows(X, y, task, reset=False)
        adapted = copy.copy(self)
        adapted._judge(rows)
        return adapted

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
        return self.fit(X, y, task=task).predict(X, task=task)

    def score(self, X, y=None, *, task=None):
        """Return the mean few-shot AUROC over tasks.

        From each task, 10 support rows are drawn (fewer from small tasks), the detector
        is adapted on them, and the task's other rows are ranked.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels, as in `fit`. Without outlier labels, rows of other tasks serve as
            outliers, and for a single task synthetic departures do.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        score : float
            Area under the ROC curve, in [0, 1], averaged over tasks.

        See Also
        --------
        skmetaad.FewShotScorer : Other metrics, other numbers of support rows.
        """
        from skmetaad.metrics import few_shot_scores

        check_is_fitted(self)
        return float(np.mean(list(few_shot_scores(self, X, y, task=task).values())))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "meta_")

    # ------------------------------------------------------------------------- hooks

    def _meta_fit(self, X, y, code, rng):
        """Return what is learned over tasks, as a dict of arrays."""
        raise NotImplementedError

    def _adapt(self, X, y, mask):
        """Adapt to support X (T, K, d), y (T, K), mask (T, K); return dict of (T, ...).

        Arrays may be of length K on axis 1 and are then padded with zeros when joined.
        Padded rows (mask False) hold zeros and must not count.
        """
        raise NotImplementedError

    def _score(self, state, X):
        """Return scores (T, R) of rows X (T, R, d), higher = more normal."""
        raise NotImplementedError

    def _offsets(self, X, y, mask, state):
        """Return one threshold per task from held-out scores and the fleet's prior."""
        scores = self._held_out_scores(X, y, mask)
        n_support = (mask & (y != -1)).sum(axis=1)
        prior = prior_at(n_support, *self.offset_prior_)
        return shrunk_offset(scores, prior, self.contamination)

    # --------------------------------------------------------------------- internals

    @contextmanager
    def _restored_on_error(self):
        before = dict(self.__dict__)
        try:
            yield
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise

    def _check_rows(self, X, y, task, *, reset):
        X, y, task = unpack(X, y, task)
        X = self._check_X(X, reset=reset)
        code, ids = factorize(task, len(X))
        y = check_labels(y, n_rows=len(X))
        if y is not None:
            inliers = np.bincount(code[y != -1], minlength=max(len(ids), 1))
            if (inliers == 0).any():
                where = f"task {ids[int(np.argmin(inliers))]!r}" if ids else "y"
                raise ValueError(
                    f"{where} labels every row as an outlier (-1): expected at least "
                    "one inlier or unlabelled row."
                )
        return Rows(X, y, code, ids)

    def _check_X(self, X, *, reset):
        try:
            return validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)
        except ValueError as error:
            if "could not convert string" not in str(error):
                raise
            text = [
                name
                for name, kind in getattr(X, "dtypes", {}).items()
                if getattr(kind, "kind", "O") not in "biuf"
            ]
            where = f"column {text[0]!r}" if text else "a column"
            raise ValueError(
                f"X holds text in {where}: expected numbers ({error})."
            ) from error

    def _judge(self, rows):
        """Adapt to the rows' tasks and take up their thresholds."""
        state, offsets = self._adapt_all(thin(rows, self.max_support))
        self.task_ids_ = rows.ids
        self.state_ = state if rows.ids else {}
        self.task_offsets_ = offsets if rows.ids else offsets[:0]
        self.reference_ = state if rows.n_tasks == 1 else None
        self.offset_ = float(offsets[0]) if rows.n_tasks == 1 else offsets

    def _adapt_all(self, rows, *, offsets=True):
        states, thresholds, order = [], [], []
        cells = max(1, self._max_cells // rows.X.shape[1])
        for tasks, index in blocks(
            rows.code, rows.n_tasks, max_rows=cells, split=False
        ):
            X, y, mask = padded(rows, index)
            states.append(self._adapt(X, y, mask))
            if offsets:
                thresholds.append(self._offsets(X, y, mask, states[-1]))
            order.append(tasks)
        state = stack_states(states, order)
        if not offsets:
            return state, None
        return state, np.concatenate(thresholds)[np.argsort(np.concatenate(order))]

    def _held_out_scores(self, X, y, mask):
        """Score each support row by its task adapted without the row's fold."""
        n_tasks, n_rows, n_features = X.shape
        n_folds = n_rows if n_rows <= 12 else 5
        scores = np.full((n_tasks, n_rows), np.nan)
        if n_rows == 1:
            return scores
        fold = np.arange(n_rows) % n_folds
        held = (fold == np.arange(n_folds)[:, None])[None] & (y != -1)[:, None]
        held &= mask[:, None]
        left = mask[:, None] & ~held
        usable = (left & (y != -1)[:, None]).any(axis=2) & held.any(axis=2)
        task, part = np.nonzero(usable)
        step = max(1, self._max_cells // (n_rows * n_features))
        columns = [np.flatnonzero(fold == f) for f in range(n_folds)]
        width = max(map(len, columns))
        columns = np.array([np.resize(c, width) for c in columns])
        for chunk in gen_batches(len(task), step):
            t, f = task[chunk], part[chunk]
            keep = left[t, f]
            state = self._adapt(X[t] * keep[..., None], y[t] * keep, keep)
            rows = columns[f]
            score = self._score(state, X[t[:, None], rows])
            counted = held[t, f][np.arange(len(t))[:, None], rows]
            score = np.where(counted, score, np.nan)
            scores[t[:, None], rows] = score
        return scores

    def _prior(self, rows, rng):
        """Return shots and the offset that the tasks of `fit` need at each of them."""
        sizes = np.bincount(rows.code if rows.y is None else rows.code[rows.y != -1])
        shots = [k for k in SHOTS if k < np.median(sizes)] or [1]
        offsets = []
        for n_support in shots:
            sampler = EpisodeSampler(rows.y, rows.code, n_support=n_support, n_query=64)
            drawn = sampler.draw(self._n_prior_tasks, rng)
            state = self._adapt(*padded(rows, drawn.support))
            score = self._score(state, rows.X[drawn.query].astype(np.float64))
            offsets.append(np.quantile(score[drawn.query_y == 1], self.contamination))
        return np.array(shots, dtype=np.float64), np.array(offsets)

    def _scores(self, X, task):
        """Return scores and the thresholds that go with them."""
        check_is_fitted(self)
        X, _, task = unpack(X, None, task)
        X = self._check_X(X, reset=False)
        if task is not None:
            code = lookup(task, len(X), self.task_ids_)
            return self._raw_scores(X, code), self.task_offsets_[code]
        if self.reference_ is None:
            raise ValueError(
                f"task=None, but this {type(self).__name__} was adapted to "
                f"{len(self.task_ids_)} tasks: expected the task id of each row."
            )
        return self._raw_scores(X, None), self.offset_

    def _raw_scores(self, X, code):
        scores = np.empty(len(X))
        step = max(1, self._max_cells // max(X.shape[1], 64))
        if code is None:
            for part in gen_batches(len(X), step):
                rows = X[part].astype(np.float64, copy=False)
                scores[part] = self._score(self.reference_, rows[None])[0]
            return scores
        for tasks, index in blocks(code, len(self.task_ids_), max_rows=step):
            state = {name: value[tasks] for name, value in self.state_.items()}
            score = self._score(state, X[index].astype(np.float64, copy=False))
            scores[index[index >= 0]] = score[index >= 0]
        return scores
