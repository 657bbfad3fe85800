"""Runs every (fold, method, seed) and collects one record per task and K."""

import time
import warnings
from dataclasses import dataclass

import joblib
import numpy as np
from threadpoolctl import threadpool_limits

from skmetaad._compare._baselines import (
    PYOD_CONTAMINATION,
    SCALED,
    TOO_FEW,
    column_scale,
    pyod_scores,
)
from skmetaad._compare._series import SERIES
from skmetaad._compare._summary import FLAGGING
from skmetaad.metrics import METRICS

RANKING = ("roc_auc", "average_precision")
NO_SERIES = "needs series: tasks with a train part, rows in time order"
# Failures that come again. Others, such as of memory, are tried again.
CERTAIN = {NO_SERIES, *(reason for _, reason in TOO_FEW.values())}


@dataclass(frozen=True)
class Record:
    """One method on one task.

    Accuracies, precision, recall and F1 are those at the method's own threshold,
    outliers positive. `false_alarm_rate` is the share of the query's inliers that it
    flags there, `contamination` the share it aims at. All are NaN without a threshold.
    """

    collection: str
    fold: str
    task: str
    method: str
    shots: int
    seed: int
    auroc: float
    average_precision: float
    accuracy: float
    balanced_accuracy: float
    precision: float
    recall: float
    f1: float
    false_alarm_rate: float
    contamination: float
    fit_seconds: float
    adapt_seconds: float
    score_seconds: float


@dataclass(frozen=True)
class Failure:
    """A method that could not run at a K: on one task, or on all (task None)."""

    method: str
    shots: int
    reason: str
    task: str | None = None


def run(collection, methods, shots, seeds, *, max_query, n_jobs, on_done, cache=None):
    """Return the records and failures of all cells, in a fixed order.

    Cells that `cache` has are not run; those that are run are stored in it, unless they
    failed for a reason that may pass.
    """
    cells = [
        (fold, method, seed)
        for method in methods
        for fold in collection.folds
        for seed in seeds
    ]
    done = [None] * len(cells)
    if cache is not None:
        paths = [cache.path(*cell) for cell in cells]
        done = [cache.get(path, Record, Failure) for path in paths]
    left = [i for i, found in enumerate(done) if found is None]

    def note(i, seconds):
        fold, method, seed = cells[i]
        on_done(f"{method.name}, fold {fold.name}, seed {seed}", seconds)

    for i in np.setdiff1d(np.arange(len(cells)), left):
        note(i, 0.0)
    n_workers = max(1, min(joblib.effective_n_jobs(n_jobs), len(left)))
    tasks = (
        joblib.delayed(_cell)(i, collection.name, *cells[i], shots, max_query)
        for i in left
    )
    # Workers inherit one thread for their libraries; this process is limited only
    # inside the block, when it runs the cells itself.
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_workers, return_as="generator_unordered")
        with threadpool_limits(1):
            for i, records, failures, seconds in parallel(tasks):
                done[i] = records, failures
                if cache is not None and all(f.reason in CERTAIN for f in failures):
                    cache.put(paths[i], records, failures)
                note(i, seconds)
    records = [record for part, _ in done for record in part]
    return records, [failure for _, part in done for failure in part]


def _cell(i, collection, fold, method, seed, shots, max_query):
    start = time.perf_counter()
    run_method = _run_pyod
    if method.cls:
        run_method = _run_ours
    elif method.name in SERIES:
        run_method = _run_series
    with threadpool_limits(1), warnings.catch_warnings():
        # Collections without a labelled outlier are legal here, and so is a
        # detector that has not converged.
        warnings.simplefilter("ignore")
        rows, failures = run_method(fold, method, seed, shots, max_query)
    records = [
        Record(collection, fold.name, task, method.name, k, seed, *values)
        for task, k, *values in rows
    ]
    return i, records, failures, time.perf_counter() - start


