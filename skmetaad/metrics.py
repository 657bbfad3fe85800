"""Few-shot evaluation: adapt on a support of each task, judge its other rows."""

from numbers import Real

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    precision_score,
    recall_score,
)
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metadata_routing import MetadataRequest

from skmetaad._as_given import by_task
from skmetaad._checks import check_count, check_draws
from skmetaad._compat import safe_indexing
from skmetaad._query_outliers import with_outliers
from skmetaad._rows import unpack
from skmetaad.compose import adapt, decide
from skmetaad.episodes import draw_support_query, half_time
from skmetaad.labels import check_labels
from skmetaad.tasks import as_collection

__all__ = ["FewShotScorer", "few_shot_scores"]


def _thresholded(score, **options):
    def metric(y_true, decision):
        return score(y_true == -1, decision < 0, **options)

    return metric


def _roc_auc(y, decision):
    """Return the AUROC from ranks, much sooner than with scikit-learn's checks."""
    if np.isnan(decision).any():
        raise ValueError("decision values hold NaN: expected numbers.")
    rank = rankdata(decision)[y == -1]
    n_pairs = len(rank) * (len(y) - len(rank))
    return 1 - (rank.sum() - len(rank) * (len(rank) + 1) / 2) / n_pairs


METRICS = {
    "roc_auc": _roc_auc,
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
    chronological=False,
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
    X : array-like or frame of shape (n_rows, n_features), or TaskCollection
        Rows of the tasks to evaluate on. A frame keeps its type and dtypes, so that a
        pipeline may begin with what encodes text or fills in missing values.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled (taken as inlier). A task without
        labelled outliers gets rows of other tasks as outliers, as many as it has
        inliers in its query; a single task gets synthetic departures: rows with
        features shuffled and, where all are numbers, uniform rows from twice the range.
        A collection brings its own labels.
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
        Share of support rows that are outliers in truth, unlabelled, in [0, 1); at
        least one of the task's labelled outliers stays in the query.
    chronological : bool or "consecutive", default=False
        Whether each task's rows are in time order: then the support is drawn from those
        before half of its inliers have come, and only later ones are judged.
        "consecutive": the support's rows follow each other, too, as the first ones of a
        new task do.
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
        When the metric is unknown, a number is out of range, there are no rows, a task
        has fewer than two inliers, or `y` or `task` is given beside a collection.
    TypeError
        When a count is not an int, or the metric does not return a number.

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
    asked = n_support, n_outliers, contamination, chronological
    check_draws(*asked)
    check_count("n_repeats", n_repeats)
    X, y, ids, members = _by_task(estimator, X, y, task)
    seed = check_random_state(random_state).randint(2**31 - 1)
    found = np.empty((n_repeats, len(ids)))
    for repeat in range(n_repeats):
        rng = np.random.default_rng([seed, repeat])
        draws = [
            _draw(name, rows, y[rows], *asked, rng)
            for name, rows in zip(ids, members, strict=True)
        ]
        support, query, known = zip(*draws, strict=True)
        known = np.concatenate(known)
        adapted = adapt(
            estimator,
            safe_indexing(X, np.concatenate(support)),
            known if (known == -1).any() else None,
            task=_codes(support),
        )
        rows, labels = with_outliers(X, y, query, rng)
        decision = decide(adapted, rows, _codes(labels))
        parts = np.split(decision, np.cumsum([len(own) for own in labels])[:-1])
        for i, (own, part) in enumerate(zip(labels, parts, strict=True)):
            value = measure(own, part)
            if not isinstance(value, Real):
                raise TypeError(
                    f"metric={metric!r} returned {value!r}: expected a number."
                )
            found[repeat, i] = value
    return dict(zip(ids, found.mean(axis=0).tolist(), strict=True))


def _measure(metric):
    if callable(metric):
        return metric
    if not isinstance(metric, str) or metric not in METRICS:
        raise ValueError(
            f"metric={metric!r}: expected one of {sorted(METRICS)} or a callable."
        )
    return METRICS[metric]


def _by_task(estimator, X, y, task):
    """Return rows, labels of -1 and +1, task ids and the row numbers of each task."""
    tasks = as_collection(X)
    if tasks is not None:
        if not len(tasks):
            raise ValueError("X is an empty collection: expected at least one task.")
        width = int(get_tags(estimator).input_tags.allow_nan)
        X, y, _ = unpack(tasks, y, task, width)
        ends = np.cumsum([len(one) for one in tasks])
        ids, members = tasks.ids, np.split(np.arange(len(X)), ends[:-1])
    else:
        X, ids, members = by_task(X, task)
        y = check_labels(y, n_rows=X.shape[0])
    y = np.ones(X.shape[0], np.int8) if y is None else np.where(y < 0, -1, 1)
    return X, y.astype(np.int8), ids, members


def most_support(estimator, X, y, task):
    """Return how many support rows the smallest task gives, and its id."""
    _, y, ids, members = _by_task(estimator, X, y, task)
    sizes = [int((y[rows] == 1).sum()) // 2 for rows in members]
    least = int(np.argmin(sizes))
    return sizes[least], ids[least]


def _draw(name, rows, y, n_support, n_outliers, contamination, chronological, rng):
    """Return the support and query rows of a task, and the labels that it is told."""
    n_in, n_out = int((y == 1).sum()), int((y == -1).sum())
    if n_in < 2:
        raise ValueError(
            f"task {name!r} has {n_in} inlier{'' if n_in == 1 else 's'}: expected at "
            "least 2, one for the support and one for the query."
        )
    n_support = min(n_support, n_in // 2)
    labelled, most = n_out // 2, n_out - 1
    if chronological:
        labelled = most = int((y[: half_time(y)] == -1).sum())
    n_outliers = min(n_outliers, labelled)
    n_hidden = min(round(contamination * n_support), max(most - n_outliers, 0))
    kept, rest = draw_support_query(
        y,
        n_support,
        n_outliers=n_outliers,
        contamination=min(contamination, n_hidden / n_support),
        chronological=chronological,
        rng=rng,
    )
    known = y[kept].copy()
    known[:n_support] = 1
    return rows[kept], rows[rest], known


def _codes(parts):
    return np.repeat(np.arange(len(parts)), [len(part) for part in parts])


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
        As in `few_shot_scores`.
    chronological : bool or "consecutive", default=False
        As in `few_shot_scores`.
    n_repeats : int, default=1
        Supports drawn per task.
    random_state : int, RandomState instance or None, default=0
        Seed of the draws; an int makes candidates comparable.

    See Also
    --------
    few_shot_scores : The same, as a function.

    Notes
    -----
    scikit-learn hands `task` to a scorer only if metadata routing is enabled
    (`sklearn.set_config(enable_metadata_routing=True)`). Without it all rows of a
    held-out fold are taken as one task: use `LeaveOneTaskOut`, or a `TaskCollection`
    with any splitter of scikit-learn.

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

    _request = True

    def __init__(
        self,
        metric="roc_auc",
        *,
        n_support=10,
        n_outliers=0,
        contamination=0.0,
        chronological=False,
        n_repeats=1,
        random_state=0,
    ):
        _measure(metric)
        check_draws(n_support, n_outliers, contamination, chronological)
        check_count("n_repeats", n_repeats)
        self.metric = metric
        self.n_support = n_support
        self.n_outliers = n_outliers
        self.contamination = contamination
        self.chronological = chronological
        self.n_repeats = n_repeats
        self.random_state = random_state

    def __call__(self, estimator, X, y=None, *, task=None):
        """Return the mean over tasks.

        Parameters
        ----------
        estimator : object
            A fitted meta-detector, or anything `skmetaad.adapt` takes.
        X : array-like or frame of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; None: all rows are one task.

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
        X : array-like or frame of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; None: all rows are one task.

        Returns
        -------
        scores : dict
            Values by task id.
        """
        return few_shot_scores(estimator, X, y, task=task, **self._given())

    def set_score_request(self, *, task=True):
        """Say whether, and under which name, metadata routing hands over task ids.

        Parameters
        ----------
        task : bool, str or None, default=True
            True: `task`; a str: the metadata of that name; False: none; None: refused.

        Returns
        -------
        self : FewShotScorer
            This scorer.
        """
        self._request = task
        return self

    def get_metadata_routing(self):
        """Return the request for `task`, for scikit-learn's metadata routing.

        Returns
        -------
        request : MetadataRequest
            Asks for `task` in `score`.
        """
        request = MetadataRequest(owner=self)
        request.score.add_request(param="task", alias=self._request)
        return request

    def _given(self):
        return {k: v for k, v in vars(self).items() if k != "_request"}

    def __repr__(self):
        given = ", ".join(f"{k}={v!r}" for k, v in self._given().items())
        return f"FewShotScorer({given})"
