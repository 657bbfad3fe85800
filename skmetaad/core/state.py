"""The two crossings between numpy and torch, and seeded generators."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def to_tensors(
    arrays: dict[str, np.ndarray], dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Turn arrays into tensors; floating ones take `dtype`, masks stay boolean."""
    return {name: to_tensor(value, dtype) for name, value in arrays.items()}


def to_tensor(array: np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Turn one array into a tensor, without a copy where it can be avoided."""
    # Memory-mapped and read-only arrays are legal input, torch wants writable ones.
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = np.array(array, order="C")
    tensor = torch.from_numpy(array)
    if tensor.dtype is dtype or not tensor.is_floating_point():
        return tensor
    return tensor.to(dtype)


def to_numpy(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Turn tensors into arrays of their own memory."""
    return {
        name: value.detach().cpu().numpy().copy() for name, value in tensors.items()
    }


@contextmanager
def own_modes() -> Iterator[None]:
    """Leave aside in which of torch's modes the caller is: callers deal in numpy."""
    with (
        torch.inference_mode(False),
        torch.enable_grad(),
        torch.autocast("cpu", enabled=False),
    ):
        yield


def generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded from a numpy one; no global RNG moves."""
    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))


def finite(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return whether all values of each task are finite, (T,)."""
    each = [v.isfinite().reshape(len(v), -1).all(dim=1) for v in state.values()]
    return torch.stack(each).all(dim=0)
