"""UniversalDetector beside PyOD and scikit-learn on unseen tables, on the same rows.

Finished cells stand in the CSV and are not run again.
"""

import argparse
import csv
import os
import sys
import time
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import rankdata, wilcoxon
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler
from tables import SETTINGS, case, load, unseen

from skmetaad import UniversalDetector

COLLECTIONS = ("adbench", "oddbench", "ovrbench")
OURS, BAR = "UniversalDetector", "KNN (k=5)"
FIELDS = ("collection", "name", "setting", "method", "auroc", "ap", "seconds")


def universal(case, weights="default"):
    """Score rows by UniversalDetector on raw columns, labels used where there are."""
    X = np.concatenate([case.train, case.outliers])
    y = np.r_[np.ones(len(case.train), int), -np.ones(len(case.outliers), int)]
    det = UniversalDetector(weights=weights)
    det.fit(X, y if len(case.outliers) else None)
    return -det.score_samples(case.test)


def scaled(case):
    """Return training and test rows, standardised by the training rows."""
    scaler = StandardScaler().fit(case.train)
    return [
        np.nan_to_num(scaler.transform(X), posinf=1e6, neginf=-1e6)
        for X in (case.train, case.test)
    ]


def with_pyod(make):
    """Return a method out of a maker of PyOD detectors, given n_rows."""

    def method(case):
        train, test = scaled(case)
        if len(train) == len(test) and np.array_equal(train, test):
            return make(len(train)).fit(train).decision_scores_
        return make(len(train)).fit(train).decision_function(test)

    return method


def with_sklearn(make):
    """Return a method out of a maker of scikit-learn detectors, given n_rows."""

    def method(case):
        train, test = scaled(case)
        det = make(len(train)).fit(train)
        if hasattr(det, "negative_outlier_factor_") and np.array_equal(train, test):
            return -det.negative_outlier_factor_
        return -det.score_samples(test)

    return method


def methods():
    """Return {name: function of a case}, ECOD and COPOD score the test together."""
    from pyod.models.copod import COPOD
    from pyod.models.ecod import ECOD
    from pyod.models.gmm import GMM
    from pyod.models.hbos import HBOS
    from pyod.models.iforest import IForest
    from pyod.models.inne import INNE
    from pyod.models.kde import KDE
    from pyod.models.knn import KNN
    from pyod.models.lof import LOF
    from pyod.models.ocsvm import OCSVM
    from pyod.models.pca import PCA

    found = {OURS: universal}
    for k in (1, 5, 10):
        found[f"KNN (k={k})"] = with_pyod(lambda n, k=k: KNN(n_neighbors=min(k, n - 1)))
    found["LOF"] = with_pyod(lambda n: LOF(n_neighbors=min(20, n - 1)))
    found["IForest"] = with_pyod(lambda n: IForest(random_state=0))
    found["INNE"] = with_pyod(lambda n: INNE(max_samples=min(8, n), random_state=0))
    for name, cls in (
        ("ECOD", ECOD),
        ("COPOD", COPOD),
        ("PCA", PCA),
        ("HBOS", HBOS),
        ("OCSVM", OCSVM),
        ("KDE", KDE),
        ("GMM", GMM),
    ):
        found[name] = with_pyod(lambda n, cls=cls: cls())
    found["sklearn IsolationForest"] = with_sklearn(
        lambda n: IsolationForest(random_state=0)
    )
    found["sklearn LocalOutlierFactor"] = with_sklearn(
        lambda n: LocalOutlierFactor(min(20, n - 1), novelty=True)
    )
    return found


def run(data, path, collections, settings, chosen):
    """Append a row per cell that the CSV does not hold yet."""
    done = {tuple(row[f] for f in FIELDS[:4]) for row in read(path)}
    start = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if start:
            writer.writerow(FIELDS)
        for collection in collections:
            for name in unseen(data, collection):
                table = load(data, collection, name)
                for setting in settings:
                    one = case(*table, setting)
                    for method, function in chosen.items():
                        if (collection, name, setting, method) in done:
                            continue
                        values = measured(function, one)
                        writer.writerow([collection, name, setting, method, *values])
                file.flush()


