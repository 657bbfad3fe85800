"""Changes to the episodes of meta-training; scoring never sees them."""

import torch
from torch import Tensor

from skmetaad.core.train import Batch

NOISE, DROPOUT = 0.1, 0.1


def rotate(
    batch: Batch, image_shape: tuple[int, int, int], generator: torch.Generator
) -> Batch:
    """Turn all pictures of an episode by the same random multiple of 90 degrees."""
    turns = torch.randint(4, (len(batch.support),), generator=generator)

    def turned(x: Tensor) -> Tensor:
        pictures = x.reshape(*x.shape[:2], *image_shape)
        by = [pictures.rot90(k, dims=(3, 4)).flatten(2) for k in range(4)]
        return torch.stack(by)[turns, torch.arange(len(x))]

    return batch._replace(support=turned(batch.support), query=turned(batch.query))


def add_noise(batch: Batch, generator: torch.Generator) -> Batch:
    """Add noise to all rows, and drop the same features from all rows of an episode.

    Rows are in units of a feature's standard deviation over the fleet. A dropped
    feature is zero, the fleet's mean, in support and query.
    """
    shape = (len(batch.support), 1, batch.support.shape[2])
    kept = (torch.rand(shape, generator=generator) >= DROPOUT).to(batch.support.dtype)

    def changed(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return (x + NOISE * noise) * kept

    return batch._replace(support=changed(batch.support), query=changed(batch.query))
