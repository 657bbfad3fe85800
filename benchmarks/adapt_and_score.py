"""Time adapting and scoring: many tasks at once, and beside PyOD's AutoEncoder.

Three ratios, each from one run, medians over repetitions, at 1 and 2 threads:

- adapting to 1,000 tasks of 10 rows in one call, against 1,000 calls;
- adapting to one task of 10 rows, against fitting PyOD's AutoEncoder on them;
- scoring 1,000,000 rows of 20 columns, against PyOD's AutoEncoder.decision_function
  with its default batches of 32 rows and with batches of 4,096, and the peak of memory
  that our scoring adds.

PyOD's AutoEncoder drops incomplete batches, so on ten rows its batch is ten.

    python benchmarks/adapt_and_score.py [--rows 1000000] [--repeats 5]
"""

import argparse
import contextlib
import functools
import io
import sys
from pathlib import Path

import numpy as np
import torch
from pyod.models.auto_encoder import AutoEncoder
from timing import seconds

from skmetaad import MAMLAutoencoderDetector, MetaPrototypeDetector
from skmetaad.datasets import make_fleet

N_FEATURES, N_SUPPORT, N_TASKS = 20, 10, 1000
CLEAR = Path("/proc/self/clear_refs")
DETECTORS = (MetaPrototypeDetector, MAMLAutoencoderDetector)
LINE = "{:<26}{:>8}  {:<34}{:>11}  {:<24}{:>11}{:>9}"


def report(name, threads, ours, our_seconds, other, other_seconds):
    """Print one ratio."""
    ratio = f"{other_seconds / our_seconds:.1f}x"
    shown = [f"{value:.4g} s" for value in (our_seconds, other_seconds)]
    print(LINE.format(name, threads, ours, shown[0], other, shown[1], ratio))


def quietly(call):
    """Run call() without PyOD's progress bars and messages."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        return call()


def encoder(batch_size, rows):
    """Return PyOD's AutoEncoder fitted on rows."""
    model = AutoEncoder(verbose=0, batch_size=batch_size)
    quietly(functools.partial(model.fit, rows))
    return model


def added_mib(call):
    """Return by how much call() raises the resident memory at its peak (Linux)."""
    if not CLEAR.exists():
        return float("nan")
    CLEAR.write_text("5")  # resets the peak
    before = status("VmRSS")
    call()
    return (status("VmHWM") - before) / 1024


def status(name):
    """Return an entry of the process's status, in KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


def many_tasks(detector, support, threads, repeats):
    """Compare one call for all tasks with one call per task."""
    X = np.concatenate(support)
    task = np.repeat(np.arange(N_TASKS), N_SUPPORT)

    def one_by_one():
        for rows in support:
            detector.adapt(rows)

    report(
        type(detector).__name__,
        threads,
        f"adapt, {N_TASKS:,} tasks, one call",
        seconds(lambda: detector.adapt(X, task=task), repeats),
        f"{N_TASKS:,} calls",
        seconds(one_by_one, min(repeats, 3)),
    )


def one_task(detector, rows, fit_seconds, threads, repeats):
    """Compare adapting to ten rows with fitting PyOD's AutoEncoder on them."""
    report(
        type(detector).__name__,
        threads,
        f"adapt, {N_SUPPORT} rows",
        seconds(lambda: detector.adapt(rows), 4 * repeats),
        "AutoEncoder.fit",
        fit_seconds,
    )


def scoring(detector, rows, X, others, threads, repeats):
    """Compare scoring many rows with PyOD's AutoEncoder, by its batch size."""
    adapted = detector.adapt(rows)
    added = f"+{added_mib(lambda: adapted.decision_function(X)):.0f} MiB"
    ours = seconds(lambda: adapted.decision_function(X), repeats)
    for batch, other_seconds in others.items():
        report(
            type(detector).__name__,
            threads,
            f"score, {len(X):,} rows ({added})",
            ours,
            f"AutoEncoder, batch {batch:,}",
            other_seconds,
        )


def main():
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    options = parser.parse_args()
    fleet = make_fleet(n_tasks=20, n_features=N_FEATURES, random_state=0)
    rng = np.random.default_rng(0)
    X = rng.standard_normal((options.rows, N_FEATURES))
    support = list(rng.standard_normal((N_TASKS, N_SUPPORT, N_FEATURES)))
    fitted = [cls(n_iter=20, random_state=0).fit(fleet) for cls in DETECTORS]
    header = ("detector", "threads", "ours", "median", "against", "median", "ratio")
    print(LINE.format(*header))
    for threads in options.threads:
        torch.set_num_threads(threads)
        fit = seconds(lambda: encoder(N_SUPPORT, support[0]), 3)
        others = {}
        for batch in (32, 4096):
            other = encoder(batch, X[:10_000])
            call = functools.partial(other.decision_function, X)
            others[batch] = seconds(functools.partial(quietly, call), 3)
        for detector in fitted:
            scoring(detector, support[0], X, others, threads, options.repeats)
            one_task(detector, support[0], fit, threads, options.repeats)
            many_tasks(detector, support, threads, options.repeats)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
