"""Means over tasks, bootstrap intervals, and wins against k-NN."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from skmetaad._compare._baselines import KNN
from skmetaad.inspection._drawn import bootstrap_interval

METRICS = {"auroc": "AUROC", "average_precision": "AP"}


@dataclass(frozen=True)
class Summary:
    """One method at one K in one metric, over tasks."""

    mean: float
    low: float
    high: float
    n_tasks: int
    wins: int
    ties: int
    losses: int
    rank: float


def per_task(records, metric):
    """Return {(method, K): {(fold, task): mean over seeds}}."""
    values = {}
    for r in records:
        tasks = values.setdefault((r.method, r.shots), {})
        tasks.setdefault((r.fold, r.task), []).append(getattr(r, metric))
    return {
        key: {task: float(np.mean(v)) for task, v in tasks.items()}
        for key, tasks in values.items()
    }


def summarize(records, metric, seed=0):
    """Return {(method, K): Summary}."""
    values = per_task(records, metric)
    ranks = {}
    for shots in {k for _, k in values}:
        ranks |= mean_ranks({key: v for key, v in values.items() if key[1] == shots})
    return {
        (method, k): _summary(tasks, values.get((KNN, k), {}), ranks[method, k], seed)
        for (method, k), tasks in values.items()
    }


def mean_ranks(values):
    """Return {key: mean rank over tasks}, 1 = best; NaN where a task is missing.

    values: {key: {task: metric}}. Ties share their mean rank.
    """
    everywhere = set().union(*values.values())
    full = [key for key, tasks in values.items() if len(tasks) == len(everywhere)]
    ranks = dict.fromkeys(values, np.nan)
    if full:
        scores = np.array([[values[key][t] for t in everywhere] for key in full])
        means = rankdata(-scores.round(9), axis=0).mean(axis=1)
        ranks |= dict(zip(full, means.tolist(), strict=True))
    return ranks


def _summary(tasks, knn, rank, seed):
    x = np.array(list(tasks.values()))
    low, high = interval(x, seed)
    common = [task for task in tasks if task in knn]
    gain = np.array([tasks[task] - knn[task] for task in common])
    tie = np.abs(gain) < 1e-9
    return Summary(
        mean=float(x.mean()),
        low=low,
        high=high,
        n_tasks=len(x),
        wins=int(((gain > 0) & ~tie).sum()),
        ties=int(tie.sum()),
        losses=int(((gain < 0) & ~tie).sum()),
        rank=rank,
    )


def interval(x, seed):
    """Return the 95 % percentile bootstrap interval of the mean over tasks."""
    if len(x) < 2:
        return np.nan, np.nan
    low, high = bootstrap_interval(x, seed)
    return float(low), float(high)
