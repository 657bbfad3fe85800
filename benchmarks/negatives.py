"""Where the outliers of meta-training come from: AUROC by `negatives`.

Runs `python -m skmetaad compare` once per collection and kind of negatives, at 1 and 10
support rows. With "synthetic", MetaGANDetector takes "generated": it sees normal rows
alone, as do the others but for what is made of these rows at random.

    python benchmarks/negatives.py --data DIRECTORY
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from pathlib import Path

COLLECTIONS = ("digits", "asd", "smd", "telemetry")
KINDS = ("labels", "mixed", "synthetic", "other_tasks")
SHOTS = ("1", "10")
NAMES = (
    "MetaPrototype,MatchingNetwork,Siamese,RelationNetwork,GraphNetwork,MetaSVDD,"
    "DeepClustering,MetaGAN,MAMLAutoencoder,MAMLClassifier,KNN-nearest"
)


def compared(folder, collection, kind, n_jobs):
    """Return mean AUROC by detector and shots."""
    tasks = collection if collection == "digits" else str(folder / collection)
    gan = "generated" if kind == "synthetic" else kind
    with tempfile.TemporaryDirectory() as scratch:
        summary = Path(scratch) / "summary.csv"
        command = [sys.executable, "-m", "skmetaad", "compare", "--quiet"]
        command += ["--tasks", tasks, "--detectors", NAMES, "--shots", ",".join(SHOTS)]
        command += ["--seeds", "1", "--n-jobs", str(n_jobs), "--summary", str(summary)]
        for setting in (
            f"negatives={kind}",
            f"MetaGAN.negatives={gan}",
            "n_calibration_networks=0",  # only ranks are compared
        ):
            command += ["--set", setting]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with summary.open() as file:
            rows = list(csv.DictReader(file))
    return {(row["method"], row["shots"]): row["auroc"] for row in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=os.environ.get("SKMETAAD_DATA", "."))
    parser.add_argument("--n-jobs", type=int, default=-1)
    options = parser.parse_args()
    folder = Path(options.data)
    heads = [f"{kind} at K = {k}" for k in SHOTS for kind in KINDS]
    print(f"{'':<40}" + "".join(f"{head:>22}" for head in heads))
    for collection in COLLECTIONS:
        found = {
            kind: compared(folder, collection, kind, options.n_jobs) for kind in KINDS
        }
        for detector in dict.fromkeys(name for name, _ in found[KINDS[0]]):
            cells = [float(found[kind][detector, k]) for k in SHOTS for kind in KINDS]
            line = "".join(f"{cell:>22.3f}" for cell in cells)
            print(f"{collection:<16}{detector:<24}{line}", flush=True)


if __name__ == "__main__":
    main()
