"""One-liners on a series: no training, no support, each row judged by those before."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

WIDTH = 10
VARIANCE, DIFFERENCE = "moving variance", "squared difference"


def moving_variance(X):
    """Return the variance over the last `WIDTH` rows, summed over columns."""
    padded = np.concatenate([np.repeat(X[:1], WIDTH - 1, axis=0), X])
    return sliding_window_view(padded, WIDTH, axis=0).var(axis=-1).sum(axis=1)


def squared_difference(X):
    """Return the squared difference to the row before, summed over columns."""
    return np.square(np.diff(X, axis=0, prepend=X[:1])).sum(axis=1)


SERIES = {VARIANCE: moving_variance, DIFFERENCE: squared_difference}
