"""Time a meta-iteration, adapting and scoring on the CPU and on a GPU.

Medians in one run after a first call that is not counted; the ratio is the CPU's time
over the GPU's, whose convolutions are computed in full. Rows are made: tables by
`make_fleet`, pictures as a template per task with noise. A meta-iteration draws
episodes, too. Tasks are adapted to 10 rows each in one call; 60 rows of each are
scored.

    python benchmarks/device.py [--device cuda] [--only NAME ...]
"""

import argparse
import statistics
import time

import numpy as np
import torch
from timing import seconds

from skmetaad import (
    MAMLAutoencoderDetector,
    MAMLClassifierDetector,
    MetaPrototypeDetector,
    TaskCollection,
    UniversalDetector,
)
from skmetaad.datasets import make_fleet

N_TASKS, N_ROWS, N_SUPPORT, N_ITER, REPEATS = 200, 60, 10, 15, 3
TABLE, SMALL, LARGE = (20,), (28, 28), (3, 84, 84)
LINE = "{:<42}{:<16}{:>10.2f}{:>10.2f}{:>9.1f}x"
CONV4, CONV = {"encoder": "conv4"}, {"architecture": "conv"}
# Name, detector, its parameters, the shape of rows.
CASES = [
    ("MetaPrototype, 20 columns", MetaPrototypeDetector, {}, TABLE),
    ("MAMLAutoencoder, 20 columns", MAMLAutoencoderDetector, {}, TABLE),
    ("MAMLAutoencoder, 784 columns", MAMLAutoencoderDetector, {}, (784,)),
    ("MetaPrototype, conv4, 28 x 28", MetaPrototypeDetector, CONV4, SMALL),
    ("MAMLClassifier, conv4, 28 x 28", MAMLClassifierDetector, CONV4, SMALL),
    (
        "MAMLAutoencoder, conv, 28 x 28",
        MAMLAutoencoderDetector,
        {**CONV, "hidden_sizes": (32, 64, 128, 128)},
        SMALL,
    ),
    (
        "MetaPrototype, conv4, 3 x 84 x 84",
        MetaPrototypeDetector,
        {**CONV4, "n_channels": 64, "n_networks": 1},
        LARGE,
    ),
]


class Enough(Exception):
    """Stops a training of which only the meta-iterations are asked for."""


class Clock:
    """Callback that notes when meta-iterations end."""

    def __init__(self, *, stop):
        self.stop, self.times = stop, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, **options):
        pass

    def on_fit_task_end(self, estimator, context, **options):
        self.times.append(time.perf_counter())
        if self.stop and len(self.times) == N_ITER:
            raise Enough


def collection(shape):
    """Return tasks of rows of a shape; fewer of large pictures."""
    if len(shape) == 1:
        return make_fleet(N_TASKS, N_ROWS, *shape, random_state=0)
    n_tasks = N_TASKS if shape == SMALL else N_TASKS // 5
    rng = np.random.default_rng(0)
    template = rng.random((n_tasks, 1, *shape)) > 0.8
    X = template + 0.3 * rng.normal(size=(n_tasks, N_ROWS, *shape))
    X = X.astype(np.float32).reshape(n_tasks * N_ROWS, -1)
    return TaskCollection.from_arrays(X, task=np.repeat(np.arange(n_tasks), N_ROWS))


def milliseconds(call):
    """Return the median time of a call, the first one left out."""
    call()  # gives arrays in the CPU's memory, so that the GPU is done
    return 1e3 * seconds(call, REPEATS)


def trained(detector, options, shape, tasks, device):
    """Yield the times of a detector that is trained."""
    if len(shape) > 1:
        options = {**options, "image_shape": shape}
    clock = Clock(stop=shape == LARGE)
    options = {**options, "n_iter": N_ITER, "n_calibration_networks": 0}
    det = detector(**options, device=device, random_state=0).set_callbacks(clock)
    try:
        det.fit(tasks)
    except Enough:
        pass
    yield "meta-iteration", 1e3 * statistics.median(np.diff(clock.times[:N_ITER]))
    if clock.stop:
        return
    first = np.concatenate([t.X[:N_SUPPORT] for t in tasks])
    ids = np.repeat(tasks.ids, N_SUPPORT)
    X, _, task = tasks.arrays()
    adapted = det.adapt(first, task=ids)
    yield "adapt", milliseconds(lambda: det.adapt(first, task=ids))
    yield "score", milliseconds(lambda: adapted.score_samples(X, task=task))


def one_table(X, device):
    """Yield the times of UniversalDetector on one table."""
    det = UniversalDetector(max_support=len(X), device=device)
    yield "fit", milliseconds(lambda: det.fit(X))
    yield "score", milliseconds(lambda: det.score_samples(X + 1e-3))


def report(name, on_cpu, on_gpu):
    """Print times side by side."""
    for (what, cpu), (_, other) in zip(on_cpu, on_gpu, strict=True):
        print(LINE.format(name, what, cpu, other, cpu / other), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", default=[""])
    given = parser.parse_args()
    torch.backends.cudnn.allow_tf32 = False  # as on the CPU
    if torch.cuda.is_available():
        print(torch.cuda.get_device_name(), end=", ")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads of the CPU\n")
    print(f"{'':<58}{'CPU, ms':>10}{'GPU, ms':>10}{'ratio':>10}")
    devices = ("cpu", given.device)
    for name, detector, options, shape in CASES:
        if any(part in name for part in given.only):
            case = detector, options, shape, collection(shape)
            report(name, *(trained(*case, device) for device in devices))
    name = "Universal, 10,000 x 20"
    if any(part in name for part in given.only):
        X = make_fleet(1, 10_000, 20, random_state=0)[0].X
        report(name, *(one_table(X, device) for device in devices))


if __name__ == "__main__":
    main()
