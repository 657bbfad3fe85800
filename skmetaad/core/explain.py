"""Contributions to a score by leaving evidence out."""

from dataclasses import replace

import torch
from torch import Tensor

from skmetaad.core.scorer import GROUPS, N_EVIDENCE, Inputs, anomaly


def contributions(weights: list[dict[str, Tensor]], seen: Inputs) -> Tensor:
    """Return (T, R, groups + d): the fall of the score when evidence is made typical.

    Typical is 0: the middle of what the support's own rows show. The evidence of values
    in "values" and what is seen of the columns go together.
    """

    def mean_score(inputs: Inputs) -> Tensor:
        return sum(anomaly(w, inputs) for w in weights) / len(weights)

    whole = mean_score(seen)
    found = []
    for name, places in GROUPS.items():
        rows = seen.rows.clone()
        for start in (0, N_EVIDENCE):
            rows[..., start + places.start : start + places.stop] = 0.0
        values = torch.zeros_like(seen.values) if name == "values" else seen.values
        found.append(whole - mean_score(replace(seen, rows=rows, values=values)))
    for j in range(seen.values.shape[2]):
        values = seen.values.clone()
        values[:, :, j] = 0.0
        found.append(whole - mean_score(replace(seen, values=values)))
    return torch.stack(found, -1)
