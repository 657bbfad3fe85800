"""The way back through a step of `dense_step`, whose docstring derives it."""

import torch
from torch import Tensor

from skmetaad.core.activations import sloped
from skmetaad.core.dense_step import (
    Frame,
    Layer,
    Loss,
    Step,
    gradients,
    inner_products,
    pushed_by,
    seen_gradients,
    times,
)
from skmetaad.core.products import multiply

Way = tuple[Tensor, float, Tensor]  # D, alpha and n of a direction N = alpha D, n


def turned_back(
    loss: Loss,
    frame: Frame,
    step: Step,
    rates: list[Layer],
    bars: list[Layer],
    found: dict[str, Tensor],
) -> list[Layer]:
    """Turn the gradients `bars` at a step's results into those at its layers.

    Those are summed over tasks where layers are shared. Gradients at the parts of the
    frame that are in `found` are added there.
    """
    error, changes, last = step.error, step.changes, len(bars) - 1
    ways = [_way(rate, bar) for rate, bar in zip(rates, bars, strict=True)]
    if loss.clip is not None:
        ways = _clipped(loss, frame, step, ways, found)
    if frame.base is None:
        turned = [_along(step.inputs[0], ways[0])]
    else:
        direction, alpha, at_bias = ways[0]
        turned = [torch.add(at_bias.unsqueeze(1), direction, alpha=alpha)]
    tangents = []
    for i in range(1, last + 1):
        tangents.append(sloped(loss.activation, turned[-1], step.slopes[i - 1]))
        own = _along(step.inputs[i], ways[i])
        if i == last and frame.metric is not None:
            product = times(tangents[-1], step.weights[i])
            if "metric" in found:
                found["metric"].baddbmm_(changes[i].mT, product)
            own.baddbmm_(product, frame.metric)
        else:
            own = _add_times(own, tangents[-1], step.weights[i])
        turned.append(own)
    back = step.weight * turned[-1]
    if loss.odd is not None:
        pushed = pushed_by(loss, error, step.seen)
        share = loss.odd * pushed * (1.0 - pushed) * (2.0 / loss.n_features) ** 2
        share = (share * (turned[-1] * error).sum(dim=2)).unsqueeze(2)
        back += share * step.seen
        if "metric" in found:
            found["metric"].baddbmm_((share * error).mT, error, alpha=0.5)
    if "target" in found:
        found["target"] -= back
    ends = []
    for i in range(last, 0, -1):
        change, (direction, alpha, _) = changes[i], ways[i]
        end = _turned(bars[i], step.weights[i], step.inputs[i], back)
        _add_outer(end[0], tangents[i - 1], step.lowered if i == last else change)
        ends.insert(0, end)
        back = times(back, step.weights[i].mT)
        back.baddbmm_(change, direction.mT, alpha=alpha)
        back = sloped(loss.activation, back, step.slopes[i - 1])
        if step.bends:
            back += step.bends[i - 1] * turned[i - 1]
    if "base" in found:
        found["base"] += back
    if "rows" in found:
        found["rows"] += times(back, step.weights[0].mT)
        if frame.base is None:
            direction, alpha, _ = ways[0]
            found["rows"].baddbmm_(changes[0], direction.mT, alpha=alpha)
    return [_turned(bars[0], step.weights[0], frame.rows, back), *ends]


def _way(rate: Layer, bar: Layer) -> Way:
    if isinstance(rate[0], Tensor):
        return rate[0] * bar[0], -1.0, -rate[1] * bar[1]
    return bar[0], -rate[0], -rate[1] * bar[1]


def _clipped(
    loss: Loss, frame: Frame, step: Step, ways: list[Way], found: dict[str, Tensor]
) -> list[Way]:
    """Return the directions in which shortened gradients are differentiated."""
    own, seen = gradients(frame, step), seen_gradients(step)
    ways = [(alpha * direction, at_bias) for direction, alpha, at_bias in ways]
    inner, by = inner_products(own, ways)[:, None, None], step.by
    away = torch.where(by < 1.0, by**3 * inner / loss.clip**2, 0.0)
    if "metric" in found:
        last = torch.cat([own[-1][0], own[-1][1].unsqueeze(1)], dim=1)
        found["metric"].baddbmm_((away * last).mT, last, alpha=-0.5)
    if "rows" in found and frame.base is not None:
        change = step.changes[0]
        found["rows"].baddbmm_(away * change, change.mT, alpha=-0.5)
    return [
        (by * way[0] - away * h[0], 1.0, by[:, 0] * way[1] - away[:, 0] * h[1])
        for way, h in zip(ways, seen, strict=True)
    ]


def _along(a: Tensor, way: Way) -> Tensor:
    direction, alpha, at_bias = way
    return torch.baddbmm(at_bias.unsqueeze(1), a, direction, alpha=alpha)


def _turned(bar: Layer, weight: Tensor, a: Tensor, change: Tensor) -> Layer:
    if weight.dim() == 3:
        return torch.baddbmm(bar[0], a.mT, change), bar[1] + change.sum(dim=1)
    found = bar[0].sum(dim=0)
    _add_outer(found, a, change)
    return found, bar[1].sum(dim=0) + change.sum(dim=(0, 1))


def _add_times(start: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    if weight.dim() == 3:
        return start.baddbmm_(x, weight)
    return multiply(x, weight, start)


def _add_outer(start: Tensor, a: Tensor, b: Tensor) -> None:
    """Add A^T B of each task, or their sum over tasks."""
    if start.dim() == 3:
        start.baddbmm_(a.mT, b)
    else:
        start.addmm_(a.flatten(0, 1).t(), b.flatten(0, 1))
