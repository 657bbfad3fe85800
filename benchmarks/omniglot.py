"""One-class recognition of hand-written characters: Omniglot, K drawings are normal.

Meta-trains on 26 alphabets of Omniglot's background part, sets thresholds on the other
four, and tests on characters of its evaluation part: K drawings of a character are the
support, ten others of it and ten of other characters the query. Outliers come from all
other characters of the part, or only from the same alphabet ("hard"). Prints AUROC and
class-balanced accuracy at the detector's own threshold, beside those of the nearest
neighbour on the pixels. With --center all drawings are shifted to their middle first.

    python benchmarks/omniglot.py --center --data DIRECTORY

PyOD's detectors, fitted on the pixels of the same supports:

    python benchmarks/omniglot.py --pyod --data DIRECTORY

One-class MAML, whose inner loop sees the K drawings alone:

    python benchmarks/omniglot.py --detector MAMLClassifierDetector --data DIRECTORY
"""

import argparse
import os
import time
import warnings
from ast import literal_eval
from importlib import import_module
from pathlib import Path

import joblib
import numpy as np
from sklearn.metrics import roc_auc_score

from skmetaad import CenterPictures, TaskCollection
from skmetaad.utils import all_detectors

SHOTS = (1, 2, 5, 10)
N_QUERY = 10
KNN = "KNN (nearest)"
PYOD = {
    KNN: ("knn", "KNN", {"n_neighbors": 1}),
    "LOF": ("lof", "LOF", {}),
    "IForest": ("iforest", "IForest", {"random_state": 0}),
    "ECOD": ("ecod", "ECOD", {}),
    "OCSVM": ("ocsvm", "OCSVM", {}),
    "KDE": ("kde", "KDE", {}),
    "COPOD": ("copod", "COPOD", {}),
    "PCA": ("pca", "PCA", {}),
    "HBOS": ("hbos", "HBOS", {}),
    "INNE": ("inne", "INNE", {"random_state": 0}),
    "GMM": ("gmm", "GMM", {"random_state": 0}),
}
# These need two rows.
NOT_OF_ONE = ("PCA", "INNE", "GMM")


class Part:
    """Characters: pictures (n_characters, 20, 784) in [0, 1], and their alphabets."""

    def __init__(self, X, character, alphabet, center=False):
        self.ids, first = np.unique(character, return_index=True)
        X = X.reshape(len(X), -1).astype(np.float32) / 255
        if center:
            X = CenterPictures().fit_transform(X)
        self.X = np.stack([X[character == i] for i in self.ids])
        self.alphabet = alphabet[first]

    def tasks(self):
        n, each, width = self.X.shape
        return TaskCollection.from_arrays(
            self.X.reshape(-1, width), task=np.repeat(self.ids, each)
        )

    def episodes(self, n_support, n_tasks, *, hard, seed=0):
        """Return supports (T, K, 784) and queries (T, 20, 784), inliers first."""
        rng = np.random.default_rng([seed, n_support, hard])
        n, each = self.X.shape[:2]
        own = rng.integers(n, size=n_tasks)
        order = np.argsort(rng.random((n_tasks, each)), axis=1)
        key = rng.random((n_tasks, n))
        key[np.arange(n_tasks), own] = 2
        if hard:
            key[self.alphabet[own][:, None] != self.alphabet] = 2
        others = np.argsort(key, axis=1)[:, :N_QUERY]
        drawn = rng.integers(each, size=others.shape)
        inliers = self.X[own[:, None], order[:, n_support : n_support + N_QUERY]]
        query = np.concatenate([inliers, self.X[others, drawn]], axis=1)
        return self.X[own[:, None], order[:, :n_support]], query


def load(folder, seed=0, n_held_out=4, *, center=False):
    """Return the parts to train on, to set thresholds on, and to test on."""
    names = ("X", "class_id", "alphabet")
    with np.load(Path(folder) / "background.npz", allow_pickle=False) as file:
        background = [file[name] for name in names]
    with np.load(Path(folder) / "test.npz", allow_pickle=False) as file:
        test = Part(*[file[name] for name in names], center)
    alphabets = np.random.default_rng(seed).permutation(np.unique(background[2]))
    held_out = np.isin(background[2], alphabets[:n_held_out])
    train = Part(*[value[~held_out] for value in background], center)
    return train, Part(*[value[held_out] for value in background], center), test


def first(n_tasks, part, n_support, *, hard):
    """Return supports and queries of the first of 2,000 tasks, or of more."""
    drawn = part.episodes(n_support, max(n_tasks, 2000), hard=hard)
    return [rows[:n_tasks] for rows in drawn]


def decisions(detector, support, query):
    """Return the decision function (T, 20), all tasks adapted in one call."""
    n, k, width = support.shape
    ids = np.arange(n)
    adapted = detector.adapt(support.reshape(-1, width), task=np.repeat(ids, k))
    rows, task = query.reshape(-1, width), np.repeat(ids, query.shape[1])
    return adapted.decision_function(rows, task=task).reshape(n, -1)


