"""`negatives` chosen on training tasks alone: mean AUROC at 1 and 10 support rows.

Half of the digits and a quarter of the servers of asd, at most 3,000 rows each, are
held out in turn. On what is left, the kind of negatives with the best mean AUROC in a
cross-validation over tasks is chosen: "searched".

    python benchmarks/search_negatives.py --data DIRECTORY
"""

import argparse
import os
import warnings
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from skmetaad import (
    MetaPrototypeDetector,
    MetaSVDDDetector,
    RelationNetworkDetector,
    SiameseDetector,
    Task,
    TaskCollection,
    TaskKFold,
    few_shot_scores,
)
from skmetaad.datasets import load_directory

KINDS = ("labels", "mixed", "synthetic")
DETECTORS = (
    RelationNetworkDetector,
    MetaSVDDDetector,
    SiameseDetector,
    MetaPrototypeDetector,
)


def servers(folder):
    rng, tasks = np.random.default_rng(0), []
    for task in load_directory(folder):
        kept = rng.permutation(len(task))[:3000]
        tasks.append(Task(task.id, np.asarray(task.X)[kept], np.asarray(task.y)[kept]))
    return TaskCollection(tasks)


def values(cls, kind, train, test):
    """Return AUROC by task and number of support rows, in a list."""
    # Only ranks are compared.
    detector = cls(negatives=kind, n_calibration_networks=0, random_state=0).fit(train)
    scores = [
        few_shot_scores(detector, test, n_support=k, random_state=0) for k in (1, 10)
    ]
    return [value for found in scores for value in found.values()]


def cross_validated(cls, kind, tasks):
    X, y, code = tasks.arrays()
    found = []
    for _, held_out in TaskKFold(3).split(X, y, groups=code):
        out = np.isin(tasks.ids, np.unique(code[held_out]))
        found += values(cls, kind, tasks[~out], tasks[out])
    return np.mean(found)


def show(name, tasks, n_folds, cls):
    found, chosen = {kind: [] for kind in (*KINDS, "searched")}, []
    order = np.random.default_rng(1).permutation(len(tasks))
    for fold in range(n_folds):
        test = order[fold::n_folds]
        train = tasks[np.setdiff1d(order, test).tolist()]
        scores = {kind: cross_validated(cls, kind, train) for kind in KINDS}
        chosen.append(max(scores, key=scores.get))
        own = {kind: values(cls, kind, train, tasks[test.tolist()]) for kind in KINDS}
        for kind in KINDS:
            found[kind] += own[kind]
        found["searched"] += own[chosen[-1]]
    cells = "".join(f"{np.mean(each):>12.3f}" for each in found.values())
    print(f"{name:<8}{cls.__name__:<26}{cells}   {', '.join(chosen)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    folder = Path(parser.parse_args().data)
    warnings.simplefilter("ignore")
    digits = TaskCollection.from_classes(*load_digits(return_X_y=True))
    print(f"{'':<34}" + "".join(f"{kind:>12}" for kind in (*KINDS, "searched")))
    for cls in DETECTORS:
        show("digits", digits, 2, cls)
    for cls in DETECTORS:
        show("asd", servers(folder / "asd"), 4, cls)


if __name__ == "__main__":
    main()
