"""Means over tasks, their intervals, false alarms, and tests against k-NN."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.stats import rankdata

from skmetaad._compare._baselines import KNN
from skmetaad.inspection._significance import (
    DIGITS,
    bootstrap_interval,
    friedman_p,
    holm,
    signed_rank_p,
)

METRICS = {"auroc": "AUROC", "average_precision": "AP"}
FLAGGING = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
# Wilcoxon's test cannot reach 5 % on fewer: its least p value is 2 / 2^n.
MIN_TASKS = 6


@dataclass(frozen=True)
class Summary:
    """One method at one K in one metric, over tasks.

    `p` is that of Wilcoxon's signed-rank test against k-NN, `p_holm` the same after
    Holm's correction for all methods at this K; NaN on too few tasks.
    """

    mean: float
    low: float
    high: float
    n_tasks: int
    wins: int
    ties: int
    losses: int
    rank: float
    p: float = np.nan
    p_holm: float = np.nan

    @property
    def negative_transfer(self):
        """The share of tasks on which the method is worse than k-NN."""
        n_tasks = self.wins + self.ties + self.losses
        return self.losses / n_tasks if n_tasks else np.nan


@dataclass(frozen=True)
class Rate:
    """The false-alarm rate of one method at one K over tasks, and its target."""

    mean: float
    low: float
    high: float
    contamination: float


@dataclass(frozen=True)
class Results:
    """What was recorded, and what follows from it."""

    records: list

    @cached_property
    def summaries(self):
        """{metric: {(method, K): Summary}}."""
        return {metric: summarize(self.records, metric) for metric in METRICS}

    @cached_property
    def rates(self):
        """{(method, K): Rate}."""
        return false_alarms(self.records)

    @cached_property
    def flags(self):
        """{(method, K): {metric: mean over tasks}} at the methods' thresholds."""
        return flagging(self.records)


def per_task(records, metric):
    """Return {(method, K): {(fold, task): mean over seeds}}.

    A method that did not run with all seeds of a task that others ran with lacks it:
    means over other draws would be compared.
    """
    values, n_seeds = {}, Counter()
    for r in records:
        tasks = values.setdefault((r.method, r.shots), {})
        task = r.fold, r.task
        found = tasks.setdefault(task, [])
        found.append(getattr(r, metric))
        n_seeds[r.shots, task] = max(n_seeds[r.shots, task], len(found))
    means = {
        key: {
            task: float(np.mean(v))
            for task, v in tasks.items()
            if len(v) == n_seeds[key[1], task]
        }
        for key, tasks in values.items()
    }
    return {key: tasks for key, tasks in means.items() if tasks}


def summarize(records, metric):
    """Return {(method, K): Summary}."""
    values = per_task(records, metric)
    ranks, tests = {}, {}
    for shots in {k for _, k in values}:
        own = {key: tasks for key, tasks in values.items() if key[1] == shots}
        ranks |= mean_ranks(own)
        tests |= against_knn(own)
    return {
        key: _summary(tasks, values.get((KNN, key[1]), {}), ranks[key], *tests[key])
        for key, tasks in values.items()
    }


def mean_ranks(values):
    """Return {key: mean rank over tasks}, 1 = best; NaN where a task is missing.

    values: {key: {task: metric}}. Ties share their mean rank.
    """
    full, scores = on_all_tasks(values)
    ranks = dict.fromkeys(values, np.nan)
    if full:
        means = rankdata(-scores, axis=0).mean(axis=1)
        ranks |= dict(zip(full, means.tolist(), strict=True))
    return ranks


def against_knn(values):
    """Return {(method, K): (p, p after Holm's correction)} at one K.

    values: {(method, K): {task: metric}}. Each method is compared with k-NN on the
    tasks that both have; NaN on fewer than `MIN_TASKS`, and for k-NN itself.
    """
    found = {}
    for (method, k), tasks in values.items():
        gain = _gain(tasks, values.get((KNN, k), {}))
        if method != KNN and len(gain) >= MIN_TASKS:
            found[method, k] = signed_rank_p(gain)
    adjusted = dict(zip(found, holm(list(found.values())), strict=True))
    return {key: (found.get(key, np.nan), adjusted.get(key, np.nan)) for key in values}


def friedman(records, metric, shots):
    """Return Friedman's p value at one K, and the numbers of methods and of tasks.

    Methods that lack a task are left out; NaN where too little is left.
    """
    values = per_task((r for r in records if r.shots == shots), metric)
    full, scores = on_all_tasks(values)
    if not full:
        return np.nan, 0, 0
    return friedman_p(scores), *scores.shape


def false_alarms(records):
    """Return {(method, K): Rate} of the methods that have a threshold."""
    targets = {(r.method, r.shots): r.contamination for r in records}
    rates = {}
    for key, tasks in per_task(records, "false_alarm_rate").items():
        x = np.array(list(tasks.values()))
        if np.isfinite(x).all():
            rates[key] = Rate(float(x.mean()), *interval(x), targets[key])
    return rates


def flagging(records):
    """Return {(method, K): {metric: mean over tasks}} at the methods' own thresholds.

    Methods without a threshold are left out.
    """
    found = {}
    for metric in FLAGGING:
        for key, tasks in per_task(records, metric).items():
            mean = float(np.mean(list(tasks.values())))
            if np.isfinite(mean):
                found.setdefault(key, {})[metric] = mean
    return found


def costs(records):
    """Return {method: (seconds to train, to adapt to a task, to score it)}, means."""
    found = {}
    for method in dict.fromkeys(r.method for r in records):
        own = [r for r in records if r.method == method]
        fits = {(r.fold, r.seed): r.fit_seconds for r in own}
        found[method] = (
            float(np.mean(list(fits.values()))),
            float(np.mean([r.adapt_seconds for r in own])),
            float(np.mean([r.score_seconds for r in own])),
        )
    return found


def on_all_tasks(values):
    """Return the keys that have all tasks, and their values (n_keys, n_tasks)."""
    everywhere = sorted(set().union(*values.values()))
    full = [key for key, tasks in values.items() if len(tasks) == len(everywhere)]
    scores = np.array([[values[key][t] for t in everywhere] for key in full])
    return full, scores.round(DIGITS)


def _gain(tasks, knn):
    gain = [tasks[task] - knn[task] for task in tasks if task in knn]
    return np.round(gain, DIGITS)


def _summary(tasks, knn, rank, p, p_holm):
    x = np.array(list(tasks.values()))
    low, high = interval(x)
    gain = _gain(tasks, knn)
    return Summary(
        mean=float(x.mean()),
        low=low,
        high=high,
        n_tasks=len(x),
        wins=int((gain > 0).sum()),
        ties=int((gain == 0).sum()),
        losses=int((gain < 0).sum()),
        rank=rank,
        p=p,
        p_holm=p_holm,
    )


def interval(x):
    """Return the 95 % percentile bootstrap interval of the mean over tasks."""
    if len(x) < 2:
        return np.nan, np.nan
    low, high = bootstrap_interval(x)
    return float(low), float(high)
