"""Offsets: where the line between inliers and outliers is drawn."""

import numpy as np

__all__ = ["shrunk_offset"]

# Shots at which a fleet's typical offset is measured.
SHOTS = (1, 2, 5, 10, 20, 50)


def shrunk_offset(scores, prior, contamination, *, prior_weight=10.0):
    r"""Return one offset per task from held-out support scores and a prior.

    With :math:`n` held-out scores, their `contamination` quantile :math:`q` and the
    fleet's typical offset :math:`p`, the offset is :math:`(n q + w p) / (n + w)`.

    Parameters
    ----------
    scores : array-like of shape (n_tasks, n_rows)
        Held-out scores of support rows, higher = more normal. NaN: no score.
    prior : array-like of shape (n_tasks,)
        The offset that held for other tasks with as many support rows.
    contamination : float
        The share of rows that shall fall below the offset, in [0, 1].
    prior_weight : float, default=10.0
        The weight :math:`w` of the prior, in rows.

    Returns
    -------
    offset : ndarray of shape (n_tasks,)
        The offsets; `prior` itself where a task has no held-out score.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.thresholds import shrunk_offset
    >>> shrunk_offset([[-1.0, -3.0], [np.nan, np.nan]], [-4.0, -4.0], 0.5,
    ...               prior_weight=2.0)
    array([-3., -4.])
    """
    scores = np.asarray(scores, dtype=np.float64)
    prior = np.asarray(prior, dtype=np.float64)
    n = np.isfinite(scores).sum(axis=1)
    offset = prior.copy()
    for size in np.unique(n[n > 0]):
        same = n == size
        # NaNs sort last, so the first `size` columns hold the scores.
        own = np.sort(scores[same], axis=1)[:, :size]
        own = np.quantile(own, contamination, axis=1)
        offset[same] = (size * own + prior_weight * prior[same]) / (size + prior_weight)
    return offset


def prior_at(n_support, shots, offsets):
    """Interpolate the fleet's offset linearly in the logarithm of the support size."""
    return np.interp(np.log(np.maximum(n_support, 1)), np.log(shots), offsets)
