"""How well detectors rank the rows of tasks they have not seen."""

import numpy as np
from sklearn.datasets import load_digits

from skmetaad import TaskCollection, few_shot_scores

from .adapting import DETECTORS


class Digits:
    """Trained shortly on five digits, tested on the five others."""

    param_names = ["detector", "n_support"]
    params = [list(DETECTORS), [1, 10]]

    def setup(self, detector, n_support):
        X, digit = load_digits(return_X_y=True)
        train = TaskCollection.from_classes(X[digit < 5], digit[digit < 5])
        self.X, self.digit = X[digit >= 5], digit[digit >= 5]
        self.detector = DETECTORS[detector](n_iter=50, random_state=0).fit(train)

    def track_auroc(self, detector, n_support):
        scores = few_shot_scores(
            self.detector, self.X, task=self.digit, n_support=n_support, n_repeats=3
        )
        return float(np.mean(list(scores.values())))

    track_auroc.unit = "AUROC"
