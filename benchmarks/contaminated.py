"""Supports with outliers that nobody has labelled: AUROC at 0, 10 and 20 %.

Every detector that has `contamination_in_support` is trained on clean supports, and on
supports of which 10 % are outliers. All are adapted to held-out tasks from 20 rows: the
first half of the tasks trains, the other half tests, with labelled outliers as they are
(`negatives="labels"`). k-NN has one neighbour.

    python benchmarks/contaminated.py --data DIRECTORY
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from pyod.models.knn import KNN
from sklearn.base import clone
from sklearn.datasets import load_digits

from skmetaad import (
    GraphNetworkDetector,
    MAMLAutoencoderDetector,
    MAMLClassifierDetector,
    MatchingNetworkDetector,
    MetaPrototypeDetector,
    MetaSVDDDetector,
    PyODDetector,
    RelationNetworkDetector,
    SiameseDetector,
    TaskCollection,
    UniversalDetector,
    few_shot_scores,
)
from skmetaad.datasets import load_directory

SHARES = (0.0, 0.1, 0.2)
METHODS = (
    MetaPrototypeDetector(random_state=0),
    MetaPrototypeDetector(n_neighbors=3, random_state=0),
    MatchingNetworkDetector(random_state=0),
    SiameseDetector(random_state=0),
    SiameseDetector(aggregation="mean", random_state=0),
    RelationNetworkDetector(random_state=0),
    GraphNetworkDetector(random_state=0),
    MetaSVDDDetector(random_state=0),
    MAMLAutoencoderDetector(random_state=0),
    MAMLAutoencoderDetector(adversarial_epsilon=0.3, random_state=0),
    MAMLClassifierDetector(random_state=0),
)


def name_of(detector):
    params = {k: v for k, v in detector.get_params().items() if k != "random_state"}
    default = type(detector)().get_params()
    changed = [f"{k}={v}" for k, v in params.items() if v != default[k]]
    return " ".join([type(detector).__name__, *changed])


def mean_auroc(detector, tasks, share):
    scores = [
        few_shot_scores(
            detector, tasks, n_support=20, contamination=share, random_state=seed
        )
        for seed in range(3)
    ]
    return np.mean([list(found.values()) for found in scores])


def show(collection, name, trained, detector, tasks):
    cells = [f"{mean_auroc(detector, tasks, share):.3f}" for share in SHARES]
    print(f"{collection:<8}{name:<50}{trained:>10}  {'  '.join(cells)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    folder = Path(parser.parse_args().data)
    warnings.simplefilter("ignore")
    X, classes = load_digits(return_X_y=True)
    collections = {"digits": TaskCollection.from_classes(X, classes)}
    collections |= {name: load_directory(folder / name) for name in ("asd", "smd")}
    print(f"{'':<58}{'trained at':>10}  0 %    10 %   20 %")
    for name, tasks in collections.items():
        train, test = tasks[: len(tasks) // 2], tasks[len(tasks) // 2 :]
        for method in METHODS:
            for share in (0.0, 0.1):
                # Only ranks are compared.
                detector = clone(method).set_params(
                    contamination_in_support=share,
                    negatives="labels",
                    n_calibration_networks=0,
                )
                show(name, name_of(method), share, detector.fit(train), test)
        untrained = {
            "UniversalDetector": UniversalDetector(),
            "KNN (nearest)": PyODDetector(KNN(n_neighbors=1)),
        }
        for other, detector in untrained.items():
            show(name, other, "-", detector.fit(train), test)


if __name__ == "__main__":
    main()
