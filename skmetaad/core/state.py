"""The two crossings between numpy and torch, where torch computes, and generators."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

CPU = torch.device("cpu")
DRAWING = (torch.rand, torch.randn, torch.randint, torch.randperm)
# What makes numbers of the default dtype, and what does so of Python's floats only.
SINGLE = (torch.rand, torch.randn, torch.zeros, torch.ones, torch.empty, torch.eye)
INFERRED = (torch.tensor, torch.full)


def to_tensors(
    arrays: dict[str, np.ndarray], dtype: torch.dtype = torch.float64
) -> dict[str, Tensor]:
    """Turn arrays into tensors; floating ones take `dtype`, masks stay boolean."""
    return {name: to_tensor(value, dtype) for name, value in arrays.items()}


def to_tensor(array: np.ndarray, dtype: torch.dtype = torch.float64) -> Tensor:
    """Turn one array into a tensor on the device in use, without a copy if possible."""
    # Memory-mapped and read-only arrays are legal input, torch wants writable ones.
    if not array.flags.c_contiguous or not array.flags.writeable:
        array = np.array(array, order="C")
    tensor = torch.as_tensor(array)
    if tensor.dtype is dtype or not tensor.is_floating_point():
        return tensor
    return tensor.to(dtype)


def to_numpy(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """Turn tensors into arrays of their own memory."""
    return {
        name: value.detach().cpu().numpy().copy() for name, value in tensors.items()
    }


def as_device(device: str | torch.device) -> torch.device:
    """Return a device that torch can compute on, in double precision too."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
        if found != CPU:
            tried = torch.zeros(1, dtype=torch.float64, device=found)
            tried.cpu()
            found = tried.device
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        raise ValueError(
            f"device={device!r} cannot be used here: expected 'cpu', 'auto', or a "
            "device of this torch and machine that has double precision, such as "
            "'cuda'."
        ) from error
    return found


class _AsOnCPU(TorchFunctionMode):
    """Makes tensors in single precision and draws our numbers where generators are.

    So the same seed gives the same numbers on all devices, and whatever the default
    dtype is. What a user's module draws has no generator.
    """

    def __init__(self, device: torch.device):
        super().__init__()
        self.device = device

    def __torch_function__(self, func, types, args=(), kwargs=None):
        options = dict(kwargs or {})
        given = options.get("dtype")
        drawn = func in DRAWING and options.get("generator") is not None
        if given is None and func in SINGLE:
            options["dtype"] = torch.float32
        if drawn:
            options["device"] = CPU
        made = func(*args, **options)
        if given is None and func in INFERRED and made.is_floating_point():
            made = made.float()
        return made.to(self.device) if drawn else made


@contextmanager
def computing_on(device: torch.device = CPU) -> Iterator[None]:
    """Make and compute tensors on a device, whatever torch's modes around are."""
    with ExitStack() as modes:
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        modes.enter_context(torch.autocast(device.type, enabled=False))
        # torch.get_default_device raises in torch 2.4 to 2.7 after one was taken back.
        elsewhere = torch.empty(0).device != device
        if elsewhere:
            modes.enter_context(device)
        if elsewhere or torch.get_default_dtype() != torch.float32:
            modes.enter_context(_AsOnCPU(device))
        yield


def generator(rng: np.random.Generator) -> torch.Generator:
    """Return a torch generator seeded from a numpy one; no global RNG moves."""
    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))


def finite(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return whether all values of each task are finite, (T,)."""
    each = [v.isfinite().reshape(len(v), -1).all(dim=1) for v in state.values()]
    return torch.stack(each).all(dim=0)
