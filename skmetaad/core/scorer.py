"""The network that turns a table's evidence into a score."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from skmetaad.core import columns as by_column

# Places of each group of evidence; what is seen of values closes the list.
GROUPS = {
    "neighbours": range(0, 16),
    "covariance": range(16, 23),
    "trees": range(23, 25),
    "pairs": range(25, 28),
    "labels": range(28, 30),
    "values": range(30, 30 + 3 * by_column.N_VALUE),
}
LABELS = slice(GROUPS["labels"].start, GROUPS["labels"].stop)
N_EVIDENCE = GROUPS["values"].stop
# How many of a row's strongest evidences are averaged.
STRONGEST = (1, 3, 6, 20)
N_CONTEXT = 8
# Hidden units per column.
N_COLUMN = 16
# What the context says first where the support has one row.
LONE = -1.0


@dataclass(frozen=True)
class Inputs:
    """What the network sees: rows (T, R, 2e), values (T, R, d, v), contexts, columns.

    `counts` (T, R, d) tells which values count.
    """

    rows: Tensor
    values: Tensor
    counts: Tensor
    columns: Tensor
    context: Tensor

    @cached_property
    def means(self) -> Tensor:
        """Means (T, R, 2 + m) of all z, of all tails, and of each row's highest z.

        Labels are left out. They are the same for all members of an ensemble.
        """
        z, tail = (
            torch.cat([part[..., : LABELS.start], part[..., LABELS.stop :]], -1)
            for part in self.rows.split(N_EVIDENCE, -1)
        )
        total = z.topk(max(STRONGEST), -1).values.cumsum(-1)
        strongest = [total[..., k - 1] / k for k in STRONGEST]
        return torch.stack([z.mean(-1), tail.mean(-1), *strongest], -1)


def init(generator: torch.Generator, width: int = 32) -> dict[str, Tensor]:
    """Return new weights of the network."""
    column_in = by_column.N_VALUE + by_column.N_CONTEXT
    row_in = 2 * N_EVIDENCE + N_CONTEXT + len(STRONGEST) + 3 * N_COLUMN
    sizes = {
        "column.0": (column_in, N_COLUMN),
        "column.1": (N_COLUMN, N_COLUMN),
        "gate": (N_COLUMN, 1),
        "row.0": (row_in, width),
        "row.1": (width, width),
        "row.2": (width, 1),
    }
    weights = {}
    for name, (fan_in, fan_out) in sizes.items():
        scale = (2 / fan_in) ** 0.5 * (0.1 if name in ("row.2", "gate") else 1.0)
        weights[name + ".weight"] = (
            torch.randn(fan_in, fan_out, generator=generator) * scale
        )
        weights[name + ".bias"] = torch.zeros(fan_out)
    n_means = 2 + len(STRONGEST)
    weights["backbone"] = torch.tensor([0.5, 0.5] + [0.2] * len(STRONGEST))
    weights["backbone.context"] = torch.zeros(N_CONTEXT, n_means)
    return weights


def anomaly(weights: dict[str, Tensor], seen: Inputs) -> Tensor:
    """Return how abnormal rows are (T, R): means of evidence and what the network adds.

    Beside a single row no evidence has a distribution to be set against: the distance
    is all there is, less that to labelled outliers.
    """
    lone = seen.context[:, None, 0] == LONE
    distance = seen.rows[..., 0] + seen.rows[..., LABELS.start]
    judged = backbone(weights, seen) + correction(weights, seen)
    return torch.where(lone, distance, judged)


def backbone(weights: dict[str, Tensor], seen: Inputs) -> Tensor:
    """Return the weighted means (T, R) of all z, all tails, and the strongest z.

    Labels are left out.
    """
    weight = weights["backbone"] + seen.context @ weights["backbone.context"]
    return (seen.means * weight[:, None]).sum(-1)


def correction(
    weights: dict[str, Tensor], seen: Inputs, drop: Tensor | None = None
) -> Tensor:
    """Return what the network adds (T, R).

    `drop` (T, 1, 2e) scales the evidence of rows in training.
    """

    def layer(x: Tensor, name: str) -> Tensor:
        return x @ weights[name + ".weight"] + weights[name + ".bias"]

    # What is known of a column is the same for all rows.
    of_value, of_column = weights["column.0.weight"].split(
        [by_column.N_VALUE, by_column.N_CONTEXT]
    )
    about = seen.columns @ of_column + weights["column.0.bias"]
    hidden = (seen.values @ of_value + about[:, None]).relu()
    hidden = layer(hidden, "column.1").relu()
    gate, mean, high = layer(hidden, "gate"), hidden, hidden
    if not seen.counts.all():
        off = ~seen.counts[..., None]
        gate, high = gate.masked_fill(off, -1e4), high.masked_fill(off, -1e4)
        mean = mean.masked_fill(off, 0.0)
    mean = mean.sum(2) / seen.counts.sum(2).clamp_min(1)[..., None]
    high = high.amax(2).clamp_min(-1.0)
    focus = (hidden * gate.softmax(2)).sum(2)
    rows = seen.rows if drop is None else seen.rows * drop
    about = seen.context[:, None].expand(-1, seen.rows.shape[1], -1)
    x = torch.cat([rows, about, seen.means[..., 2:], mean, high, focus], -1)
    hidden = F.gelu(layer(x, "row.0"))
    hidden = hidden + F.gelu(layer(hidden, "row.1"))
    return layer(hidden, "row.2")[..., 0]