def _metrics(y, abnormal, threshold=np.nan, contamination=np.nan):
    """Return the values of a record from `auroc` to `contamination`."""
    if not np.isfinite(abnormal).all():
        raise ValueError("scores hold NaN or infinite values")
    # As `predict` flags: what is above the threshold, however little.
    decision = np.where(abnormal > threshold, -1.0, 1.0)
    flagged = [float(METRICS[name](y, decision)) for name in FLAGGING]
    flagged.append(float(np.mean(decision[y == 1] < 0)))
    if np.isnan(threshold):
        flagged = [np.nan] * len(flagged)
    ranked = [float(METRICS[name](y, -abnormal)) for name in RANKING]
    return *ranked, *flagged, contamination


def _run_ours(fold, method, seed, shots, max_query):
    start = time.perf_counter()
    try:
        detector = method.made(seed, fold.in_order).fit(fold.train)
    except Exception as error:
        return [], [Failure(method.name, k, f"fit failed: {error}") for k in shots]
    fit_seconds = time.perf_counter() - start
    rows, failures = [], []
    for k in shots:
        drawn = list(fold.drawn(k, seed, max_query))
        if not drawn:
            continue
        try:
            rows += _adapted(detector, fold.X, drawn, k, fit_seconds)
        except Exception as error:
            failures.append(Failure(method.name, k, str(error)))
    return rows, failures


def _adapted(detector, X, drawn, k, fit_seconds):
    """Adapt to all tasks in one call, and score all queries in another."""
    ids = np.array([task.id for task, *_ in drawn])
    support = np.concatenate([support for _, support, _, _ in drawn])
    n_support = [len(support) for _, support, _, _ in drawn]
    labels = np.concatenate([np.repeat([1, -1], [k, n - k]) for n in n_support])
    labels = labels if (labels == -1).any() else None
    query = np.concatenate([query for _, _, query, _ in drawn])
    sizes = [len(query) for _, _, query, _ in drawn]
    start = time.perf_counter()
    adapted = detector.adapt(X[support], labels, task=np.repeat(ids, n_support))
    middle = time.perf_counter()
    normal = adapted.score_samples(X[query], task=np.repeat(ids, sizes))
    end = time.perf_counter()
    share = (middle - start) / len(ids), (end - middle) / len(ids)
    scores = np.split(normal, np.cumsum(sizes)[:-1])
    offsets = dict(zip(adapted.task_ids_, adapted.task_offsets_, strict=True))
    contamination = adapted.contamination
    return [
        (
            *(task.id, k),
            *_metrics(y, -score, -offsets[task.id], contamination),
            *(fit_seconds, *share),
        )
        for (task, _, _, y), score in zip(drawn, scores, strict=True)
    ]


def _run_pyod(fold, method, seed, shots, max_query):
    X, name = fold.X, method.name
    start = time.perf_counter()
    if name == SCALED:
        mean, std = column_scale(fold.train)
        X = (X - mean) / std
    fit_seconds = time.perf_counter() - start
    rows, failures = [], []
    least, reason = TOO_FEW.get(name, (1, ""))
    for k in shots:
        if k < least:
            failures.append(Failure(method.name, k, reason))
            continue
        for task, support, query, y in fold.drawn(k, seed, max_query):
            try:
                rows_in = X[support[:k]]
                scores, line, *seconds = pyod_scores(name, rows_in, X[query], seed)
                values = _metrics(y, scores, line, PYOD_CONTAMINATION)
            except Exception as error:
                failures.append(Failure(method.name, k, str(error), task.id))
                continue
            rows.append((task.id, k, *values, fit_seconds, *seconds))
    return rows, failures


def _run_series(fold, method, seed, shots, max_query):
    if not fold.in_order:
        return [], [Failure(method.name, k, NO_SERIES) for k in shots]
    rows, score_of = [], SERIES[method.name]
    for k in shots:
        for task, _, query, y in fold.drawn(k, seed, max_query):
            start = time.perf_counter()
            first, last = task.test_part
            scores = score_of(fold.X[first : last + 1])[query - first]
            seconds = time.perf_counter() - start
            rows.append((task.id, k, *_metrics(y, scores), 0.0, 0.0, seconds))
    return rows, []
