"""What the parts of MetaGANDetector and DeepClusteringDetector are for: mean AUROC.

On generated fleets whose normal rows have one mode, or three with outliers between
them, and on characters of Omniglot's background part in 14 x 14 pixels, one or three of
them to a task: 20 alphabets train, the 10 others test.

    python benchmarks/ablate_detectors.py --data DIRECTORY
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from pictures import averaged
from pyod.models.knn import KNN

from skmetaad import (
    DeepClusteringDetector,
    MetaGANDetector,
    MetaPrototypeDetector,
    MetaSVDDDetector,
    PyODDetector,
    RelationNetworkDetector,
    SiameseDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.datasets import make_fleet

FORMS = (
    (DeepClusteringDetector, {}),
    (DeepClusteringDetector, {"n_clusters": 1}),
    (DeepClusteringDetector, {"n_clusters": 3}),
    (DeepClusteringDetector, {"n_clusters": 10}),
    (DeepClusteringDetector, {"clustering_weight": 0.0}),
    (DeepClusteringDetector, {"reconstruction_weight": 0.0}),
    (
        DeepClusteringDetector,
        {"clustering_weight": 0.0, "reconstruction_weight": 0.0},
    ),
    (MetaGANDetector, {}),
    (MetaGANDetector, {"variant": "gan"}),
    (MetaGANDetector, {"conditional": False}),
    (MetaGANDetector, {"adversarial_weight": 0.0}),
    (MetaGANDetector, {"cycle_weight": 0.0}),
    (MetaGANDetector, {"negatives": "generated"}),
    (MetaGANDetector, {"negatives": "generated", "variant": "gan"}),
    (MetaGANDetector, {"negatives": "generated", "conditional": False}),
    (MetaGANDetector, {"negatives": "generated", "cycle_weight": 0.0}),
    (RelationNetworkDetector, {}),
    (RelationNetworkDetector, {"negatives": "synthetic"}),
    (MetaSVDDDetector, {}),
    (SiameseDetector, {}),
    (MetaPrototypeDetector, {}),
    (MetaPrototypeDetector, {"n_neighbors": 3}),
)
# Rows of the support, and how many of these are outliers that nobody has labelled.
SHOTS = {
    "one mode": ((1, 0), (10, 0)),
    "three modes": ((5, 0), (50, 0), (50, 5)),
    "1 character": ((1, 0), (10, 0)),
    "3 characters": ((30, 0),),
}


def three_modes(n_tasks, rng):
    """Return tasks of three states, with outliers half-way between two of them."""
    tasks = []
    for i in range(n_tasks):
        states = 3 * rng.normal(size=(3, 6))
        state = rng.integers(3, size=180)
        X = states[state] + 0.4 * rng.normal(size=(180, 6))
        X[:30] += (states[(state[:30] + 1) % 3] - states[state[:30]]) / 2
        tasks.append(Task(i, X, np.r_[-np.ones(30), np.ones(150)]))
    return TaskCollection(tasks)


def characters(file, n_together, rng):
    """Return tasks of some characters each, of 20 alphabets and of the others."""
    with np.load(file) as found:
        X, alphabet, character = found["X"], found["alphabet"], found["class_id"]
    X = averaged(X, 14) / 255
    first = rng.permutation(np.unique(alphabet))[:20]
    parts = []
    for part in (True, False):
        mine = np.isin(alphabet, first) == part
        names, code = np.unique(character[mine], return_inverse=True)
        of = rng.permutation(len(names)) // n_together
        kept = of[code] < len(names) // n_together
        parts.append(TaskCollection.from_arrays(X[mine][kept], task=of[code][kept]))
    return parts


def collections(data, rng):
    one = make_fleet(60, 150, 20, random_state=int(rng.integers(2**31)))
    three = three_modes(60, rng)
    found = {"one mode": (one[:45], one[45:]), "three modes": (three[:45], three[45:])}
    file = Path(data) / "omniglot" / "background.npz"
    if file.exists():
        found["1 character"] = characters(file, 1, rng)
        found["3 characters"] = characters(file, 3, rng)
    return found


def values(cls, params, data, seed):
    """Return mean AUROC by collection and support."""
    warnings.simplefilter("ignore")
    found = {}
    for name, (train, test) in collections(data, np.random.default_rng(seed)).items():
        if cls is PyODDetector:
            detector = PyODDetector(**params)
        else:  # only ranks are compared
            detector = cls(n_calibration_networks=0, random_state=seed, **params)
        detector.fit(train)
        for n_support, n_outliers in SHOTS[name]:
            if cls is PyODDetector and n_support == 1:  # it takes two rows
                found[name, n_support, n_outliers] = np.nan
                continue
            scores = few_shot_scores(
                detector,
                test,
                n_support=n_support,
                contamination=n_outliers / n_support,
                random_state=seed,
            )
            found[name, n_support, n_outliers] = np.mean(list(scores.values()))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--n-jobs", type=int, default=-1)
    options = parser.parse_args()
    forms = [*FORMS, (PyODDetector, {"detector": KNN(n_neighbors=1)})]
    head = [
        f"{name} K={k}{f' ({odd} odd)' if odd else ''}"
        for name, shots in SHOTS.items()
        for k, odd in shots
    ]
    print(f"{'':<66}" + "".join(f"{column:>28}" for column in head))
    runs = Parallel(n_jobs=options.n_jobs, return_as="generator")(
        delayed(values)(*form, options.data, seed)
        for form in forms
        for seed in range(options.seeds)
    )
    for cls, params in forms:
        found = [next(runs) for _ in range(options.seeds)]
        text = " ".join(f"{k}={v}" for k, v in params.items() if k != "detector")
        name = "KNN (nearest)" if cls is PyODDetector else cls.__name__
        cells = [np.mean([run[key] for run in found]) for key in found[0]]
        line = "".join(f"{cell:>28.3f}" for cell in cells)
        print(f"{f'{name} {text}':<66}{line}", flush=True)


if __name__ == "__main__":
    main()
