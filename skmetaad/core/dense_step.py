r"""The inner loop of a dense autoencoder and its meta-gradient, written out.

With row weights c, the support loss is :math:`\frac12 \sum_k c_k |e_k|^2` for outputs
off their target by e. For layers l of L with inputs a, outputs :math:`z = a W + b`,
and slopes :math:`\phi'` of the activation at z, a step is

.. math::
    \delta_L = c e, \quad \delta_l = \phi'_l (\delta_{l+1} W_{l+1}^\top), \quad
    W_l' = W_l - \alpha_l a_l^\top \delta_l,

and likewise for b, as if a had a column of ones. Its transposed derivative takes the
gradients :math:`\bar W'` of what follows to :math:`\bar W = \bar W' + H N`, with
:math:`N = -\alpha \bar W'` and the Hessian H of the support loss. By Pearlmutter
(1994), HN is the derivative R of :math:`a^\top \delta` as W moves along N: forward
through the layers

.. math::
    R z_l = a_l N_l + R a_l W_l, \quad R a_{l+1} = \phi'_l R z_l, \quad
    R \delta_L = c R z_L + R c \, e,

and back, where :math:`g_l = \delta_{l+1} W_{l+1}^\top`:

.. math::
    R \delta_l = \phi'_l (R \delta_{l+1} W_{l+1}^\top + \delta_{l+1} N_{l+1}^\top)
                 + \phi''_l g_l R z_l, \quad
    (HN)_l = a_l^\top R \delta_l + R a_l^\top \delta_l.

What the rows get follows as the gradient of the first layer's inputs does.

Wide layers need not be touched in a step. **First**: weights only ever change by
combinations of the rows X, so with the Gram matrix :math:`G = X X^\top` what moves is V
(K, out) in :math:`W + X^\top V`: outputs are `base` X W plus GV, and V's step is
:math:`\delta` itself. **Last**: with Z the rows of W, the bias and the targets, all
later weights are EZ and all errors CZ, so that the `metric` :math:`Z Z^\top` says all
there is to know: E and C take the place of weights and errors, and :math:`\delta` goes
back as :math:`\delta Z Z^\top E^\top`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import torch
from torch import Tensor

from skmetaad.core.activations import ACTIVATIONS, slope_of, sloped
from skmetaad.core.products import multiply

Layer = tuple[Tensor, Tensor]  # what belongs to its weights and to its bias


class Frame(NamedTuple):
    """What stays the same in all steps."""

    rows: Tensor  # (T, K, in), or (T, K, K) if there is a base
    base: Tensor | None  # (T, K, out)
    target: Tensor  # (T, K, out), or (K, m) if there is a metric
    metric: Tensor | None  # (T, m, m)


@dataclass(frozen=True)
class Loss:
    """Which loss is descended on, and how.

    The sum over features of squared errors, divided by `n_features`, weighted by
    `normal` (T, K), and softplus(1 - that), weighted by `odd`. `clip` is the largest
    norm of a gradient.
    """

    normal: Tensor
    odd: Tensor | None
    n_features: int
    activation: str
    clip: float | None = None


class Step(NamedTuple):
    """What a step has computed, by layer or at the outputs."""

    weights: list[Tensor]
    inputs: list[Tensor]
    slopes: list[Tensor]
    bends: list[Tensor]  # the activation's second derivatives times g, or none
    changes: list[Tensor]  # delta
    error: Tensor
    seen: Tensor  # the error times the metric
    lowered: Tensor  # the last of the changes times the metric
    weight: Tensor  # c, (T, K, 1)
    by: Tensor | None  # what clipping multiplies with, (T, 1, 1)

    def flat(self) -> list[Tensor | None]:
        return [
            v for part in self for v in (part if isinstance(part, list) else [part])
        ]

    @classmethod
    def of(cls, flat: Sequence[Tensor | None], n_layers: int) -> "Step":
        """Put together what `flat` has taken apart."""
        n_bends = len(flat) - 4 * n_layers - 4
        sizes = (n_layers, n_layers, n_layers - 1, n_bends, n_layers)
        values = iter(flat)
        return cls(*[list(islice(values, size)) for size in sizes], *values)


def shortening(square: Tensor, clip: float) -> Tensor:
    """Return the factors (T,) that shorten gradients of squared norms (T,) to clip."""
    # The guard keeps the root's derivative finite where a gradient vanishes.
    return (clip / square.clamp_min(1e-30).sqrt()).clamp_max(1.0)


def take_step(loss: Loss, frame: Frame, layers: list[Layer]) -> Step:
    """Compute what a step takes; layers are shared (in, out) or of each task."""
    inputs, slopes, curves = [frame.rows], [], []
    weight, bias = layers[0]
    if frame.base is None:
        z = _affine(frame.rows, weight, bias)
    else:
        weight = weight.expand(len(frame.rows), *weight.shape[-2:])
        z = torch.baddbmm(frame.base + bias.unsqueeze(-2), frame.rows, weight)
    for weight, bias in layers[1:]:
        inputs.append(ACTIVATIONS[loss.activation](z))
        slope, curve = slope_of(loss.activation, z, inputs[-1])
        slopes.append(slope)
        curves.append(curve)
        z = _affine(inputs[-1], weight, bias)
    error = z.sub_(frame.target)
    seen = error if frame.metric is None else torch.bmm(error, frame.metric)
    weight = loss.normal
    if loss.odd is not None:
        weight = weight - loss.odd * pushed_by(loss, error, seen)
    weight = (weight * (2.0 / loss.n_features)).unsqueeze(2)
    changes = [weight * error]
    lowered = changes[0] if seen is error else weight * seen
    back, bends = lowered, []
    for i in range(len(layers) - 1, 0, -1):
        back = times(back, layers[i][0].mT)
        if curves[i - 1] is not None:
            bends.insert(0, curves[i - 1] * back)
        back = sloped(loss.activation, back, slopes[i - 1])
        changes.insert(0, back)
    weights = [weight for weight, _ in layers]
    step = Step(
        weights, inputs, slopes, bends, changes, error, seen, lowered, weight, None
    )
    if loss.clip is None:
        return step
    square = inner_products(gradients(frame, step), seen_gradients(step))
    return step._replace(by=shortening(square, loss.clip)[:, None, None])


def moved(
    frame: Frame, step: Step, layers: list[Layer], rates: list[Layer]
) -> list[Layer]:
    """Return the layers after a step, at rates that are numbers or like layers."""
    found, changes = [], step.changes
    if step.by is not None:
        changes = [step.by * change for change in changes]
    for i, ((weight, bias), rate, change) in enumerate(
        zip(layers, rates, changes, strict=True)
    ):
        total = change.sum(dim=1)
        if isinstance(rate[0], Tensor):
            product = torch.bmm(step.inputs[i].mT, change)
            weight = torch.addcmul(weight, rate[0], product, value=-1.0)
            found.append((weight, torch.addcmul(bias, rate[1], total, value=-1.0)))
            continue
        if i == 0 and frame.base is not None:
            weight = torch.sub(weight, change, alpha=rate[0])
        else:
            weight = weight.expand(len(change), *weight.shape[-2:])
            a = step.inputs[i].mT
            weight = torch.baddbmm(weight, a, change, alpha=-rate[0])
        found.append((weight, torch.sub(bias, total, alpha=rate[1])))
    return found


def gradients(frame: Frame, step: Step) -> list[Layer]:
    """Return the gradients (T, in, out) and (T, out) of the support loss."""
    found = [
        (torch.bmm(a.mT, change), change.sum(dim=1))
        for a, change in zip(step.inputs, step.changes, strict=True)
    ]
    if frame.base is not None:
        found[0] = step.changes[0], found[0][1]
    return found


def seen_gradients(step: Step) -> list[Layer]:
    """Return the gradients times the metrics of the first and the last layer."""
    changes = [*step.changes[:-1], step.lowered]
    return [
        (torch.bmm(a.mT, change), change.sum(dim=1))
        for a, change in zip(step.inputs, changes, strict=True)
    ]


def inner_products(a: list[Layer], b: list[Layer]) -> Tensor:
    """Return the inner product (T,) of tasks' layers."""
    pairs = zip(chain.from_iterable(a), chain.from_iterable(b), strict=True)
    return sum((x * y).flatten(1).sum(dim=1) for x, y in pairs)


def pushed_by(loss: Loss, error: Tensor, seen: Tensor) -> Tensor:
    return torch.sigmoid(1.0 - (error * seen).sum(dim=2) / loss.n_features)


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.dim() == 3:
        return torch.baddbmm(bias.unsqueeze(1), x, weight)
    return multiply(x, weight).add_(bias)


def times(x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x, weight) if weight.dim() == 3 else multiply(x, weight)
