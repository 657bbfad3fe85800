"""The PyOD side of the bridge; importing this module imports PyOD."""

import numpy as np
from pyod.models.base import BaseDetector
from sklearn.utils.validation import check_is_fitted

from skmetaad._compat import safe_indexing
from skmetaad.compose import adapt
from skmetaad.tasks import as_collection


class AdaptedDetector(BaseDetector):
    """PyOD detector whose `fit` adapts a meta-detector to one table.

    Parameters
    ----------
    estimator : FrozenEstimator
        Around a fitted meta-detector, or what `skmetaad.adapt` takes.
    contamination : float, default=0.1
        Share of outliers in the table, in (0, 0.5].
    """

    def __init__(self, estimator, contamination=0.1):
        super().__init__(contamination=contamination)
        self.estimator = estimator

    def fit(self, X, y=None):
        """Adapt to a table; `y` is ignored, as PyOD does."""
        if as_collection(X) is not None:
            raise TypeError(
                f"X={X!r}: expected one table, such as the X of one of the tasks."
            )
        self._set_n_classes(y)
        self.detector_ = adapt(self.estimator, X)
        self.decision_scores_ = -self._held_out(X)
        self._process_decision_scores()
        return self

    def decision_function(self, X):
        """Return outlier scores, higher = more abnormal."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return -self.detector_.score_samples(X)

    def _held_out(self, X):
        """Return how normal each row is for a detector that did not see it."""
        n_folds = min(5, len(X))
        if n_folds == 1 or getattr(self.detector_, "_leaves_out_own", False):
            return self.detector_.score_samples(X)
        # Dealt out at random, since tables are often sorted.
        fold = np.random.default_rng(0).permutation(len(X)) % n_folds
        scores = np.empty(len(X))
        for f in range(n_folds):
            seen, unseen = safe_indexing(X, fold != f), safe_indexing(X, fold == f)
            scores[fold == f] = adapt(self.estimator, seen).score_samples(unseen)
        return scores