def measures(decision):
    """Return AUROC and class-balanced accuracy of each task."""
    y = np.repeat([1, 0], N_QUERY)
    auroc = np.array([roc_auc_score(y, row) for row in decision])
    right = (decision >= 0) == y
    return auroc, right.mean(axis=1)


def pyod_decisions(name, support, queries):
    """Return minus PyOD's scores, less its threshold, of the queries (T, 20)."""
    module, cls, params = PYOD[name]
    cls = getattr(import_module(f"pyod.models.{module}"), cls)

    def one(rows, query):
        # In single precision a mixture's covariance is not positive definite.
        rows, query = np.asarray(rows, np.float64), np.asarray(query, np.float64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = cls(**params)
            if name == "LOF":
                model.set_params(n_neighbors=max(1, len(rows) - 1))
            if name == "PCA":  # rows around their mean span no more directions
                model.set_params(n_components=len(rows) - 1)
            # PyOD scores a row without itself: one row alone has no neighbour.
            model.fit(np.repeat(rows, 2, axis=0) if len(rows) == 1 else rows)
            return model.threshold_ - model.decision_function(query)

    run = joblib.Parallel(n_jobs=-1)
    pairs = zip(support, queries, strict=True)
    return np.array(run(joblib.delayed(one)(*pair) for pair in pairs))


def line(values):
    mean, half = 100 * values.mean(), 196 * values.std() / len(values) ** 0.5
    return f"{mean:7.2f} +- {half:.2f}"


def show(k, name, easy, hard):
    cells = [line(value) for pair in (easy, hard) for value in measures(pair)]
    print(f"{k:>3}  {name:<28}{'  '.join(cells)}", flush=True)


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    folder = Path(os.environ.get("SKMETAAD_DATA", ".")) / "omniglot"
    parser.add_argument("--data", default=folder, help="holds background.npz, test.npz")
    parser.add_argument("--detector", default="MetaPrototypeDetector")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the detector, as inner_steps=3 algorithm=anil",
    )
    parser.add_argument("--n-iter", type=int, default=10_000)
    parser.add_argument("--n-tasks", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--center", action="store_true", help="shift all drawings")
    parser.add_argument("--pyod", action="store_true", help="PyOD's detectors instead")
    return parser.parse_args()


def parameters(option, cls):
    """Return the settings of a detector: those of all, its own, and the user's."""
    names = cls().get_params()
    found = {
        "encoder": "conv4",
        "image_shape": (28, 28),
        "n_channels": (64, 128, 256, 512),
        "standardize": False,
        "augment": "distort",
        "negatives": "batch",
        "n_support": (1, 5),
        "n_query": 10,
        "meta_batch_size": 64,
        "n_iter": option.n_iter,
        "learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "early_stopping": True,
        "validation_fraction": 0.05,
        "n_iter_no_change": option.n_iter,
        "random_state": option.seed,
    }
    if "n_networks" in names:
        found |= {"n_networks": 1, "n_cohort": 1000}
    if "inner_steps" in names:
        found |= {"algorithm": "anil", "inner_steps": 5}
    else:
        found |= {"average_shifts": True, "mixed_precision": True}
    for pair in option.set:
        name, _, value = pair.partition("=")
        try:
            found[name] = literal_eval(value)
        except (SyntaxError, ValueError):
            found[name] = value
    return found


def fitted(option, tasks):
    cls = dict(all_detectors())[option.detector]
    detector = cls(**parameters(option, cls))
    start = time.perf_counter()
    detector.fit(tasks)
    print(f"{detector}\nmeta-trained in {(time.perf_counter() - start) / 60:.1f} min")
    return detector


def main():
    option = options()
    train, held_out, test = load(option.data, center=option.center)
    if not option.pyod:
        detector = fitted(option, train.tasks())
        detector = detector.calibrate(held_out.tasks(), balanced=True)
    print(f"{option.n_tasks} test tasks per line; 95 % intervals; percent")
    print(f"{'':33}{'AUROC':>15}  {'accuracy':>15}  {'AUROC':>15}  {'accuracy':>15}")
    print(f"{'K':>3}  {'':<28}{'any character':>15}{'':19}{'same alphabet':>15}")
    for k in SHOTS:
        support, easy = first(option.n_tasks, test, k, hard=False)
        hard_support, hard = first(option.n_tasks, test, k, hard=True)
        if not option.pyod:
            show(
                k,
                option.detector,
                decisions(detector, support, easy),
                decisions(detector, hard_support, hard),
            )
        for name in PYOD if option.pyod else [KNN]:
            if k == 1 and name in NOT_OF_ONE:
                continue
            found = pyod_decisions(name, support, easy)
            show(k, name, found, pyod_decisions(name, hard_support, hard))


if __name__ == "__main__":
    main()
