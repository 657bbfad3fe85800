"""A meta-batch in pieces, so that what gradients need of it fits in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from skmetaad.core.train import Batch


def in_pieces(batches: list[Batch], size: int) -> Iterator[tuple[float, list[Batch]]]:
    """Yield batches of `size` episodes at most, and their share of all.

    Episodes of a batch have as many inliers each, so that means of pieces weighted by
    their shares are those of the whole.
    """
    n_tasks = len(batches[0].support)
    for start in range(0, n_tasks, size):
        here = slice(start, start + size)
        piece = [
            Batch(*[v[here] if isinstance(v, Tensor) else v for v in batch])
            for batch in batches
        ]
        yield len(piece[0].support) / n_tasks, piece


@dataclass
class Kept:
    """Bytes of what autograd keeps for the way back."""

    total: int = 0


@contextmanager
def kept_bytes() -> Iterator[Kept]:
    """Count the memory that is kept for gradients of what is computed inside."""
    kept, seen = Kept(), set()

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        # What is kept stays, so that no two storages share an address.
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            kept.total += storage.nbytes()
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        yield kept
