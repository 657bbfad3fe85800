"""Contributions to a score by leaving evidence, or a column's value, out."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from skmetaad.core.evidence import State
from skmetaad.core.scorer import GROUPS, N_EVIDENCE, Inputs
from skmetaad.core.universal import inputs, usual_values

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
