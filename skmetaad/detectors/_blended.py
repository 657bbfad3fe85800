"""Several networks, each weighed on the tasks that it has not seen."""

from itertools import product

import numpy as np
import torch

from skmetaad.core.blend import fit_blend
from skmetaad.core.gaussian import fleet_whitening
from skmetaad.core.scaling import row_unit

# Support sizes of the episodes on which the parts of a score are weighed.
BLEND_SHOTS = (1, 2, 5, 10, 20, 50)


def cross_fitted(tasks, n, rng):
    """Return the task codes for each of n networks, each without a share of its own."""
    n = min(n, len(tasks))
    if n == 1:
        return [tasks]
    order = rng.permutation(tasks)
    return [np.sort(np.setdiff1d(tasks, order[i::n])) for i in range(n)]


def learned_blend(evidence_of, draw, unseen):
    """Return the weights of a score's parts, a dict of tensors.

    `evidence_of(i, batch)` gives network i's evidence (B, Q, C) about the query, and
    the number of inliers in each support; `unseen` the task codes that each network has
    not seen. Without such tasks the weights stay equal.
    """
    learn = all(map(len, unseen))
    evidence, labels, shots = [], [], []
    for i, tasks in enumerate(unseen):
        for n_support, n_outliers in product(BLEND_SHOTS, (0, 3)):
            sampler = draw.other_sampler(
                n_support=n_support, n_query=64, n_support_outliers=n_outliers
            )
            batch = draw(24, tasks if learn else None, sampler=sampler)
            found, n_inliers = evidence_of(i, batch)
            evidence.append(found.double())
            labels.append(batch.query_y)
            shots.append(n_inliers.double())
    parts = torch.cat(evidence), torch.cat(labels), torch.cat(shots)
    return fit_blend(*parts, learn)


def data_whitening(params, draw, without):
    """Return what whitens rows, learned from all tasks but some."""
    kept = ~np.isin(draw.code, without)
    if draw.y is not None:
        kept &= draw.y != -1
    rows = draw.rows[torch.as_tensor(kept)] * row_unit(params)
    _, code = np.unique(draw.code[kept], return_inverse=True)
    whitening = fleet_whitening(rows, torch.as_tensor(code))
    return {"gauss.whitening": whitening.float()}


def learned_latent(core, params, draw, unseen):
    """Return what a latent core learns after training, and each network alone."""
    nets = core.networks(params)
    found = [
        core.known(net, _episodes_of(draw, tasks))
        for net, tasks in zip(nets, unseen, strict=True)
    ]
    nets = [
        net | own | data_whitening(params, draw, tasks)
        for net, own, tasks in zip(nets, found, unseen, strict=True)
    ]
    blend = learned_blend(lambda i, batch: core.weighed(nets[i], batch), draw, unseen)
    stacked = {k: torch.stack([each[k] for each in found]) for k in found[0]}
    after = blend | stacked | data_whitening(params, draw, [])
    return after, [core.alone(net) | blend for net in nets]


def _episodes_of(draw, unseen):
    """Yield episodes of the tasks that a network has seen."""
    tasks = np.setdiff1d(draw.sampler.usable, unseen)
    for n_support in BLEND_SHOTS:
        sampler = draw.other_sampler(n_support=n_support, n_query=64)
        yield draw(24, tasks, sampler=sampler)
