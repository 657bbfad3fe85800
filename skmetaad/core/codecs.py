"""Networks of autoencoders: to a bottleneck and back, for all tasks at once.

A codec is a frozen description. `init(generator)` draws the parameters; `encode` and
`decode` take parameters of which each is shared, or has a leading task axis, and rows
(T, R, d). Neither the bottleneck nor the output passes an activation.
"""

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.nets import Params, affine, each_task, init_mlp, mlp

# A small last layer: the untrained network reconstructs the task's mean.
LAST_GAIN = 0.1


@dataclass(frozen=True)
class DenseCodec:
    """Dense layers; an odd number of sizes, from input to output."""

    sizes: tuple[int, ...]
    activation: str = "relu"

    @property
    def n_features(self) -> int:
        return self.sizes[0]

    @property
    def n_layers(self) -> int:
        return len(self.sizes) - 1

    @property
    def to_bottleneck(self) -> int:
        """The number of the layer that gives the bottleneck."""
        return self.n_layers // 2 - 1

    @property
    def width(self) -> int:
        return self.sizes[self.to_bottleneck + 1]

    def init(self, generator: torch.Generator) -> Params:
        return init_mlp(self.sizes, generator, gain=LAST_GAIN)

    def encode(self, net: Params, z: Tensor) -> Tensor:
        n_layers = self.to_bottleneck + 1
        return mlp(net, z, n_layers, activation=self.activation)

    def decode(self, net: Params, hidden: Tensor) -> Tensor:
        first = self.to_bottleneck + 1
        return mlp(net, hidden, self.n_layers, activation=self.activation, first=first)


@dataclass(frozen=True)
class ConvCodec:
    """Strided 3x3 convolutions, a dense bottleneck, and their mirror image.

    All tasks are convolved at once, each a group of channels of its own.
    """

    image_shape: tuple[int, int, int]
    channels: tuple[int, ...]
    width: int
    activation: str = "relu"

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """The shapes of a picture before and after each convolution."""
        shapes = [self.image_shape]
        for n in self.channels:
            _, height, width = shapes[-1]
            shapes.append((n, (height + 1) // 2, (width + 1) // 2))
        return shapes

    @property
    def n_features(self) -> int:
        return prod(self.image_shape)

    @property
    def n_layers(self) -> int:
        return 2 * len(self.channels) + 2

    @property
    def to_bottleneck(self) -> int:
        return len(self.channels)

    def init(self, generator: torch.Generator) -> Params:
        shapes, params = self.shapes, {}
        kernels = [
            (after[0], before[0], 3, 3)
            for before, after in zip(shapes[:-1], shapes[1:], strict=True)
        ]
        flat, last = prod(shapes[-1]), self.n_layers - 1
        for i, shape in enumerate(kernels):
            _draw(params, i, shape, 9 * shape[1], shape[0], generator)
            # Each output of the mirrored convolution sums over a quarter of 9 weights.
            gain = LAST_GAIN if i == 0 else 1.0
            n_in = 9 * shape[0] / 4 / gain**2
            _draw(params, last - i, shape, n_in, shape[1], generator)
        n = len(kernels)
        _draw(params, n, (flat, self.width), flat, self.width, generator)
        _draw(params, n + 1, (self.width, flat), self.width, flat, generator)
        return params

    def encode(self, net: Params, z: Tensor) -> Tensor:
        act, (n_tasks, n_rows) = ACTIVATIONS[self.activation], z.shape[:2]
        x = _side_by_side(z, self.image_shape)
        for i in range(len(self.channels)):
            weight = each_task(net[f"weight{i}"], n_tasks, 4).flatten(0, 1)
            bias = each_task(net[f"bias{i}"], n_tasks, 1).flatten()
            x = act(F.conv2d(x, weight, bias, stride=2, padding=1, groups=n_tasks))
        flat = x.reshape(n_rows, n_tasks, -1).transpose(0, 1)
        i = self.to_bottleneck
        return affine(flat, net[f"weight{i}"], net[f"bias{i}"])

    def decode(self, net: Params, hidden: Tensor) -> Tensor:
        act, (n_tasks, n_rows) = ACTIVATIONS[self.activation], hidden.shape[:2]
        shapes, i = self.shapes, self.to_bottleneck + 1
        flat = act(affine(hidden, net[f"weight{i}"], net[f"bias{i}"]))
        x = _side_by_side(flat, shapes[-1])
        for before in shapes[-2::-1]:
            i += 1
            weight = each_task(net[f"weight{i}"], n_tasks, 4).flatten(0, 1)
            bias = each_task(net[f"bias{i}"], n_tasks, 1).flatten()
            rest = [1 - n % 2 for n in before[1:]]  # halves of odd sizes are rounded up
            options = {"stride": 2, "padding": 1, "output_padding": rest}
            x = F.conv_transpose2d(x, weight, bias, groups=n_tasks, **options)
            x = act(x) if i < self.n_layers - 1 else x
        return x.reshape(n_rows, n_tasks, -1).transpose(0, 1)


def _draw(params, i, shape, n_in, n_out, generator):
    scale = (2.0 / n_in) ** 0.5
    params[f"weight{i}"] = torch.randn(shape, generator=generator) * scale
    params[f"bias{i}"] = torch.zeros(n_out)


def _side_by_side(z: Tensor, shape: tuple[int, int, int]) -> Tensor:
    """Return pictures (R, T * c, h, w) of rows (T, R, c * h * w)."""
    return z.reshape(*z.shape[:2], *shape).transpose(0, 1).flatten(1, 2)


Codec = DenseCodec | ConvCodec
