"""Train the weights of UniversalDetector on generated tables, pictures, real tables.

With `--pictures`, Omniglot's background part, these are the default weights.
"""

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from pictures import picture_tables
from tables import load, seen

from skmetaad import Task, TaskCollection, UniversalDetector
from skmetaad.datasets import make_tables


def real_tables(data, *, validation):
    """Return tasks of the sets that may be trained on."""
    tasks = []
    for collection in ("oddbench", "ovrbench"):
        for name in seen(data, collection, validation=validation):
            train, test, y = load(data, collection, name)
            labels = np.r_[np.ones(len(train), int), np.where(y == 1, -1, 1)]
            tasks.append(Task(name, np.concatenate([train, test]), labels))
    return tasks


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder with oddbench/ and ovrbench/")
    parser.add_argument("--validation", action="store_true", help="train on these too")
    parser.add_argument("--pictures", help="file of Omniglot's background part")
    parser.add_argument("--n-generated", type=int, default=600)
    parser.add_argument("--n-pictures", type=int, default=200)
    parser.add_argument("--n-draws", type=int, default=8)
    parser.add_argument("--n-iter", type=int, default=1500)
    parser.add_argument("--n-members", type=int, default=5)
    parser.add_argument("--out", default="universal.npz")
    args = parser.parse_args()
    tasks = list(make_tables(args.n_generated, n_features=(3, 40), random_state=0))
    if args.pictures:
        tasks += picture_tables(args.pictures, args.n_pictures)
    if args.data:
        tasks += real_tables(args.data, validation=args.validation)
    start = time.perf_counter()
    trained = UniversalDetector(random_state=0).meta_fit(
        TaskCollection(tasks),
        n_iter=args.n_iter,
        n_draws=args.n_draws,
        n_members=args.n_members,
    )
    trained.save_weights(args.out)
    print(f"{len(tasks)} tables, {time.perf_counter() - start:.0f} s: {args.out}")


if __name__ == "__main__":
    main()
