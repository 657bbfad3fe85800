"""Contributions to a score by leaving evidence, or a column's value, out."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from skmetaad.core import evidence as ev
from skmetaad.core.evidence import State
from skmetaad.core.scorer import GROUPS, N_EVIDENCE, Inputs
from skmetaad.core.universal import find_own, inputs, standard, unsquashed

Anomaly = Callable[[Inputs], Tensor]


def contributions(anomaly: Anomaly, X: Tensor, state: State) -> Tensor:
    """Return (T, R, groups + d): the fall of the score of rows X (T, R, d) without.

    Evidence is left out by making it typical, which is 0: the middle of what the
    support's own rows show. That of values goes with what is seen of the columns. A
    column is left out by giving it the value that it has in the support rows nearest
    by all other columns.
    """
    seen = inputs(X, state)
    whole = anomaly(seen)
    groups = [whole - anomaly(without(seen, name)) for name in GROUPS]
    columns = []
    for j in range(X.shape[2]):
        changed = X.clone()
        changed[:, :, j] = usual_values(X, state, j)
        columns.append(whole - anomaly(inputs(changed, state)))
    return torch.stack(groups + columns, -1)


def without(seen: Inputs, name: str) -> Inputs:
    """Return what is seen with one group of evidence made typical."""
    rows, places = seen.rows.clone(), GROUPS[name]
    for start in (0, N_EVIDENCE):
        rows[..., start + places.start : start + places.stop] = 0.0
    values = torch.zeros_like(seen.values) if name == "values" else seen.values
    return replace(seen, rows=rows, values=values)


def usual_values(X: Tensor, state: State, j: int) -> Tensor:
    """Return the value (T, R) of column j in the rows nearest by all other columns.

    It is the median of ten, and a value of the support, so that discrete columns stay
    discrete; NaN where the support has none.
    """
    own = find_own(X, state)
    rows, support = standard(X, state), state["support.standard"].clone()
    column = support[..., j].clone()
    rows[..., j] = support[..., j] = 0.0
    d = ev.squared_distances(rows, support, ~state["present"], own)
    _, place, near = ev.nearest(d)
    around = column.gather(1, place.flatten(1)).view_as(place)
    middle = around.masked_fill(~near, torch.nan).nanmedian(2).values.nan_to_num()
    wanted = unsquashed(middle) * state["scale"][:, None, j]
    wanted = wanted + state["center"][:, None, j]
    ordered, known = state["sorted"][:, j].contiguous(), state["known"][:, None, j]
    above = torch.searchsorted(ordered, wanted).minimum((known - 1).clamp_min(0))
    below = (above - 1).clamp_min(0)
    low, high = ordered.gather(1, below), ordered.gather(1, above)
    found = torch.where(wanted - low < high - wanted, low, high)
    return torch.where(known > 0, found, torch.nan)
