"""Adapting to new tasks, and fitting PyOD's AutoEncoder on the same rows."""

import numpy as np

from skmetaad import MAMLAutoencoderDetector, MetaPrototypeDetector
from skmetaad.datasets import make_fleet

DETECTORS = {
    "MetaPrototypeDetector": MetaPrototypeDetector,
    "MAMLAutoencoderDetector": MAMLAutoencoderDetector,
}
N_FEATURES, N_SUPPORT = 20, 10


class _Fitted:
    """Trains in another process, whose memory does not count."""

    def setup_cache(self):
        # One step of training: the weights do not change times.
        fleet = make_fleet(n_tasks=20, n_features=N_FEATURES, random_state=0)
        return {
            name: cls(n_iter=1, random_state=0).fit(fleet)
            for name, cls in DETECTORS.items()
        }


class ManyTasks(_Fitted):
    """All tasks in one call, and one by one."""

    param_names = ["detector", "n_tasks"]
    params = [list(DETECTORS), [10, 1000]]
    timeout = 300

    def setup(self, fitted, detector, n_tasks):
        self.detector = fitted[detector]
        rng = np.random.default_rng(0)
        self.support = rng.standard_normal((n_tasks, N_SUPPORT, N_FEATURES))
        self.X = np.concatenate(self.support)
        self.task = np.repeat(np.arange(n_tasks), N_SUPPORT)

    def time_one_call(self, fitted, detector, n_tasks):
        self.detector.adapt(self.X, task=self.task)

    def time_one_by_one(self, fitted, detector, n_tasks):
        for rows in self.support:
            self.detector.adapt(rows)

    def peakmem_one_call(self, fitted, detector, n_tasks):
        self.detector.adapt(self.X, task=self.task)


class OneTask(_Fitted):
    """A task of ten rows."""

    param_names = ["detector"]
    params = list(DETECTORS)

    def setup(self, fitted, detector):
        self.detector = fitted[detector]
        self.X = np.random.default_rng(0).standard_normal((N_SUPPORT, N_FEATURES))

    def time_adapt(self, fitted, detector):
        self.detector.adapt(self.X)


class PyODAutoEncoder:
    """PyOD's AutoEncoder on the ten rows of `OneTask`."""

    def setup(self):
        # Loaded here: the other benchmarks do without PyOD.
        from pyod.models.auto_encoder import AutoEncoder

        # It drops incomplete batches, so on ten rows its batch is ten.
        self.model = AutoEncoder(verbose=0, batch_size=N_SUPPORT)
        self.X = np.random.default_rng(0).standard_normal((N_SUPPORT, N_FEATURES))
        self.model.fit(self.X)  # the first call loads what it needs

    def time_fit(self):
        self.model.fit(self.X)
