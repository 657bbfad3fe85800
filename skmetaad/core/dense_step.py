r"""The inner loop of a dense autoencoder and its meta-gradient, written out.

A layer's inputs a have a column of ones, and the last row of its weights W is the bias.
With row weights c, the support loss is :math:`\frac12 \sum_k c_k |e_k|^2` for outputs
:math:`a W` off their target by e. For layers l of L, slopes :math:`\phi'` of the
activation at the outputs z, and W without its bias where gradients go back, a step is

.. math::
    \delta_L = c e, \quad \delta_l = \phi'_l (\delta_{l+1} W_{l+1}^\top), \quad
    W_l' = W_l - \alpha_l a_l^\top \delta_l.

Its transposed derivative takes the gradients :math:`\bar W'` of what follows to
:math:`\bar W = \bar W' + H N`, with :math:`N = -\alpha \bar W'` and the Hessian H of
the support loss. By Pearlmutter (1994), HN is the derivative R of
:math:`a^\top \delta` as W moves along N: forward through the layers

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
(K, out) in :math:`W + X^\top V`; outputs are :math:`X W + G V` and V's step is
:math:`\delta` itself. `Frame.rows` and `Frame.ways` are the inputs of these two
products: G and the identity, or X and X. **Last**: with Z the rows of W, the bias and
the targets, all later weights are EZ and all errors CZ, so that :math:`Z Z^\top`, the
`metric`, says all there is to know: E and C take the place of weights and errors, and
:math:`\delta` goes back as :math:`\delta Z Z^\top E^\top`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from skmetaad.core.nets import ACTIVATIONS, slope_of


class Frame(NamedTuple):
    """What stays the same in all steps."""

    rows: Tensor  # (T, K, r), the last of them ones
    ways: Tensor  # (T, K, r), the last of them ones
    base: Tensor | None  # (T, K, out), of the first layer
    target: Tensor  # (T, K, m) or (K, m)
    metric: Tensor | None  # (T, m, m)


@dataclass(frozen=True)
class Loss:
    """Which loss is descended on, and how.

    The mean over features of squared errors, weighted by `normal` (T, K), and of their
    softplus(1 - mean), weighted by `odd`. `clip` is the largest norm of a gradient.
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


def take_step(loss: Loss, frame: Frame, weights: list[Tensor]) -> Step:
    """Compute all that a step from per-task weights (T, in + 1, out) takes."""
    inputs, slopes, curves = [frame.rows], [], []
    ones = frame.rows[:, :, -1:]
    z = torch.bmm(frame.rows, weights[0])
    z = z if frame.base is None else z.add_(frame.base)
    for weight in weights[1:]:
        slope, curve = slope_of(loss.activation, z)
        slopes.append(slope)
        curves.append(curve)
        inputs.append(torch.cat([ACTIVATIONS[loss.activation](z), ones], dim=2))
        z = torch.bmm(inputs[-1], weight)
    error = z.sub_(frame.target)
    seen = error if frame.metric is None else torch.bmm(error, frame.metric)
    weight = loss.normal
    if loss.odd is not None:
        weight = weight - loss.odd * _pushed(loss, error, seen)
    weight = (weight * (2.0 / loss.n_features)).unsqueeze(2)
    changes = [weight * error]
    lowered = changes[0] if seen is error else weight * seen
    back, bends = lowered, []
    for after, slope, curve in zip(
        weights[:0:-1], slopes[::-1], curves[::-1], strict=True
    ):
        back = torch.bmm(back, after[:, :-1].mT)
        if curve is not None:
            bends.insert(0, curve * back)
        back = back * slope
        changes.insert(0, back)
    by = None
    if loss.clip is not None:
        pair = _gradients(frame, inputs, changes, lowered)
        square = sum(map(_dots, *pair))
        by = shortening(square, loss.clip)[:, None, None]
    return Step(
        weights, inputs, slopes, bends, changes, error, seen, lowered, weight, by
    )


def moved(frame: Frame, step: Step, rates: list[Tensor]) -> list[Tensor]:
    """Return the weights after a step, at rates (in + 1, 1) or (in + 1, out)."""
    found = []
    ways = [frame.ways, *step.inputs[1:]]
    for weight, a, change, rate in zip(
        step.weights, ways, step.changes, rates, strict=True
    ):
        if step.by is not None:
            change = step.by * change
        if rate.shape[1] == 1:
            a = a * rate.t()
            found.append(torch.baddbmm(weight, a.mT, change, alpha=-1.0))
        else:
            found.append(torch.addcmul(weight, rate, a.mT @ change, value=-1.0))
    return found


