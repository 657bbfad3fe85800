"""Whether tasks tell methods apart, and how well they tell a mean."""

import numpy as np
from scipy.stats import friedmanchisquare, wilcoxon

# Differences below this are ties: sums in another order differ by less.
DIGITS = 9
# Of the bootstrap.
N_DRAWS = 2000


def friedman_p(values):
    """Return the p value of Friedman's test of all methods being alike.

    values: (n_methods, n_tasks). NaN for fewer than three methods or two tasks.
    """
    values = np.asarray(values, np.float64).round(DIGITS)
    if len(values) < 3 or values.shape[1] < 2:
        return np.nan
    if (values == values[0]).all():  # the statistic is 0 / 0
        return 1.0
    return float(friedmanchisquare(*values)[1])


def signed_rank_p(difference):
    """Return the two-sided p value of Wilcoxon's test of a median of zero."""
    difference = np.round(difference, DIGITS)
    return 1.0 if not np.any(difference) else float(wilcoxon(difference).pvalue)


def holm(p):
    """Return p values adjusted by Holm's step-down method."""
    p = np.asarray(p, np.float64)
    order = np.argsort(p)
    stepped = p[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted.tolist()


def bootstrap_interval(values):
    """Return the 95 % percentile interval of the mean over the last axis, (2, ...)."""
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(0)
    drawn = rng.integers(values.shape[-1], size=(N_DRAWS, values.shape[-1]))
    return np.quantile(values[..., drawn].mean(axis=-1), [0.025, 0.975], axis=-1)
