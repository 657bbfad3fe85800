"""Scores of rows that a detector was not adapted on: the ground of its thresholds."""

from functools import partial

import numpy as np
from sklearn.utils import gen_batches

from skmetaad._rows import padded
from skmetaad.episodes import EpisodeSampler
from skmetaad.thresholds import (
    LABELLED_SHOTS,
    N_LABELLED,
    balanced_offsets,
    fleet_offsets,
    own_quantile,
)

# Query rows of an episode that thresholds are learned on, half of them outliers.
N_QUERY = 64


def two_fold_scores(detector, X, y, mask):
    """Score each half of a support by its task adapted to the other half.

    Support X (T, K, d), y (T, K), mask (T, K). Halves are drawn at random: rows may
    come sorted, and their neighbours would score too well. Returns scores (T, K), NaN
    where a row is labelled an outlier or absent, or where a task has a single inlier.
    Labelled outliers are in both halves.
    """
    inlier = mask & (y != -1)
    scores = np.full(inlier.shape, np.nan)
    several = np.flatnonzero(inlier.sum(axis=1) > 1)
    if not len(several):
        return scores
    inlier = inlier[several]
    # The first numbers are the same for any K, so that padding changes no half.
    order = np.argsort(np.random.default_rng(0).random(inlier.shape[1]))
    place = np.cumsum(inlier[:, order], axis=1)[:, np.argsort(order)]
    half = place % 2 == np.arange(2)[:, None, None]
    held, kept = inlier & half, (mask[several] & ~inlier) | (inlier & ~half)
    task = np.tile(several, 2)[:, None]
    rows, kept = _packed(kept.reshape(len(task), -1))
    state = detector._adapt(X[task, rows] * kept[..., None], y[task, rows] * kept, kept)
    rows, held = _packed(held.reshape(len(task), -1))
    found = detector._score(state, X[task, rows])
    scores[np.broadcast_to(task, rows.shape)[held], rows[held]] = found[held]
    return scores


def _packed(chosen):
    """Return columns (T, n) with the chosen ones of each row first, and which are."""
    n = chosen.sum(axis=1)
    columns = np.argsort(~chosen, axis=1, kind="stable")[:, : n.max()]
    return columns, np.arange(columns.shape[1]) < n[:, None]


def learned_offsets(judges, rows, rng, *, balanced=False):
    """Return how offsets follow from own quantiles, by shots.

    Learned by `judges`, pairs of a detector and of the task codes of the rows that it
    judges (None: all). From fresh inliers alone, or if `balanced` from outliers too.
    The fresh ones come later than those adapted on where detectors are `chronological`.
    "labelled" has the same for supports that hold outliers labelled as such, where the
    rows do.
    """
    every = np.arange(rows.n_tasks)
    judges = [(judge, every if own is None else own) for judge, own in judges]
    learn = partial(_offsets_by_shots, rows, rng, balanced=balanced)
    detector = judges[0][0]
    found = {
        "contamination": detector.contamination,
        **learn(judges, detector._prior_shots),
    }
    if rows.y is not None:
        n_outliers, n_others = (
            np.bincount(rows.code[kind], minlength=rows.n_tasks)
            for kind in (rows.y == -1, rows.y != -1)
        )
        judged = np.zeros(rows.n_tasks, bool)
        judged[np.concatenate([own for _, own in judges])] = True
        usable = judged & (n_outliers > 0) & (n_others > 1)
        most = n_outliers[usable].max(initial=0)
        if most:
            found["labelled"] = [
                learn(
                    _judging(judges, usable & (n_outliers >= min(n, most))),
                    LABELLED_SHOTS,
                    n_outliers=n,
                )
                for n in N_LABELLED
            ]
    return found


def _judging(judges, usable):
    """Return the judges that have usable tasks, and these."""
    judges = [(judge, own[usable[own]]) for judge, own in judges]
    return [(judge, own) for judge, own in judges if len(own)]


def _offsets_by_shots(rows, rng, judges, all_shots, *, balanced, n_outliers=0):
    detector = judges[0][0]
    few, many = detector._n_prior_episodes
    n_episodes = np.clip(sum(len(own) for _, own in judges), few, many)
    if balanced:  # how outliers are drawn is chance, too
        n_episodes = many
    sizes = np.bincount(rows.code if rows.y is None else rows.code[rows.y != -1])
    in_order = getattr(detector, "chronological", False)
    if in_order:  # the first half is there to adapt on
        sizes = sizes // 2
    shots = [k for k in all_shots if k < np.median(sizes)] or [1]
    found = []
    for n_support in shots:
        sampler = EpisodeSampler(
            rows.y,
            rows.code,
            n_support=n_support,
            n_support_outliers=n_outliers,
            n_query=N_QUERY if balanced else N_QUERY // 2,
            # Without outliers in the query, all labelled ones are the support's.
            negatives="auto" if balanced else "synthetic",
            chronological=in_order,
        )
        if balanced and sampler.negatives_ == "synthetic":
            raise ValueError(
                "balanced=True with one task and no labelled outliers: expected rows "
                "labelled -1, or several tasks, whose rows are each other's outliers."
            )
        own, scores, n_inliers = _drawn_and_judged(
            judges, rows, rng, sampler, n_episodes
        )
        if balanced:
            parts = np.split(scores, [n_inliers], axis=1)
            offsets = balanced_offsets(own, *parts)
        else:
            offsets = fleet_offsets(own, scores, detector.contamination)
        found.append((n_support, *offsets))
    names = ("shots", "level", "center", "slope", "spread")
    return dict(zip(names, np.array(found, dtype=np.float64).T, strict=True))


def _drawn_and_judged(judges, rows, rng, sampler, n_episodes):
    """Return own quantiles and scores of queries, and how many of these are inliers.

    The first ones are.
    """
    judged = []
    for judge, tasks in judges:
        drawn = sampler.draw(-(-n_episodes // len(judges)), rng, tasks=tasks)
        n_inliers = (drawn.query_y[0] == 1).sum()
        judged.append(_judged(judge, rows, drawn))
    own, scores = map(np.concatenate, zip(*judged, strict=True))
    # Inner loops may leave the finite numbers on tasks they were not trained on.
    finite = np.isfinite(scores).all(axis=1)
    if not finite.any():
        raise ValueError(
            f"{type(judges[0][0]).__name__} has no finite scores for any of the tasks "
            "drawn to learn thresholds on: expected rows nearer to those that networks "
            "were trained on, or smaller inner rates."
        )
    return own[finite], scores[finite], n_inliers


def _judged(detector, rows, drawn):
    """Return own quantiles (T,) of episodes' supports, and scores of query rows."""
    query = drawn.query
    widest = max(drawn.support.shape[1], query.shape[1])
    size = max(1, detector._step(rows.X) // widest)
    own, scores = [], []
    for part in gen_batches(len(query), size):
        X, y, mask = padded(rows, drawn.support[part])
        state = detector._adapt(X, y, mask)
        held_out = detector._held_out(X, y, mask, state)
        own.append(own_quantile(held_out, detector.contamination))
        queried = rows.X[query[part]].astype(np.float64)
        scores.append(detector._score(state, queried))
    return np.concatenate(own), np.concatenate(scores)