def turned_back(
    loss: Loss,
    frame: Frame,
    step: Step,
    rates: list[Tensor],
    bars: list[Tensor],
    found: dict[str, Tensor],
) -> None:
    """Turn the gradients `bars` at a step's results into those at its weights.

    They are changed in place. Gradients at the parts of the frame that are in `found`
    are added there.
    """
    error, changes, last = step.error, step.changes, len(bars) - 1
    ways = [bar * -rate for bar, rate in zip(bars, rates, strict=True)]
    if loss.clip is not None:
        ways = _clipped(loss, frame, step, ways, found)
    turned, tangents = [torch.bmm(frame.ways, ways[0])], []
    for i in range(1, last + 1):
        tangents.append(step.slopes[i - 1] * turned[-1])
        own = torch.bmm(tangents[-1], step.weights[i][:, :-1])
        if i == last and frame.metric is not None:
            found["metric"].baddbmm_(changes[i].mT, own)
            own = torch.bmm(own, frame.metric)
        turned.append(own.baddbmm_(step.inputs[i], ways[i]))
    back = step.weight * turned[-1]
    if loss.odd is not None:
        pushed = _pushed(loss, error, step.seen)
        share = loss.odd * pushed * (1.0 - pushed) * (2.0 / loss.n_features)
        share = share * (turned[-1] * error).sum(dim=2) * (2.0 / loss.n_features)
        back += share.unsqueeze(2) * step.seen
        if "metric" in found:
            found["metric"].baddbmm_((share.unsqueeze(2) * error).mT, error, alpha=0.5)
    if "target" in found:
        found["target"] -= back
    for i in range(last, 0, -1):
        change = step.lowered if i == last else changes[i]
        bars[i].baddbmm_(step.inputs[i].mT, back)
        bars[i][:, :-1].baddbmm_(tangents[i - 1].mT, change)
        back = torch.bmm(back, step.weights[i][:, :-1].mT)
        back.baddbmm_(changes[i], ways[i][:, :-1].mT).mul_(step.slopes[i - 1])
        if step.bends:
            back += step.bends[i - 1] * turned[i - 1]
    bars[0].baddbmm_(frame.rows.mT, back)
    if "base" in found:
        found["base"] += back
    if "rows" in found:
        found["rows"].baddbmm_(back, step.weights[0].mT)
    if "ways" in found:
        found["ways"].baddbmm_(changes[0], ways[0].mT)


def at_rates(
    frame: Frame, step: Step, rates: list[Tensor], bars: list[Tensor]
) -> list[Tensor]:
    """Return the gradients at a step's rates from those at its results."""
    gradients, _ = _gradients(frame, step.inputs, step.changes, step.lowered)
    if step.by is not None:
        gradients = [step.by * g for g in gradients]
    products = [bar * g for bar, g in zip(bars, gradients, strict=True)]
    return [
        -product.sum(dim=0).sum_to_size(rate.shape)
        for product, rate in zip(products, rates, strict=True)
    ]


def _clipped(
    loss: Loss, frame: Frame, step: Step, ways: list[Tensor], found: dict[str, Tensor]
) -> list[Tensor]:
    """Return the directions in which shortened gradients are differentiated."""
    own, seen = _gradients(frame, step.inputs, step.changes, step.lowered)
    inner = sum(map(_dots, own, ways))[:, None, None]
    away = torch.where(step.by < 1.0, step.by**3 * inner / loss.clip**2, 0.0)
    if "metric" in found:
        found["metric"].baddbmm_((away * own[-1]).mT, own[-1], alpha=-0.5)
    if "rows" in found and "ways" not in found:
        found["rows"].baddbmm_(away * step.changes[0], own[0].mT, alpha=-0.5)
    return [step.by * n - away * h for n, h in zip(ways, seen, strict=True)]


def _gradients(
    frame: Frame, inputs: list[Tensor], changes: list[Tensor], lowered: Tensor
) -> tuple[list[Tensor], list[Tensor]]:
    """Return the gradients, and these times the metrics of the first and last layer."""
    own = [frame.ways, *inputs[1:]], changes
    seen = inputs, [*changes[:-1], lowered]
    return tuple(
        [torch.bmm(a.mT, change) for a, change in zip(*pair, strict=True)]
        for pair in (own, seen)
    )


def _pushed(loss: Loss, error: Tensor, seen: Tensor) -> Tensor:
    return torch.sigmoid(1.0 - (error * seen).sum(dim=2) / loss.n_features)


def _dots(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=(1, 2))
