"""Scores of rows that a detector was not adapted on: the ground of its thresholds."""

import numpy as np
from sklearn.utils import gen_batches

from skmetaad._rows import padded
from skmetaad.episodes import EpisodeSampler
from skmetaad.thresholds import SHOTS


def held_out_scores(detector, X, y, mask):
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
    step = max(1, detector._max_cells // (n_rows * n_features))
    columns = [np.flatnonzero(fold == f) for f in range(n_folds)]
    width = max(map(len, columns))
    columns = np.array([np.resize(c, width) for c in columns])
    for chunk in gen_batches(len(task), step):
        t, f = task[chunk], part[chunk]
        keep = left[t, f]
        state = detector._adapt(X[t] * keep[..., None], y[t] * keep, keep)
        rows = columns[f]
        score = detector._score(state, X[t[:, None], rows])
        counted = held[t, f][np.arange(len(t))[:, None], rows]
        score = np.where(counted, score, np.nan)
        scores[t[:, None], rows] = score
    return scores


def offsets_by_shots(detector, rows, rng):
    """Return shots and the offset that the tasks of `fit` need at each of them."""
    sizes = np.bincount(rows.code if rows.y is None else rows.code[rows.y != -1])
    shots = [k for k in SHOTS if k < np.median(sizes)] or [1]
    offsets = []
    for n_support in shots:
        sampler = EpisodeSampler(rows.y, rows.code, n_support=n_support, n_query=64)
        drawn = sampler.draw(detector._n_prior_tasks, rng)
        state = detector._adapt(*padded(rows, drawn.support))
        score = detector._score(state, rows.X[drawn.query].astype(np.float64))
        offsets.append(np.quantile(score[drawn.query_y == 1], detector.contamination))
    return np.array(shots, dtype=np.float64), np.array(offsets)
