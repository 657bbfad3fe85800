"""Adapting to new tasks, and fitting PyOD's AutoEncoder on the same rows."""

import numpy as np

from skmetaad import MAMLAutoencoderDetector, MetaPrototypeDetector
from skmetaad.datasets import make_fleet

DETECTORS = {
    "MetaPrototypeDetector": MetaPrototypeDetector,
    "MAMLAutoencoderDetector": MAMLAutoencoderDetector,
}
N_FEATURES, N_SUPPORT = 20, 10


def fitted(name):
    """Return a detector trained for one step: the weights do not change times."""
    fleet = make_fleet(n_tasks=20, n_features=N_FEATURES, random_state=0)
    return DETECTORS[name](n_iter=1, random_state=0).fit(fleet)


class ManyTasks:
    """All tasks in one call, and one by one."""

    param_names = ["detector", "n_tasks"]
    params = [list(DETECTORS), [10, 1000]]
    timeout = 300

    def setup(self, detector, n_tasks):
        self.detector = fitted(detector)
        rng = np.random.default_rng(0)
        self.support = rng.standard_normal((n_tasks, N_SUPPORT, N_FEATURES))
        self.X = np.concatenate(self.support)
        self.task = np.repeat(np.arange(n_tasks), N_SUPPORT)

    def time_one_call(self, detector, n_tasks):
        self.detector.adapt(self.X, task=self.task)

    def time_one_by_one(self, detector, n_tasks):
        for rows in self.support:
            self.detector.adapt(rows)

    def peakmem_one_call(self, detector, n_tasks):
        self.detector.adapt(self.X, task=self.task)


class OneTask:
    """A task of ten rows."""

    param_names = ["detector"]
    params = list(DETECTORS)

    def setup(self, detector):
        self.detector = fitted(detector)
        self.X = np.random.default_rng(0).standard_normal((N_SUPPORT, N_FEATURES))

    def time_adapt(self, detector):
        self.detector.adapt(self.X)


class PyODAutoEncoder:
    """PyOD's AutoEncoder on the ten rows of `OneTask`."""

    def setup(self):
        # Loaded here: the other benchmarks do without PyOD.
        from pyod.models.auto_encoder import AutoEncoder

        # It drops incomplete batches, so on ten rows its batch is ten.
        self.model = AutoEncoder(verbose=0, batch_size=N_SUPPORT)
        self.X = np.random.default_rng(0).standard_normal((N_SUPPORT, N_FEATURES))

    def time_fit(self):
        self.model.fit(self.X)
