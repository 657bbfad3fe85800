"""Measure the peak memory of an outer step of MAML, with what is there to save it.

16 tasks, 20 support and 32 query rows; second-order MAML on a dense autoencoder of rows
of 40 features, and on a convolutional one of 28 x 28 pictures. Each cell is by how much
one outer step raises the peak of memory of a process of its own (Linux).

    python benchmarks/maml_memory.py
"""

import argparse
import subprocess
import sys

import torch

from skmetaad.core.autoencoder import MAMLAutoencoder
from skmetaad.core.codecs import ConvCodec, DenseCodec
from skmetaad.core.train import Batch

CODECS = {
    "dense": DenseCodec((40, 64, 16, 64, 40)),
    "conv": ConvCodec((1, 28, 28), (16, 32), 64),
}
ROWS = (("dense", 16), ("dense", 100), ("conv", 9), ("conv", 36))
WAYS = ("neither", "checkpoint_inner", "max_tasks_at_once=4")
N_TASKS, N_SUPPORT, N_QUERY = 16, 20, 32


def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))


def step(network, n_steps, way):
    codec = CODECS[network]
    core = MAMLAutoencoder(
        codec,
        inner_steps=n_steps,
        inner_rate=1e-3,
        checkpoint_inner=way == "checkpoint_inner",
    )
    g = torch.Generator().manual_seed(0)
    params = {k: v.requires_grad_() for k, v in core.init(g).items()}
    fixed = dict.fromkeys(("within", "between"), torch.ones(codec.n_features))
    n_tasks = 4 if way.endswith("=4") else N_TASKS
    for _ in range(N_TASKS // n_tasks):
        support = torch.randn(n_tasks, N_SUPPORT, codec.n_features, generator=g)
        query = torch.randn(n_tasks, N_QUERY, codec.n_features, generator=g)
        inliers = [
            torch.ones(rows.shape[:2], dtype=torch.int8) for rows in (support, query)
        ]
        core.loss(
            fixed | params, Batch(support, inliers[0], query, inliers[1])
        ).backward()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cell", nargs=3, help=argparse.SUPPRESS)
    option = parser.parse_args()
    torch.set_num_threads(1)
    if option.cell:
        network, n_steps, way = option.cell
        step(network, 1, way)  # what the first call imports is not counted
        before = peak()
        step(network, int(n_steps), way)
        print((peak() - before) / 1024)
        return
    print("MB by which the peak rises".ljust(28), *(way.rjust(20) for way in WAYS))
    for network, n_steps in ROWS:
        cells = [
            subprocess.run(
                [sys.executable, __file__, "--cell", network, str(n_steps), way],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
            for way in WAYS
        ]
        name = f"{network}, {n_steps} steps"
        print(name.ljust(28), *(f"{float(cell):.0f}".rjust(20) for cell in cells))


if __name__ == "__main__":
    main()