def measured(function, one):
    """Return AUROC, average precision and seconds; chance level where it fails."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = np.nan_to_num(function(one))
    except (ValueError, np.linalg.LinAlgError) as error:
        print(f"failed: {error}"[:150], file=sys.stderr)
        scores = np.zeros(len(one.y))
    seconds = time.perf_counter() - start
    return (
        round(roc_auc_score(one.y, scores), 5),
        round(average_precision_score(one.y, scores), 5),
        round(seconds, 4),
    )


def read(path):
    """Return the rows of the CSV as dicts."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def holm(p):
    """Return p values adjusted by Holm's method."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def table_of(rows, setting, collections, value):
    """Return the methods and an array of sets by methods, complete sets only."""
    cells = {}
    for row in rows:
        if row["setting"] == setting and row["collection"] in collections:
            key = row["collection"], row["name"]
            cells.setdefault(key, {})[row["method"]] = float(row[value])
    columns = sorted({m for found in cells.values() for m in found})
    whole = [found for found in cells.values() if len(found) == len(columns)]
    return columns, np.array([[found[m] for m in columns] for found in whole])


def report(rows):
    """Print a table per setting and collection, and one for all sets."""
    for setting in dict.fromkeys(row["setting"] for row in rows):
        for collections in (*((c,) for c in COLLECTIONS), COLLECTIONS):
            columns, auroc = table_of(rows, setting, collections, "auroc")
            if not len(auroc) or OURS not in columns:
                continue
            _, ap = table_of(rows, setting, collections, "ap")
            _, seconds = table_of(rows, setting, collections, "seconds")
            ours, bar = columns.index(OURS), columns.index(BAR)
            rank = rankdata(-auroc, axis=1).mean(0)
            others = [i for i in range(len(columns)) if i != ours]
            p = np.ones(len(columns))
            p[others] = holm(
                [wilcoxon(auroc[:, ours] - auroc[:, i]).pvalue for i in others]
            )
            print(f"\n{setting}, {' + '.join(collections)}: {len(auroc)} sets")
            print(
                f"{'method':28}{'AUROC':>7}{'AP':>7}{'rank':>6}{'wins':>6}"
                f"{'-5 pts':>7}{'Holm p':>9}{'s':>7}"
            )
            for i in np.argsort(-auroc.mean(0)):
                wins = (auroc[:, i] > auroc[:, bar]).mean()
                below = (auroc[:, i] < auroc[:, bar] - 0.05).mean()
                tested = f"{p[i]:9.1e}" if i != ours else f"{'':9}"
                print(
                    f"{columns[i]:28}{auroc[:, i].mean():7.3f}{ap[:, i].mean():7.3f}"
                    f"{rank[i]:6.2f}{wins:6.2f}{below:7.2f}{tested}"
                    f"{np.median(seconds[:, i]):7.2f}"
                )


def draw(rows, path):
    """Draw the critical-difference diagram of the one-class setting on all sets."""
    from skmetaad.inspection import CriticalDifferenceDisplay

    columns, auroc = table_of(rows, SETTINGS[0], COLLECTIONS, "auroc")
    scores = {name: auroc[:, i] for i, name in enumerate(columns)}
    display = CriticalDifferenceDisplay.from_predictions(scores)
    display.figure_.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--csv", type=Path, default=Path("universal.csv"))
    parser.add_argument("--collections", nargs="+", default=COLLECTIONS)
    parser.add_argument("--settings", nargs="+", default=SETTINGS)
    parser.add_argument("--methods", nargs="+", help="some methods only")
    parser.add_argument("--weights", default="default", help="of UniversalDetector")
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    chosen = methods() | {OURS: partial(universal, weights=args.weights)}
    if args.methods:
        chosen = {name: chosen[name] for name in args.methods}
    run(args.data, args.csv, args.collections, args.settings, chosen)
    rows = read(args.csv)
    print("$ python benchmarks/universal.py", *sys.argv[1:])
    report(rows)
    if args.picture:
        draw(rows, args.picture)


if __name__ == "__main__":
    main()
