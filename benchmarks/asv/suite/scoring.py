"""Scoring many rows of a task."""

import numpy as np

from .adapting import DETECTORS, N_FEATURES, N_SUPPORT, _Fitted


class Scoring(_Fitted):
    """Rows of 20 columns."""

    param_names = ["detector", "n_rows"]
    params = [list(DETECTORS), [1_000, 100_000]]

    def setup(self, fitted, detector, n_rows):
        rng = np.random.default_rng(0)
        support = rng.standard_normal((N_SUPPORT, N_FEATURES))
        self.adapted = fitted[detector].adapt(support)
        self.X = rng.standard_normal((n_rows, N_FEATURES))

    def time_score_samples(self, fitted, detector, n_rows):
        self.adapted.score_samples(self.X)

    def peakmem_score_samples(self, fitted, detector, n_rows):
        self.adapted.score_samples(self.X)
