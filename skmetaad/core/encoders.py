"""Encoders: shared networks that turn rows into embeddings.

An encoder is a frozen description with three methods. `init(generator)` draws the
parameters of one network. `apply(params, x)` takes the parameters of several networks,
each with a leading axis N, and rows x (T, R, d), and returns embeddings (N, T, R, e).
`per_task(params, x)` takes parameters of which each is shared, or has a leading task
axis (T, ...), and returns each task's embeddings of its own rows, (T, R, e). No encoder
uses statistics over rows: a row's embedding never depends on other rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn import functional as F

from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.nets import Params, each_task, init_mlp, mlp

# Pictures convolved at once: few enough to stay in cache.
AT_ONCE = 256
# Groups of channels that are normalised together, where they divide the channels.
N_GROUPS = 4
# Values that a group has at least: of fewer little is left once they are normalised.
FEWEST = 4


@dataclass(frozen=True)
class Dense:
    """Dense layers; all networks take one batched product per layer."""

    sizes: tuple[int, ...]
    activation: str = "relu"

    @property
    def width(self) -> int:
        return self.sizes[-1]

    def init(self, generator: torch.Generator) -> Params:
        return init_mlp(self.sizes, generator)

    def apply(self, params: Params, x: Tensor) -> Tensor:
        n_nets = len(params["bias0"])
        z = x.reshape(1, -1, x.shape[-1]).expand(n_nets, -1, -1)
        return self.per_task(params, z).reshape(n_nets, *x.shape[:2], -1)

    def per_task(self, params: Params, x: Tensor) -> Tensor:
        return mlp(params, x, len(self.sizes) - 1, activation=self.activation)


def most_blocks(image_shape: tuple[int, int, int]) -> int:
    """Return how often pictures can be halved."""
    return max(1, min(image_shape[1:]).bit_length() - 1)


@dataclass(frozen=True)
class Conv4:
    """Four blocks of 3x3 convolution with stride 2, normalisation and activation.

    The network of the few-shot literature (Vinyals et al. 2016), with strides in place
    of pooling as MAML has it for Omniglot: nine times as fast on a CPU. In place of
    batch normalisation, each picture's channels are normalised by that picture alone,
    in groups, which leaks nothing between rows. With `average_shifts`, embeddings are
    the mean over the picture and its copies shifted by one pixel. With
    `mixed_precision`, weights that all tasks share convolve in bfloat16.
    """

    image_shape: tuple[int, int, int]
    n_channels: int | tuple[int, ...] = 48
    activation: str = "relu"
    average_shifts: bool = False
    mixed_precision: bool = False

    @property
    def width(self) -> int:
        _, height, width = self.image_shape
        for _ in self.channels:
            height, width = (height + 1) // 2, (width + 1) // 2
        return self.channels[-1] * height * width

    @property
    def channels(self) -> tuple[int, ...]:
        """The channels of each block."""
        if isinstance(self.n_channels, tuple):
            return self.n_channels
        # Pictures smaller than 16 x 16 cannot be halved four times.
        return (self.n_channels,) * min(4, most_blocks(self.image_shape))

    def init(self, generator: torch.Generator) -> Params:
        params, n_in = {}, self.image_shape[0]
        for i, n_out in enumerate(self.channels):
            scale = (2.0 / (9 * n_in)) ** 0.5
            weight = torch.randn((n_out, n_in, 3, 3), generator=generator)
            params[f"weight{i}"] = weight * scale
            params[f"bias{i}"] = torch.zeros(n_out)
            params[f"gain{i}"] = torch.ones(n_out)
            n_in = n_out
        return params

    def apply(self, params: Params, x: Tensor) -> Tensor:
        if self.average_shifts:
            return self._averaged(Conv4.apply, params, x)
        n_nets = len(params["bias0"])
        nets = [
            self._one({name: value[i] for name, value in params.items()}, x)
            for i in range(n_nets)
        ]
        return torch.stack(nets)

    def per_task(self, params: Params, x: Tensor) -> Tensor:
        """Convolve all tasks at once, each a group of channels of its own."""
        if self.average_shifts:
            return self._averaged(Conv4.per_task, params, x)
        n_tasks, n_rows = x.shape[:2]
        if all(value.dim() in (1, 4) for value in params.values()):  # shared by tasks
            return self._one(params, x)
        act = ACTIVATIONS[self.activation]
        z = x.reshape(n_tasks, n_rows, *self.image_shape).transpose(0, 1).flatten(1, 2)
        for i in range(len(self.channels)):
            weight, gain, bias = (
                each_task(params[f"{name}{i}"], n_tasks, n_axes).flatten(0, 1)
                for name, n_axes in (("weight", 4), ("gain", 1), ("bias", 1))
            )
            z = F.conv2d(z, weight, padding=1, stride=2, groups=n_tasks)
            z = act(self._normed(z, gain, bias, n_tasks))
        return z.reshape(n_rows, n_tasks, -1).transpose(0, 1)

    def _averaged(self, embed: Callable, params: Params, x: Tensor) -> Tensor:
        plain = replace(self, average_shifts=False)
        return sum(embed(plain, params, y) for y in self._shifted(x)) / 5

    def _shifted(self, x: Tensor) -> list[Tensor]:
        """Return rows, and copies shifted to each side, where edges repeat."""
        height, width = self.image_shape[1:]
        pictures = x.reshape(-1, *self.image_shape)
        wide = F.pad(pictures, (1, 1, 1, 1), mode="replicate")
        return [
            wide[..., i : i + height, j : j + width].reshape(x.shape)
            for i, j in ((1, 1), (0, 1), (2, 1), (1, 0), (1, 2))
        ]

    def _normed(self, z: Tensor, gain: Tensor, bias: Tensor, n_nets: int = 1) -> Tensor:
        """Normalise groups of channels of pictures (R, n_nets * channels, h, w)."""
        n_channels = len(gain) // n_nets
        for n_groups in (N_GROUPS, 1):
            n_values = n_channels // n_groups * z.shape[2] * z.shape[3]
            if n_channels % n_groups == 0 and n_values >= FEWEST:
                return F.group_norm(z, n_nets * n_groups, gain, bias)
        return z * gain[:, None, None] + bias[:, None, None]

    def _one(self, params: Params, x: Tensor) -> Tensor:
        # Not in double precision: convolutions take several times as long.
        dtype = torch.bfloat16 if self.mixed_precision else torch.float32
        params = {name: value.to(dtype) for name, value in params.items()}
        parts = x.reshape(-1, *self.image_shape).to(dtype).split(AT_ONCE)
        z = torch.cat([self._convolved(params, part) for part in parts])
        return z.reshape(*x.shape[:2], -1).to(x.dtype)

    def _convolved(self, params: Params, z: Tensor) -> Tensor:
        act = ACTIVATIONS[self.activation]
        # The layout that convolutions of few channels are fastest in.
        z = z.contiguous(memory_format=torch.channels_last)
        for i in range(len(self.channels)):
            z = F.conv2d(z, params[f"weight{i}"], padding=1, stride=2)
            z = act(self._normed(z, params[f"gain{i}"], params[f"bias{i}"]))
        return z.flatten(1)


class Module:
    """A torch module made by a function of the number of features.

    The module maps rows (R, d) to embeddings (R, e). It is built without weights; these
    are drawn by He's rule (biases zero, vectors one), so that the global generator
    stays where it is. Modules with buffers, such as batch normalisation, would mix rows
    and are refused. It runs in evaluation mode, where dropout does nothing.
    """

    def __init__(self, factory: Callable[[int], torch.nn.Module], n_features: int):
        with torch.device("meta"):
            self.module = factory(n_features)
            if not isinstance(self.module, torch.nn.Module):
                raise TypeError(
                    f"encoder={factory!r} returned {self.module!r}: expected a "
                    "torch.nn.Module."
                )
            if buffers := [name for name, _ in self.module.named_buffers()]:
                raise ValueError(
                    f"encoder={factory!r} made a module with buffers {buffers}: "
                    "expected none, since running statistics mix rows."
                )
            self.module.eval()
            self.width = self.module(torch.empty(2, n_features)).shape[-1]

    def init(self, generator: torch.Generator) -> Params:
        params = {}
        for name, value in self.module.named_parameters():
            if value.dim() > 1:
                scale = (2.0 / value[0].numel()) ** 0.5
                draw = torch.randn(value.shape, generator=generator)
                params[name] = draw * scale
            elif name.endswith("bias"):
                params[name] = torch.zeros(value.shape)
            else:
                params[name] = torch.ones(value.shape)
        return params

    def apply(self, params: Params, x: Tensor) -> Tensor:
        z = x.reshape(-1, x.shape[-1])
        n_nets = len(next(iter(params.values())))
        nets = [
            functional_call(self.module, {k: v[i] for k, v in params.items()}, (z,))
            for i in range(n_nets)
        ]
        return torch.stack(nets).reshape(n_nets, *x.shape[:2], -1)

    def per_task(self, params: Params, x: Tensor) -> Tensor:
        shapes = {k: v.dim() for k, v in self.module.named_parameters()}
        axes = {k: 0 if v.dim() > shapes[k] else None for k, v in params.items()}

        def one(own: Params, rows: Tensor) -> Tensor:
            return functional_call(self.module, own, (rows,))

        return vmap(one, in_dims=(axes, 0))(params, x)


Encoder = Dense | Conv4 | Module
