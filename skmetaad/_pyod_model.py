"""The PyOD side of the bridge; importing this module imports PyOD."""

from pyod.models.base import BaseDetector
from sklearn.utils.validation import check_is_fitted

from skmetaad.compose import adapt, held_out_scores
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
        adapted = adapt(self.estimator, X)
        scores = -held_out_scores(self.estimator, adapted, X)
        if len(scores) < 2:
            raise ValueError(
                "X has n_samples = 1 row: expected at least 2, since training scores, "
                "which set the threshold, are held-out ones. The meta-detector's own "
                "adapt takes 1."
            )
        self._set_n_classes(y)
        self.detector_, self.decision_scores_ = adapted, scores
        self._process_decision_scores()
        return self

    def decision_function(self, X):
        """Return outlier scores, higher = more abnormal."""
        check_is_fitted(self, ["decision_scores_", "threshold_", "labels_"])
        return -self.detector_.score_samples(X)
