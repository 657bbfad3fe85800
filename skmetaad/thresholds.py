"""Offsets: where the line between inliers and outliers is drawn."""

import numpy as np
from scipy.special import ndtr
from sklearn.linear_model import LogisticRegression

__all__ = ["balanced_offsets", "fleet_offsets", "own_quantile", "task_offsets"]

# Shots at which a fleet's offsets are learned.
SHOTS = (1, 2, 5, 10, 20, 50, 120, 256)
# The same for supports with labelled outliers, and how many these are.
LABELLED_SHOTS = (2, 10, 50, 256)
N_LABELLED = (1, 4)


def own_quantile(scores, contamination):
    """Return each task's quantile of its own held-out scores.

    Parameters
    ----------
    scores : array-like of shape (n_tasks, n_rows)
        Held-out scores of support rows, higher = more normal. NaN, or infinite: no
        score.
    contamination : float
        The share of rows below the quantile, in [0, 1].

    Returns
    -------
    quantile : ndarray of shape (n_tasks,)
        Interpolated linearly; NaN where a task has no score.

    Raises
    ------
    ValueError
        When `scores` has not two axes, or `contamination` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.thresholds import own_quantile
    >>> own_quantile([[3.0, 1.0, np.nan], [np.nan, np.nan, np.nan]], 0.5)
    array([ 2., nan])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(
            f"scores has shape {scores.shape}: expected (n_tasks, n_rows)."
        )
    _check_share(contamination)
    if not scores.shape[1]:
        return np.full(len(scores), np.nan)
    known = np.isfinite(scores)
    ordered = np.sort(np.where(known, scores, np.nan), axis=1)  # NaNs come last
    n = known.sum(axis=1)
    at = contamination * np.maximum(n - 1, 0)
    low = at.astype(np.int64)
    high = np.minimum(low + 1, np.maximum(n - 1, 0))
    each = np.arange(len(scores))
    below, above = ordered[each, low], ordered[each, high]
    return below + (at - low) * (above - below)


def fleet_offsets(own, scores, contamination):
    r"""Learn from a fleet how an offset follows from a task's own quantile.

    With :math:`q_t` the own quantile of task t, :math:`\bar q` their mean and
    :math:`o_t` the quantile of the task's fresh inliers, the slope :math:`\beta` is
    that of the regression of o on q, clipped to [0, 1]. The level is chosen such that
    the share `contamination` of all fresh inliers lies below
    :math:`level + \beta (q_t - \bar q)`.

    Parameters
    ----------
    own : array-like of shape (n_tasks,)
        Each task's own quantile of held-out support scores; NaN: none.
    scores : array-like of shape (n_tasks, n_rows)
        Scores of fresh inliers of the same tasks.
    contamination : float
        The share of rows that shall fall below the offset, in [0, 1].

    Returns
    -------
    level, center, slope, spread : float
        The offset of a task is `level + slope * (own - center)`; `spread` is the
        standard deviation of the own quantiles. Where no task has one, `center` is NaN.

    Raises
    ------
    ValueError
        When there are no scores, not as many tasks in both arrays, scores that are not
        finite, or `contamination` is out of range.

    Examples
    --------
    >>> from skmetaad.thresholds import fleet_offsets
    >>> found = fleet_offsets([0.0, 2.0], [[0, 1, 2], [2, 3, 4]], 0.5)
    >>> [float(value) for value in found]
    [2.0, 1.0, 1.0, 1.0]
    """
    own, scores = _of_tasks(own, scores=scores)
    _check_share(contamination)
    each = np.quantile(scores, contamination, axis=1)
    away, center, spread = _about_mean(own)
    slope = np.clip(away @ each / (away @ away), 0.0, 1.0) if spread > 0 else 0.0
    moved = scores - slope * away[:, None]
    return np.quantile(moved, contamination), center, slope, spread


def balanced_offsets(own, inlier_scores, outlier_scores):
    r"""Learn from a fleet with outliers the offsets of best balanced accuracy.

    As in `fleet_offsets`, an offset is :math:`level + \beta (q_t - \bar q)`. The slope
    is that of the line between inliers and outliers that a logistic regression on score
    and own quantile draws, clipped to [0, 1]. At the level, the mean of the share of
    inliers above it and of the share of outliers below it is largest, both smoothed by
    a Gaussian kernel of Silverman's bandwidth [1]_.

    Parameters
    ----------
    own : array-like of shape (n_tasks,)
        Each task's own quantile of held-out support scores; NaN: none.
    inlier_scores : array-like of shape (n_tasks, n_inliers)
        Scores of fresh inliers of the same tasks, higher = more normal.
    outlier_scores : array-like of shape (n_tasks, n_outliers)
        Scores of outliers of the same tasks.

    Returns
    -------
    level, center, slope, spread : float
        As `fleet_offsets` returns them.

    Raises
    ------
    ValueError
        When there are no scores, not as many tasks in all arrays, or scores that are
        not finite.

    References
    ----------
    .. [1] Silverman (1986). Density Estimation for Statistics and Data Analysis.
       Chapman and Hall. :doi:`10.1201/9781315140919`

    Examples
    --------
    >>> from skmetaad.thresholds import balanced_offsets
    >>> found = balanced_offsets([0.0, 2.0], [[4, 5], [6, 7]], [[0, 1], [2, 3]])
    >>> [round(float(value), 1) for value in found]
    [3.5, 1.0, 0.6, 1.0]
    """
    own, *scores = _of_tasks(
        own, inlier_scores=inlier_scores, outlier_scores=outlier_scores
    )
    away, center, spread = _about_mean(own)
    slope = _slope_between(away, *scores) if spread > 0 else 0.0
    level = _best_cut(*[part - slope * away[:, None] for part in scores])
    return level, center, slope, spread


def _check_share(contamination):
    if not 0 <= contamination <= 1:
        raise ValueError(f"contamination={contamination!r}: expected [0, 1].")


def _of_tasks(own, **scores):
    """Return arrays in float64 that hold finite scores of the same tasks."""
    own = np.asarray(own, np.float64)
    scores = {name: np.asarray(part, np.float64) for name, part in scores.items()}
    for name, part in scores.items():
        if own.ndim != 1 or part.ndim != 2 or len(part) != len(own) or not part.size:
            raise ValueError(
                f"{name} has shape {part.shape}, own {own.shape}: expected (n_tasks, "
                "n_rows) with at least one row, and (n_tasks,)."
            )
        if not np.isfinite(part).all():
            raise ValueError(f"{name} holds NaN or infinity: expected finite scores.")
    return own, *scores.values()


def _slope_between(away, inliers, outliers):
    """Return by how much the line between inliers and outliers follows `away`."""
    scores = np.concatenate([inliers.ravel(), outliers.ravel()])
    own = [np.repeat(away, part.shape[1]) for part in (inliers, outliers)]
    X = np.column_stack([scores, np.concatenate(own)])
    unit = X.std(axis=0)
    if not unit.all():
        return 0.0
    y = np.arange(len(X)) < inliers.size
    model = LogisticRegression(class_weight="balanced").fit((X - X.mean(0)) / unit, y)
    of_score, of_own = model.coef_[0] / unit
    return float(np.clip(-of_own / of_score, 0.0, 1.0)) if of_score > 0 else 0.0


def _about_mean(own):
    """Return own quantiles less their mean (0 for none), the mean, and the spread."""
    known = np.isfinite(own)
    center = own[known].mean() if known.any() else np.nan
    away = np.where(known, own - center, 0.0)
    return away, center, np.sqrt(np.square(away).sum() / max(known.sum(), 1))


def _best_cut(inliers, outliers):
    """Return the threshold of best balanced accuracy.

    Shares are smoothed, so that a few rows near the border do not decide.
    """
    pooled = np.concatenate([inliers.ravel(), outliers.ravel()])
    pooled = np.quantile(pooled, np.linspace(0, 1, 202))
    cuts = 0.5 * (pooled[1:] + pooled[:-1])
    kept = ndtr((inliers[..., None] - cuts) / _bandwidth(inliers)).mean(axis=(0, 1))
    caught = ndtr((cuts - outliers[..., None]) / _bandwidth(outliers))
    return cuts[np.argmax(kept + caught.mean(axis=(0, 1)))]


def _bandwidth(scores):
    """Return Silverman's bandwidth of a Gaussian kernel."""
    low, high = np.quantile(scores, [0.25, 0.75])
    spread = min(scores.std(), (high - low) / 1.34)
    return max(0.9 * spread * scores.size**-0.2, 1e-300)


