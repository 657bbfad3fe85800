"""Few-shot evaluation: adapt on a support of each task, judge its other rows."""

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import MetadataRequest

from skmetaad._rows import widened
from skmetaad.compose import adapt, decide
from skmetaad.episodes import draw_support_query
from skmetaad.labels import check_labels
from skmetaad.tasks import TaskCollection, as_collection

__all__ = ["FewShotScorer", "few_shot_scores"]


def _thresholded(score, **options):
    def metric(y_true, decision):
        return score(y_true == -1, decision < 0, **options)

    return metric


METRICS = {
    "roc_auc": lambda y, decision: roc_auc_score(y == -1, -decision),
    "average_precision": lambda y, d: average_precision_score(y == -1, -d),
    "accuracy": _thresholded(accuracy_score),
    "balanced_accuracy": _thresholded(balanced_accuracy_score),
    "precision": _thresholded(precision_score, zero_division=0.0),
    "recall": _thresholded(recall_score, zero_division=0.0),
    "f1": _thresholded(f1_score, zero_division=0.0),
}


def few_shot_scores(
    estimator,
    X,
    y=None,
    *,
    task=None,
    metric="roc_auc",
    n_support=10,
    n_outliers=0,
    contamination=0.0,
    n_repeats=1,
    random_state=0,
):
    """Score a fitted meta-detector on each task by few-shot episodes.

    From each task a support is drawn, all tasks are adapted in one call, and each
    task's other rows are judged.

    Parameters
    ----------
    estimator : object
        A fitted meta-detector, or anything `skmetaad.adapt` takes.
    X : array-like of shape (n_rows, n_features), or TaskCollection
        Rows of the tasks to evaluate on.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled (taken as inlier). A task without
        labelled outliers gets rows of other tasks as outliers, as many as it has
        inliers in its query; a single task gets synthetic departures: rows with
        features shuffled and uniform rows from twice the range.
    task : array-like of shape (n_rows,), default=None
        The task id of each row; None: all rows are one task.
    metric : str or callable, default="roc_auc"
        "roc_auc", "average_precision", and at the detector's own threshold "accuracy",
        "balanced_accuracy", "precision", "recall", "f1"; outliers are the positive
        class. A callable takes labels (-1, +1) and decision values and returns a
        number.
    n_support : int, default=10
        Support rows per task; at most half of the task's inliers are taken.
    n_outliers : int, default=0
        Labelled outliers put into the support; at most half of the task's.
    contamination : float, default=0.0
        Share of support rows that are outliers in truth, unlabelled.
    n_repeats : int, default=1
        Supports drawn per task; values are averaged.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws.

    Returns
    -------
    scores : dict
        The value of each task, by its id (0 when no task is given).

    Raises
    ------
    ValueError
        When the metric is unknown or a task has fewer than two inliers.

    Examples
    --------
    >>> from skmetaad import MetaPrototypeDetector, few_shot_scores
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=10, random_state=0)
    >>> det = MetaPrototypeDetector(n_iter=50, random_state=0).fit(fleet[:8])
    >>> scores = few_shot_scores(det, fleet[8:], n_support=5)
    >>> list(scores)
    ['machine-8', 'machine-9']
    """
    measure = _measure(metric)
    tasks = _as_tasks(X, y, task)
    if get_tags(estimator).input_tags.allow_nan:
        tasks = widened(tasks)
    named = _namer(X)
    seed = check_random_state(random_state).randint(2**31 - 1)
    values = {one.id: [] for one in tasks}
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        support, query = _episodes(tasks, n_support, n_outliers, contamination, rng=rng)
        Xs, ys, ids = _stacked(support)
        adapted = adapt(estimator, named(Xs), ys, task=ids)
        Xq, _, ids = _stacked(query)
        decision = decide(adapted, named(Xq), ids)
        start = 0
        for name, rows, labels in query:
            part = decision[start : start + len(rows)]
            values[name].append(float(measure(labels, part)))
            start += len(rows)
    return {name: float(np.mean(found)) for name, found in values.items()}


def _measure(metric):
    if callable(metric):
        return metric
    if metric not in METRICS:
        raise ValueError(
            f"metric={metric!r}: expected one of {sorted(METRICS)} or a callable."
        )
    return METRICS[metric]


def _as_tasks(X, y, task):
    tasks = as_collection(X)
    if tasks is not None:
        return tasks
    X = X.to_numpy() if hasattr(X, "to_numpy") else np.asarray(X)
    y = check_labels(y, n_rows=len(X))
    task = np.zeros(len(X), np.int64) if task is None else task
    return TaskCollection.from_arrays(X, y, task=task)


def _namer(X):
    """Return what gives rows back the column names that X has."""
    if hasattr(X, "iloc"):
        return lambda rows: type(X)(rows, columns=X.columns)
    return lambda rows: rows


