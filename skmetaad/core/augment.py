"""Changes to the episodes of meta-training; scoring never sees them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from skmetaad.core.train import Batch

NOISE, DROPOUT = 0.1, 0.1
# Largest turn (radians), change of scale, shear, and shift (share of half a side).
TURN, SCALE, SHEAR, SHIFT = 0.2, 0.12, 0.15, 0.12


def in_units(batch: Batch, scale: Tensor, shift: Tensor) -> Batch:
    """Return the batch with all rows times scale, plus shift."""
    return batch._replace(
        support=batch.support * scale + shift, query=batch.query * scale + shift
    )


def rotate(
    batch: Batch,
    image_shape: tuple[int, int, int],
    generator: torch.Generator,
    mirror: bool = False,
) -> Batch:
    """Turn all pictures of an episode by the same random multiple of 90 degrees.

    With `mirror`, every second episode's are mirror images besides.
    """
    kinds = 8 if mirror else 4
    kind = torch.randint(kinds, (len(batch.support),), generator=generator)

    def turned(x: Tensor) -> Tensor:
        pictures = x.reshape(*x.shape[:2], *image_shape)
        found = torch.empty_like(pictures)
        for k in range(kinds):
            own = kind == k
            picture = pictures[own].rot90(k % 4, dims=(3, 4))
            found[own] = picture.flip(4) if k > 3 else picture
        return found.flatten(2)

    return batch._replace(support=turned(batch.support), query=turned(batch.query))


def distort(
    batch: Batch, image_shape: tuple[int, int, int], generator: torch.Generator
) -> Batch:
    """Distort each picture by a small random affine map of its own."""

    def distorted(x: Tensor) -> Tensor:
        pictures = x.reshape(-1, *image_shape)
        u = 2 * torch.rand(6, len(pictures), generator=generator) - 1
        turn, wide, high = TURN * u[0], 1 + SCALE * u[1], 1 + SCALE * u[2]
        rows = [wide * turn.cos(), SHEAR * u[3] - turn.sin(), SHIFT * u[4]]
        rows += [turn.sin(), high * turn.cos(), SHIFT * u[5]]
        maps = torch.stack(rows, dim=1).reshape(-1, 2, 3).to(x.dtype)
        grid = F.affine_grid(maps, pictures.shape, align_corners=False)
        found = F.grid_sample(
            pictures, grid, padding_mode="border", align_corners=False
        )
        return found.reshape(x.shape)

    return batch._replace(
        support=distorted(batch.support), query=distorted(batch.query)
    )


def add_noise(batch: Batch, generator: torch.Generator, spread: Tensor) -> Batch:
    """Add noise to all rows, and drop the same features from all rows of an episode.

    `spread` (d,) is each feature's standard deviation inside tasks. A dropped feature
    is zero, the fleet's mean, in support and query.
    """
    shape = (len(batch.support), 1, batch.support.shape[2])
    kept = (torch.rand(shape, generator=generator) >= DROPOUT).to(batch.support.dtype)

    def changed(x: Tensor) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        return (x + NOISE * spread * noise) * kept

    return batch._replace(support=changed(batch.support), query=changed(batch.query))


def adversarial(
    loss_of: Callable[[Batch], Tensor], batch: Batch, step: Tensor
) -> Batch:
    r"""Move all rows to where the loss is larger: :math:`x + step \, sign(\nabla_x L)`.

    `step` is one number per feature.
    """
    support = batch.support.clone().requires_grad_()
    query = batch.query.clone().requires_grad_()
    loss = loss_of(batch._replace(support=support, query=query))
    up, across = torch.autograd.grad(loss, (support, query), allow_unused=True)
    if up is None:  # a support that reaches the loss through constants only
        up = torch.zeros_like(support)
    return batch._replace(
        support=batch.support + step * up.sign(),
        query=batch.query + step * across.sign(),
    )