def task_offsets(own, n_support, fleet, n_outliers=None):
    r"""Return the offset of each task: the fleet's, moved towards its own quantile.

    .. math:: o_t = level_K + \beta_K m_t + (q_t - \bar q_K - m_t), \quad
              m_t = clip(q_t - \bar q_K, -2 s_K, 2 s_K)

    Inside two standard deviations s of what the fleet's tasks show, the move is shrunk
    by the slope; what lies beyond is followed in full, since the fleet says nothing
    about such a task (a limited translation rule [1]_). The fleet's numbers are
    interpolated linearly in the logarithm of K, the number of support rows.

    Where the fleet tells what labelled outliers in a support do to scores, the offsets
    of tasks that have some are interpolated in the logarithm of their number, too.

    Parameters
    ----------
    own : ndarray of shape (n_tasks,)
        Each task's own quantile of held-out support scores; NaN: none.
    n_support : ndarray of shape (n_tasks,)
        Support rows of each task that are not labelled as outliers.
    fleet : dict of str to ndarray
        "shots", ascending, and "level", "center", "slope" and "spread" at each, as
        `fleet_offsets` returns them; "labelled", a pair of dicts of the same arrays
        for one and for four labelled outliers per support, where the fleet has any.
    n_outliers : ndarray of shape (n_tasks,), default=None
        Support rows of each task that are labelled as outliers; None: there are none.

    Returns
    -------
    offset : ndarray of shape (n_tasks,)
        The offsets; the fleet's level where a task has no own quantile, or none of the
        fleet's tasks had.

    References
    ----------
    .. [1] Efron, Morris (1972). Limiting the Risk of Bayes and Empirical Bayes
       Estimators, Part II. JASA 67(337). :doi:`10.1080/01621459.1972.10481215`

    Examples
    --------
    >>> import numpy as np
    >>> from skmetaad.thresholds import task_offsets
    >>> fleet = {"shots": np.array([5.0, 10.0]), "level": np.array([-3.0, -2.0]),
    ...          "center": np.array([-3.0, -2.0]), "slope": np.array([0.5, 0.5]),
    ...          "spread": np.array([1.0, 1.0])}
    >>> task_offsets(np.array([-4.0, -9.0, np.nan]), np.array([10, 10, 10]), fleet)
    array([-3., -8., -2.])
    """
    if n_outliers is not None and "labelled" in fleet and np.any(n_outliers):
        few, many = (task_offsets(own, n_support, each) for each in fleet["labelled"])
        share = np.interp(np.log(np.maximum(n_outliers, 1)), np.log(N_LABELLED), (0, 1))
        labelled = few + share * (many - few)
        return np.where(n_outliers, labelled, task_offsets(own, n_support, fleet))
    shots = np.log(fleet["shots"])
    at = np.interp(np.log(np.maximum(n_support, 1)), shots, np.arange(len(shots)))
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(shots) - 1)
    level, center, slope, spread = (
        fleet[name][low] + (at - low) * (fleet[name][high] - fleet[name][low])
        for name in ("level", "center", "slope", "spread")
    )
    move = np.where(np.isnan(own) | np.isnan(center), 0.0, own - center)
    inside = np.clip(move, -2 * spread, 2 * spread)
    return level + slope * inside + (move - inside)
