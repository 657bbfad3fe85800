"""What the parts of UniversalDetector's network and training bring, on validation sets.

Every line trains one network on draws of the training sets and ranks the one-class task
of sets that are neither trained on nor reported elsewhere; the last lines rank unseen
characters of Omniglot's background part, beside ten drawings of one.
"""

import argparse
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from choose_negatives import characters
from pictures import picture_tables
from sklearn.metrics import roc_auc_score
from tables import case, load, seen
from train_universal import real_tables

from skmetaad.core import explain, ranking, scorer
from skmetaad.core.draws import Draw, tensors
from skmetaad.datasets import make_tables


def seen_draws(tasks, n_draws, rng):
    """Return what the network sees of draws from tasks."""
    tables = [(task.X[task.y != -1], task.X[task.y == -1]) for task in tasks]
    return ranking.observed_draws(tables, n_draws, rng)


def beside(support, query, outlier):
    """Return what the network sees of a query beside inliers."""
    y = np.ones(len(support), np.int8)
    return ranking.observed(*tensors(Draw(support, y, query, outlier)))


def validation(data):
    """Return what the network sees of each validation set's one-class task."""
    found = []
    for collection in ("oddbench", "ovrbench"):
        kept = set(seen(data, collection, validation=False))
        for name in seen(data, collection):
            if name not in kept:
                one = case(*load(data, collection, name), "one-class")
                found.append(beside(one.train, one.test, one.y == 1))
    return found


def drawn(path, n_support=10):
    """Return what the network sees of characters, each beside some of its drawings."""
    rng, found = np.random.default_rng(0), []
    _, tasks = characters(path, 10)
    for task in tasks:
        own = rng.permutation(task.X[task.y == 1])
        others = task.X[rng.permutation(np.flatnonzero(task.y == -1))[:80]]
        support, query = own[:n_support], np.concatenate([own[n_support:], others])
        outlier = np.arange(len(query)) >= len(own) - n_support
        found.append(beside(support, query, outlier))
    return found


def without(found, group):
    """Return what is seen with one group of evidence made typical."""
    for one in found:
        yield ranking.Seen(explain.without(one.inputs, group), one.outlier)


@torch.no_grad()
def auroc(weights, held_out, judge=scorer.anomaly):
    """Return the mean AUROC over held-out tasks."""
    scores = []
    for one in held_out:
        parts = (part[None] for part in vars(one.inputs).values())
        parts = (p.float() if p.is_floating_point() else p for p in parts)
        score = judge(weights, scorer.Inputs(*parts))[0]
        scores.append(roc_auc_score(one.outlier, score))
    return np.mean(scores)


def nearest(held_out, place=ranking.FIVE_NEAREST):
    """Return the mean AUROC of the distance to the five nearest rows, or to one."""
    return np.mean(
        [roc_auc_score(one.outlier, one.inputs.rows[:, place]) for one in held_out]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--n-draws", type=int, default=8)
    parser.add_argument("--n-iter", type=int, default=600)
    args = parser.parse_args()
    print("$ python benchmarks/ablate_universal.py", *sys.argv[1:])
    rng = np.random.default_rng(0)
    held_out = validation(args.data)
    real = seen_draws(real_tables(args.data, validation=False), args.n_draws, rng)
    generated = make_tables(100, n_features=(3, 40), random_state=0)
    generated = seen_draws(generated, args.n_draws, rng)
    both = real + generated

    def show(name, weights, test=held_out):
        print(f"{name:34}{auroc(weights, test):7.4f}", flush=True)

    def line(name, train, test=held_out, **options):
        weights = ranking.train(train, seed=0, n_iter=args.n_iter, **options)
        show(name, weights, test)
        return weights

    print(f"{len(real)} draws of real tables, {len(generated)} of generated ones")
    print(f"mean AUROC on {len(held_out)} validation sets, one-class")
    print(f"{'distance to five neighbours':34}{nearest(held_out):7.4f}")
    start = scorer.init(torch.Generator())
    bare = auroc(start, held_out, scorer.backbone)
    print(f"{'means of evidence, nothing trained':34}{bare:7.4f}")
    whole = line("all", both)
    for shrink in (0.0, 1.0):
        line(f"shrink={shrink} instead of 0.3", both, shrink=shrink)
    line("real tables only", real)
    line("generated tables only", generated)
    for part in (2, 4):
        line(f"1/{part} of the real tables", real[: len(real) // part])
    for group in scorer.GROUPS:
        if group != "labels":
            kept = list(without(both, group)), list(without(held_out, group))
            line(f"without {group}", *kept)
    for width in (16, 128):
        line(f"{width} hidden units instead of 32", both, width=width)

    path = Path(args.data) / "omniglot" / "background.npz"
    test = drawn(path)
    pictures = seen_draws(picture_tables(path, 40), args.n_draws, rng)
    with_pictures = f"all and {len(pictures)} draws of pictures"
    more = line(with_pictures, both + pictures)
    print(f"mean AUROC on {len(test)} characters, ten rows each")
    print(f"{'distance to the nearest row':34}{nearest(test, 0):7.4f}")
    show("all", whole, test)
    show(with_pictures, more, test)


if __name__ == "__main__":
    main()
