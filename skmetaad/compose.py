"""Meta-detectors inside pipelines, searches and other libraries' loops."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skmetaad._compat import safe_indexing
from skmetaad._pyod import PyODDetector, to_pyod
from skmetaad._rows import unpack
from skmetaad._steps import replaced, walk
from skmetaad.exceptions import LabelsIgnoredWarning
from skmetaad.labels import check_labels
from skmetaad.tasks import as_collection

__all__ = ["FewShotDetector", "PyODDetector", "adapt", "decide", "to_pyod"]


def adapt(estimator, X, y=None, *, task=None):
    """Adapt a fitted meta-detector, wherever it sits, to new tasks.

    Parameters
    ----------
    estimator : object
        A fitted meta-detector; a `Pipeline` that ends in one; a fitted search
        (`GridSearchCV`, ...) over one of these, whose best estimator is adapted; or a
        `FrozenEstimator` around one.
    X : array-like of shape (n_rows, n_features), or TaskCollection
        Support rows.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled.
    task : array-like of shape (n_rows,), default=None
        The task id of each row; None: all rows are one task.

    Returns
    -------
    adapted : object
        A new detector, or a new pipeline with the adapted detector at its end;
        `estimator` is left untouched. Steps that can be adapted to a task
        (`PerTaskTransformer`) are, inside a `ColumnTransformer`, `FeatureUnion` or
        nested `Pipeline` as well; the others are shared.

    Raises
    ------
    TypeError
        When `estimator` cannot be adapted.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmetaad import MetaPrototypeDetector, adapt
    >>> from skmetaad.datasets import make_fleet
    >>> X, y, task = make_fleet(n_tasks=5, random_state=0).arrays()
    >>> det = MetaPrototypeDetector(n_iter=20, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), det)
    >>> pipe = pipe.fit(X, y, metaprototypedetector__task=task)
    >>> adapt(pipe, X[:10]).predict(X[:3]).shape
    (3,)
    """
    if hasattr(estimator, "adapt") and not isinstance(estimator, type):
        return estimator.adapt(X, y, task=task)
    if isinstance(estimator, Pipeline):
        return _adapt_pipeline(estimator, *unpack(X, y, task))
    if hasattr(estimator, "best_estimator_"):
        return adapt(estimator.best_estimator_, X, y, task=task)
    if isinstance(estimator, FrozenEstimator):
        return adapt(estimator.estimator, X, y, task=task)
    raise TypeError(
        f"estimator={estimator!r}: expected a fitted meta-detector, a pipeline that "
        "ends in one, or a fitted search over one."
    )


def _adapt_pipeline(pipeline, X, y, task):
    def refit(step, X):
        if hasattr(step, "adapt"):
            step = step.adapt(X, y, task=task)
        return step, _transform(step, X, task)

    before, X = walk(pipeline[:-1], X, refit)
    name, last = pipeline.steps[-1]
    last = name, adapt(last, X, y, task=task)
    return replaced(pipeline, steps=[*before.steps, last])


def held_out_scores(estimator, adapted, X, y=None, *, method="score_samples"):
    """Return how normal each row adapted to is for a detector that did not see it.

    Each fifth of the rows is scored by `estimator` adapted to the others. Rows labelled
    as outliers are scored by `adapted`, which saw them all. Detectors that know such
    scores tell them at once. `method` may be "decision_function".
    """
    if getattr(adapted, "_leaves_out_own", False) or isinstance(adapted, PyODDetector):
        scores, offsets = adapted._own_scores(X, y, None)
        return scores - offsets if method == "decision_function" else scores
    X, y, _ = unpack(X, y, None)
    if sparse.issparse(X):
        X = X.tocsr()
    scores = getattr(adapted, method)(X)
    with warnings.catch_warnings():  # adapting has given it
        warnings.simplefilter("ignore", LabelsIgnoredWarning)
        y = check_labels(None if y is None else np.ravel(y), n_rows=len(scores))
    y = np.ones(len(scores)) if y is None else y
    rows = np.flatnonzero(y != -1)
    n_folds = min(5, len(rows))
    if n_folds < 2:
        return scores
    # Dealt out at random, since tables are often sorted.
    fold = np.full(len(scores), -1)
    fold[rows] = np.random.default_rng(0).permutation(len(rows)) % n_folds
    for f in range(n_folds):
        seen = fold != f
        labels = y[seen] if (y == -1).any() else None
        one = adapt(estimator, safe_indexing(X, seen), labels)
        scores[~seen] = getattr(one, method)(safe_indexing(X, ~seen))
    return scores


def _transform(step, X, task):
    if task is not None and hasattr(step, "adapt"):
        return step.transform(X, task=task)
    return step.transform(X)


def decide(estimator, X, task=None):
    """Return the decision function of an adapted estimator, task by task.

    Unlike `Pipeline.decision_function`, this hands `task` to the steps that know it
    without metadata routing.

    Parameters
    ----------
    estimator : object
        What `adapt` returned.
    X : array-like of shape (n_rows, n_features)
        Rows to judge.
    task : array-like of shape (n_rows,), default=None
        The task id of each row.

    Returns
    -------
    decision : ndarray of shape (n_rows,)
        Higher = more normal, negative = outlier.

    Examples
    --------
    >>> from skmetaad import MetaPrototypeDetector
    >>> from skmetaad.compose import decide
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=3, random_state=0)
    >>> det = MetaPrototypeDetector(n_iter=20, random_state=0).fit(fleet)
    >>> decide(det, fleet[0].X).shape
    (200,)
    """
    if not isinstance(estimator, Pipeline):
        return estimator.decision_function(X, task=task)
    _, X = walk(estimator[:-1], X, lambda step, X: (step, _transform(step, X, task)))
    return decide(estimator.steps[-1][1], X, task)


class FewShotDetector(MetaEstimatorMixin, OutlierMixin, BaseEstimator):
    """Detector whose `fit` adapts a meta-trained one.

    Puts a meta-detector into any loop that fits outlier detectors on one table, beside
    `IsolationForest` and others: what was meta-trained stays, `fit` takes the support.

    Parameters
    ----------
    estimator : object
        A fitted meta-detector, or what `skmetaad.adapt` takes, in a
        `sklearn.frozen.FrozenEstimator` so that `clone` keeps it fitted.

    Attributes
    ----------
    detector_ : object
        The adapted detector.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns that `estimator` was fitted on, when they had names.

    See Also
    --------
    to_pyod : The same for loops over PyOD's detectors.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skmetaad import FewShotDetector, MetaPrototypeDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=5, random_state=0)
    >>> meta = MetaPrototypeDetector(n_iter=20, random_state=0).fit(fleet[:4])
    >>> det = FewShotDetector(FrozenEstimator(meta))
    >>> det.fit(fleet[4].X[:10]).predict(fleet[4].X).shape
    (200,)
    """

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y=None):
        """Adapt to the support rows of one task.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Support rows.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.

        Returns
        -------
        self : object
            The fitted detector.

        Raises
        ------
        ValueError
            When `X` is a collection of several tasks.
        """
        tasks = as_collection(X)
        if tasks is not None and len(tasks) > 1:
            raise ValueError(
                f"X={tasks!r}: expected the support of one task, such as tasks[:1]."
            )
        self.detector_ = adapt(self.estimator, X, y)
        return self

    def score_samples(self, X):
        """Return how normal each row is.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows to judge.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Higher = more normal.
        """
        check_is_fitted(self)
        return self.detector_.score_samples(X)

    def decision_function(self, X):
        """Return how far each row is on the normal side of the threshold.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows to judge.

        Returns
        -------
        scores : ndarray of shape (n_rows,)
            Negative = outlier.
        """
        check_is_fitted(self)
        return self.detector_.decision_function(X)

    def predict(self, X):
        """Label each row as inlier or outlier.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows to judge.

        Returns
        -------
        labels : ndarray of shape (n_rows,)
            +1 for inliers, -1 for outliers.
        """
        check_is_fitted(self)
        return self.detector_.predict(X)

    def fit_predict(self, X, y=None):
        """Adapt to the rows of one task, and label them.

        A row is always like itself, so each is judged by the detector adapted to the
        other four fifths of the rows. This is not `fit` and `predict`, which flags few
        of the rows adapted to.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.

        Returns
        -------
        labels : ndarray of shape (n_rows,)
            +1 for inliers, -1 for outliers.
        """
        self.fit(X, y)
        parts = self.estimator, self.detector_, X, y
        decision = held_out_scores(*parts, method="decision_function")
        return np.where(decision < 0, -1, 1)

    @property
    def offset_(self):
        """The adapted detector's threshold."""
        check_is_fitted(self)
        detector = self.detector_
        while isinstance(detector, Pipeline):
            detector = detector.steps[-1][1]
        return detector.offset_

    @property
    def n_features_in_(self):
        """Number of columns of the adapted detector."""
        return self.detector_.n_features_in_

    @property
    def feature_names_in_(self):
        """Names of the columns of the adapted detector."""
        return self.detector_.feature_names_in_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self.estimator)
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags
