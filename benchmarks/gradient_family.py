"""Algorithms and variants of the gradient-based detectors, beside PyOD's autoencoders.

Half of a collection's tasks train and the other half tests, and the other way round. Of
a test task, half of the inliers are set aside; K of them are the support of all
methods, and PyOD's AutoEncoder and VAE are also fitted on all of them, as a ceiling.
The other inliers and the outliers, at most 1,000 rows, are the query. Labelled outliers
train as they are (`negatives="labels"`). Mean AUROC over tasks and seeds.

    python benchmarks/gradient_family.py --data DIRECTORY

`--methods` runs some rows of the table only: those whose names hold one of the given
texts, separated by semicolons.
"""

import argparse
import os
import warnings
from itertools import chain, product
from pathlib import Path

import numpy as np
from pyod.models.auto_encoder import AutoEncoder
from pyod.models.knn import KNN
from pyod.models.vae import VAE
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from skmetaad import MAMLAutoencoderDetector, MAMLClassifierDetector, TaskCollection
from skmetaad.datasets import load_directory

SHOTS = (1, 5, 10, 50)
MOST = 1000
COLLECTIONS = ("digits", "smd", "asd", "telemetry", "mvtec_resnet18")
OURS = {
    "MAML, plain": MAMLAutoencoderDetector(),
    "first-order MAML": MAMLAutoencoderDetector(algorithm="fomaml"),
    "Reptile": MAMLAutoencoderDetector(algorithm="reptile"),
    "ANIL": MAMLAutoencoderDetector(algorithm="anil"),
    "Meta-SGD": MAMLAutoencoderDetector(algorithm="meta-sgd"),
    "MAML, denoising": MAMLAutoencoderDetector(variant="denoising"),
    "MAML, variational": MAMLAutoencoderDetector(variant="variational"),
    "MAML, adversarial": MAMLAutoencoderDetector(variant="adversarial"),
    "MAML, 1 inner step": MAMLAutoencoderDetector(inner_steps=1),
    "MAML, Mahalanobis": MAMLAutoencoderDetector(anomaly_score="mahalanobis"),
    "Reptile, Mahalanobis": MAMLAutoencoderDetector(
        algorithm="reptile", anomaly_score="mahalanobis"
    ),
    "OC-MAML": MAMLClassifierDetector(),
}


def load(name, folder):
    """Return collections by name, one for each number of features."""
    if name == "digits":
        X, classes = load_digits(return_X_y=True)
        return {name: TaskCollection.from_classes(X, classes)}
    tasks = load_directory(folder / name)
    widths = sorted({task.n_features for task in tasks})
    if len(widths) == 1:
        return {name: tasks}
    return {
        f"{name} ({width} features)": tasks[[t.n_features == width for t in tasks]]
        for width in widths
    }


def split(task, rng):
    """Return rows set aside, and the query's rows and whether they are outliers."""
    inliers = rng.permutation(np.flatnonzero(task.y == 1))
    outliers = rng.permutation(np.flatnonzero(task.y == -1))[: MOST // 2]
    half = len(inliers) // 2
    query = inliers[half:][: MOST - len(outliers)]
    rows = task.X.reshape(len(task), -1).astype(np.float64)
    odd = np.repeat([0, 1], [len(query), len(outliers)])
    return rows[inliers[:half][:MOST]], rows[np.r_[query, outliers]], odd


def pyod_scores(model, support, query):
    # PyOD drops what does not fill a batch, and compares a row with the others.
    rows = np.repeat(support, 2, axis=0) if len(support) == 1 else support
    if isinstance(model, AutoEncoder | VAE):
        model.set_params(batch_size=min(32, len(rows)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(rows).decision_function(query)


def autoencoders():
    return {
        "PyOD AutoEncoder": AutoEncoder(verbose=0, random_state=0),
        "PyOD VAE": VAE(verbose=0, random_state=0),
    }


def baselines():
    return {"1-NN": KNN(n_neighbors=1), **autoencoders()}


def tabulate(tasks, n_seeds, wanted):
    """Return mean AUROC by method and K, and of the ceilings by method.

    `wanted` tells by a method's name whether to run it.
    """
    half = len(tasks) // 2
    halves = tasks[:half], tasks[half:]
    found = {}

    def note(name, k, odd, scores):
        found.setdefault((name, k), []).append(roc_auc_score(odd, scores))

    for (train, test), seed in product((halves, halves[::-1]), range(n_seeds)):
        rng = np.random.default_rng(seed)
        parts = [split(task, rng) for task in test]
        for name, detector in OURS.items():
            if not wanted(name):
                continue
            # Only ranks are compared.
            detector.set_params(
                random_state=seed, negatives="labels", n_calibration_networks=0
            )
            detector = detector.fit(train)
            for k in SHOTS:
                for aside, query, odd in parts:
                    adapted = detector.adapt(aside[:k])
                    note(name, k, odd, -adapted.score_samples(query))
        for aside, query, odd in parts:
            for k in SHOTS:
                for name, model in baselines().items():
                    if wanted(name):
                        scores = pyod_scores(model, aside[:k], query)
                        note(name, k, odd, scores)
            for name, model in autoencoders().items():
                if wanted(f"{name}, all rows"):
                    scores = pyod_scores(model, aside, query)
                    note(f"{name}, all rows", None, odd, scores)
    return {key: np.mean(values) for key, values in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    parser.add_argument("--collections", default=",".join(COLLECTIONS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", default="")
    option = parser.parse_args()
    texts = option.methods.split(";")

    def wanted(name):
        return any(text in name for text in texts)

    names = option.collections.split(",")
    parts = [load(name, Path(option.data)).items() for name in names]
    for name, tasks in chain.from_iterable(parts):
        found = tabulate(tasks, option.seeds, wanted)
        head = "".join(f"{f'K = {k}':>8}" for k in SHOTS)
        print(f"{f'{name}, {len(tasks)} test tasks':<34}{head}")
        for method in dict.fromkeys(method for method, _ in found):
            values = [found.get((method, k)) for k in SHOTS]
            if None in values:
                values = [found[method, None]] * len(SHOTS)
            print(f"  {method:<32}" + "".join(f"{value:8.3f}" for value in values))
        print(flush=True)


if __name__ == "__main__":
    main()