def _episodes(tasks, n_support, n_outliers, contamination, *, rng):
    """Return lists of (id, rows, labels): supports and queries."""
    support, query, lacking = [], [], []
    for one in tasks:
        y = np.ones(len(one), np.int8) if one.y is None else np.where(one.y < 0, -1, 1)
        n_in, n_out = int((y == 1).sum()), int((y == -1).sum())
        if n_in < 2:
            raise ValueError(
                f"task {one.id!r} has {n_in} inlier: expected at least 2, one for the "
                "support and one for the query."
            )
        kept, rest = draw_support_query(
            y,
            min(n_support, n_in // 2),
            n_outliers=min(n_outliers, n_out // 2),
            contamination=contamination if n_out else 0.0,
            rng=rng,
        )
        known = y[kept].copy()
        known[: min(n_support, n_in // 2)] = 1
        support.append((one.id, one.X[kept], known))
        query.append((one.id, one.X[rest], y[rest]))
        lacking.append(n_out == 0)
    for i in np.flatnonzero(lacking):
        name, rows, labels = query[i]
        others = [q[1][q[2] == 1] for j, q in enumerate(query) if j != i]
        if others:
            pool = np.concatenate(others)
            made = pool[rng.choice(len(pool), min(len(rows), len(pool)), replace=False)]
        else:
            made = _departures(rows, rng)
        labels = np.r_[labels, -np.ones(len(made), np.int8)]
        query[i] = (name, np.concatenate([rows, made]), labels)
    return support, query


def _departures(rows, rng):
    shuffled = rng.permuted(rows, axis=0)
    low, high = rows.min(axis=0), rows.max(axis=0)
    half = (high - low) / 2
    uniform = rng.uniform(low - half, high + half, rows.shape)
    return np.where(rng.random((len(rows), 1)) < 0.5, shuffled, uniform)


def _stacked(parts):
    """Return X, y (None without an outlier) and task of (id, rows, labels)."""
    X = np.concatenate([rows for _, rows, _ in parts])
    y = np.concatenate([labels for *_, labels in parts])
    task = np.repeat(np.arange(len(parts)), [len(rows) for _, rows, _ in parts])
    return X, (y if (y == -1).any() else None), task


class FewShotScorer:
    """Scorer for model selection over tasks.

    For each held-out task it draws a support, adapts, judges the other rows, and
    returns the mean over tasks. Higher is better for every metric.

    Parameters
    ----------
    metric : str or callable, default="roc_auc"
        As in `few_shot_scores`.
    n_support : int, default=10
        Support rows per task; at most half of the task's inliers are taken.
    n_outliers : int, default=0
        Labelled outliers put into the support.
    contamination : float, default=0.0
        Share of support rows that are outliers in truth, unlabelled.
    n_repeats : int, default=1
        Supports drawn per task.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws; an int makes candidates comparable.

    See Also
    --------
    few_shot_scores : The same, as a function.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV, KFold
    >>> from skmetaad import FewShotScorer, MetaPrototypeDetector
    >>> from skmetaad.datasets import make_fleet
    >>> search = GridSearchCV(
    ...     MetaPrototypeDetector(n_iter=20, random_state=0),
    ...     {"learning_rate": [1e-3, 1e-2]},
    ...     scoring=FewShotScorer("average_precision", n_support=5),
    ...     cv=KFold(2),
    ... )
    >>> search = search.fit(make_fleet(n_tasks=6, random_state=0))
    >>> sorted(search.best_params_)
    ['learning_rate']
    """

    def __init__(
        self,
        metric="roc_auc",
        *,
        n_support=10,
        n_outliers=0,
        contamination=0.0,
        n_repeats=1,
        random_state=0,
    ):
        _measure(metric)
        self.metric = metric
        self.n_support = n_support
        self.n_outliers = n_outliers
        self.contamination = contamination
        self.n_repeats = n_repeats
        self.random_state = random_state

    def __call__(self, estimator, X, y=None, *, task=None):
        """Return the mean over tasks.

        Parameters
        ----------
        estimator : object
            A fitted meta-detector, or anything `skmetaad.adapt` takes.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        score : float
            The mean over tasks.
        """
        return float(np.mean(list(self.per_task(estimator, X, y, task=task).values())))

    def per_task(self, estimator, X, y=None, *, task=None):
        """Return the value of each task.

        Parameters
        ----------
        estimator : object
            A fitted meta-detector, or anything `skmetaad.adapt` takes.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        scores : dict
            Values by task id.
        """
        return few_shot_scores(estimator, X, y, task=task, **vars(self))

    def get_metadata_routing(self):
        """Return the request for `task`, for scikit-learn's metadata routing.

        Returns
        -------
        request : MetadataRequest
            Asks for `task` in `score`.
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="task", alias=True)
        return request

    def __repr__(self):
        given = ", ".join(f"{k}={v!r}" for k, v in vars(self).items())
        return f"FewShotScorer({given})"
