"""Training of the universal network: outliers above inliers, table by table."""

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skmetaad.core.draws import Table, draws, tensors
from skmetaad.core.evidence import NEAR
from skmetaad.core.scorer import Inputs, backbone, correction, init
from skmetaad.core.universal import adapt, awake, inputs

N_ROWS = 64
N_TABLES = 16
# Columns beyond which tables are wide. These are stacked apart from narrow ones, which
# need not be padded so far.
WIDE = 40
# Steepness of the soft AUROC.
STEEP = 2.0
# Place of the evidence that is the distance to the five nearest rows.
FIVE_NEAREST = NEAR.index(5)
# Weight of draws with labelled outliers.
LABELLED = 3.0
LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
# The largest share of the evidence that is left out.
DROP = 0.9


@dataclass(frozen=True)
class Seen:
    """What the network sees of one draw, in half precision, and which are outliers."""

    inputs: Inputs
    outlier: Tensor


@torch.no_grad()
def observed(support: Tensor, labelled: Tensor, query: Tensor, outlier: Tensor) -> Seen:
    """Describe the query of one draw against its support (leading axis of length 1)."""
    state, _ = adapt(support, torch.ones_like(labelled), labelled)
    found = inputs(query, awake(state))
    parts = (getattr(found, field.name)[0] for field in fields(found))
    # Halves keep thousands of draws in memory, at three digits.
    halves = (part.half() if part.is_floating_point() else part for part in parts)
    return Seen(Inputs(*halves), outlier)


def observed_draws(
    tables: list[Table], n_draws: int, rng: np.random.Generator
) -> list[Seen]:
    """Return what the network sees of draws from tables."""
    return [
        observed(*tensors(draw))
        for table in tables
        for draw in draws(table, n_draws, rng)
    ]


def lead(score: Tensor, n_inliers: int) -> Tensor:
    """Return by how much each outlier is above each inlier (T, inliers, outliers)."""
    inlier, outlier = score[:, :n_inliers], score[:, n_inliers:]
    return outlier[:, None, :] - inlier[:, :, None]


def shortfall(score: Tensor, rivals: list[Tensor], n_inliers: int) -> Tensor:
    """Return how far the soft AUROC (T,) is below the best of the rivals' AUROCs."""
    best = [(lead(rival, n_inliers) > 0).float().mean((1, 2)) for rival in rivals]
    soft = torch.sigmoid(STEEP * lead(score, n_inliers)).mean((1, 2))
    return (torch.stack(best).amax(0) - soft).relu()


def some_alike(wide: Tensor, draw: torch.Generator) -> list[int]:
    """Draw places of tables that are all wide or all not."""
    first = torch.randint(len(wide), (), generator=draw)
    pool = (wide == wide[first]).nonzero()[:, 0]
    return pool[torch.randint(len(pool), (N_TABLES,), generator=draw)].tolist()


def stacked(seen: list[Seen], draw: torch.Generator) -> Inputs:
    """Draw as many inliers as outliers of each and stack, columns padded."""
    n_columns = max(one.inputs.values.shape[1] for one in seen)
    parts = []
    for one in seen:
        places = torch.cat(
            [
                _some((~one.outlier).nonzero()[:, 0], draw),
                _some(one.outlier.nonzero()[:, 0], draw),
            ]
        )
        values = one.inputs.values[places].float()
        pad = n_columns - values.shape[1]
        parts.append(
            (
                one.inputs.rows[places].float(),
                F.pad(values, (0, 0, 0, pad)),
                F.pad(one.inputs.counts[places], (0, pad)),
                F.pad(one.inputs.columns.float(), (0, 0, 0, pad)),
                one.inputs.context.float(),
            )
        )
    return Inputs(*(torch.stack(part) for part in zip(*parts, strict=True)))


def _some(places: Tensor, draw: torch.Generator) -> Tensor:
    if len(places) < N_ROWS:
        return places[torch.randint(len(places), (N_ROWS,), generator=draw)]
    return places[torch.randperm(len(places), generator=draw)[:N_ROWS]]


def train(
    seen: list[Seen],
    *,
    seed: int,
    n_iter: int,
    shrink: float = 0.3,
    width: int = 32,
) -> dict[str, Tensor]:
    """Return the weights of one network, trained on draws from many tables.

    The loss is the logistic one of all pairs of an inlier and an outlier. In each draw
    a share of the evidence, uniform in [0, DROP], is left out. Where no outliers are
    labelled, two terms are added: how far the ranking falls short of the distance to
    five neighbours and of the backbone, and `shrink` times the variance of what the
    network adds to the backbone.
    """
    draw = torch.Generator().manual_seed(seed)
    weights = {k: v.requires_grad_() for k, v in init(draw, width).items()}
    optimizer = torch.optim.AdamW(
        weights.values(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=n_iter, pct_start=0.1
    )
    wide = torch.tensor([one.inputs.values.shape[1] > WIDE for one in seen])
    for _ in range(n_iter):
        batch = stacked([seen[i] for i in some_alike(wide, draw)], draw)
        share = DROP * torch.rand(N_TABLES, 1, 1, generator=draw)
        chance = torch.rand(N_TABLES, 1, batch.rows.shape[-1], generator=draw)
        added = correction(weights, batch, (chance > share).float())
        base = backbone(weights, batch)
        score = base + added
        rivals = [batch.rows[..., FIVE_NEAREST], base.detach()]
        plain = shortfall(score, rivals, N_ROWS) + shrink * added.var(1)
        loss = F.softplus(-lead(score, N_ROWS)).mean((1, 2))
        unlabelled = batch.context[:, -1] == 0
        loss = torch.where(unlabelled, loss + plain, LABELLED * loss).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimizer.step()
        schedule.step()
    return {name: value.detach() for name, value in weights.items()}
