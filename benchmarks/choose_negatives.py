"""What "auto" should take for outliers of meta-training: mean AUROC by `negatives`.

On fleets that no detector trained on tasks is tested on elsewhere: the tables of
adbench, whose inliers are cut into twelve tasks by k-means (an outlier belongs to the
nearest), Omniglot's background characters, windows of nab, and made fleets. Each is cut
in two, and RelationNetworkDetector, which learns training tasks by heart first, is
trained on one part and adapts to the tasks of the other from 1 and 10 rows. Beside it
stands the distance to the nearest of these rows, columns scaled by the training tasks.

    python benchmarks/choose_negatives.py --data DIRECTORY
"""

import argparse
import os
import warnings
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from joblib import Parallel, delayed
from pictures import averaged, drawings
from pyod.models.knn import KNN
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from skmetaad import (
    PyODDetector,
    RelationNetworkDetector,
    Task,
    TaskCollection,
    few_shot_scores,
)
from skmetaad.datasets import make_fleet

LABELLED = ("labels", "mixed", "synthetic", "auto")
UNLABELLED = ("other_tasks", "synthetic", "auto")


class Nearest(KNN):
    """PyOD's KNN by one neighbour, for a single row too."""

    def __init__(self, contamination=0.1):
        super().__init__(contamination, n_neighbors=1)

    def fit(self, X, y=None):
        return super().fit(np.repeat(X, 2, axis=0) if len(X) == 1 else X)


def clusters(path):
    """Return tasks made of one table, of 40 inliers and 5 outliers at least."""
    with np.load(path, allow_pickle=False) as file:
        X, outlier = file["X"].astype(np.float64), file["y"] == 1
    X = X[:, X.std(0) > 0]
    Z = ((X - X.mean(0)) / X.std(0)).clip(-5, 5)
    code = KMeans(12, n_init=2, random_state=0).fit(Z[~outlier]).predict(Z)
    for i in range(12):
        own = code == i
        if (own & ~outlier).sum() >= 40 and (own & outlier).sum() >= 5:
            yield Task(f"{i}", X[own], np.where(outlier[own], -1, 1))


def characters(path, n):
    """Return n characters to train on and 40 others, 14 x 14 pixels each."""
    X, ids, order = drawings(path)
    X = averaged(X, 14)
    for part in (order[:n], order[n : n + 40]):
        own = np.isin(ids, part)
        yield list(TaskCollection.from_classes(X[own], ids[own]))


def series(folder):
    """Return a task of windows of 16 steps for each series that has anomalies."""
    values, labels = {}, {}
    for path in sorted(folder.glob("*/*.npz")):
        with np.load(path, allow_pickle=False) as file:
            value = file["value"][-4000:].astype(np.float64)
            label = file["label"][-4000:]
        if label.any():
            values[path.stem] = (value - value.mean()) / (value.std() + 1e-9)
            labels[path.stem] = np.where(label == 1, -1, 1)
    return TaskCollection.from_windows(values, 16, 3, labels=labels, rule="last")


def fleets(data):
    """Yield names and pairs of lists of tasks, to train on and to test on."""
    for path in sorted((data / "adbench").glob("*.npz")):
        tasks = list(clusters(path))
        if len(tasks) >= 6:
            yield path.stem, [(tasks[::2], tasks[1::2]), (tasks[1::2], tasks[::2])]
    for n in (8, 40, 200):
        parts = tuple(characters(data / "omniglot" / "background.npz", n))
        yield f"omniglot, {n} characters", [parts]
    tasks = list(series(data / "nab"))
    yield "nab", [(tasks[::2], tasks[1::2]), (tasks[1::2], tasks[::2])]
    rest = [task for i, task in enumerate(tasks) if i % 4]
    yield "nab, 8 series", [(tasks[::4][:8], rest)]
    for n in (6, 20):
        tasks = list(make_fleet(n_tasks=n + 20, n_rows=200, random_state=5))
        yield f"made, {n} machines", [(tasks[:n], tasks[n:])]


def scaled(tasks, scaler):
    return [Task(task.id, scaler.transform(task.X), task.y) for task in tasks]


def network(negatives):
    # Only ranks are compared.
    return RelationNetworkDetector(
        negatives=negatives, n_calibration_networks=0, random_state=0
    )


def auroc(detector, splits, labelled):
    warnings.simplefilter("ignore")
    found = []
    for train, test in splits:
        if not labelled:
            train = [Task(task.id, task.X[task.y == 1]) for task in train]
        if isinstance(detector, PyODDetector):  # it learns nothing of the fleet itself
            rows = np.concatenate([task.X for task in train])
            scaler = StandardScaler().fit(rows)
            train, test = scaled(train, scaler), scaled(test, scaler)
        detector.fit(TaskCollection(train))
        for k in (1, 10):
            scores = few_shot_scores(
                detector, TaskCollection(test), n_support=k, random_state=0
            )
            found += scores.values()
    return np.mean(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    parser.add_argument("--n-jobs", type=int, default=-1)
    options = parser.parse_args()
    kinds = [(kind, True) for kind in LABELLED] + [(kind, False) for kind in UNLABELLED]
    heads = [kind if labelled else f"({kind})" for kind, labelled in kinds]
    methods = [(network(kind), labelled) for kind, labelled in kinds]
    methods.append((PyODDetector(Nearest()), False))
    heads.append("nearest row")
    print("In brackets: without labels.")
    print(f"{'':32}" + "".join(f"{head:>14}" for head in heads))
    rows = []
    with Parallel(n_jobs=options.n_jobs) as parallel:
        for name, splits in fleets(Path(options.data)):
            line = parallel(
                delayed(auroc)(method, splits, labelled) for method, labelled in methods
            )
            show(name, line)
            rows.append(line)
    show("mean", np.mean(rows, axis=0))
    gain = np.subtract(rows, np.array(rows)[:, [0] * 4 + [4] * 4])
    show("most gained, beside the first", gain.max(axis=0))
    show("most lost", gain.min(axis=0))


def show(name, cells):
    print(f"{name:32}" + "".join(f"{cell:>14.3f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
