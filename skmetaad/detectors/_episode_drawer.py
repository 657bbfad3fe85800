"""From row numbers to tensors: the meta-batches of the detectors with a torch core."""

import numpy as np
import torch

from skmetaad.core.outliers import with_made
from skmetaad.core.state import generator
from skmetaad.core.train import Batch
from skmetaad.episodes import EpisodeSampler

# By default those of so many tasks, or of half of the tasks, give way to made ones.
N_REPLACED = 5


def made_share(made, n_labelled, n_tasks):
    """Return which outliers are made, and their share among those of a query.

    `n_labelled` of the tasks have labelled outliers.
    """
    if made != "auto":
        return made, 0.5
    kind = "transferred" if n_labelled else "synthetic"
    return kind, min(0.5, N_REPLACED / (n_labelled or n_tasks))


class EpisodeDrawer:
    """Draws batches of episodes, as tensors.

    `made` tells what half of the queries' outliers give way to: "synthetic" ones, None,
    or "auto": transferred ones, or without labels synthetic ones; the fewer, the more
    tasks there are. With another sampler, by which parts of scores are weighed,
    outliers are as they come.
    """

    def __init__(self, rows, y, code, rng, *, made, **options):
        self.rows, self.y, self.code, self.rng = rows, y, code, rng
        self.options = options
        self.generator = generator(rng)
        self.seed = self.generator.initial_seed() % 2**32
        self.sampler = self.other_sampler()
        n_labelled = 0 if y is None else len(np.unique(code[y == -1]))
        self.made = made_share(made, n_labelled, self.sampler.n_tasks)

    def other_sampler(self, **options):
        """Return a sampler of the same rows with other options."""
        return EpisodeSampler(self.y, self.code, **{**self.options, **options})

    def __call__(self, n_episodes, tasks, sampler=None):
        drawn = (sampler or self.sampler).draw(n_episodes, self.rng, tasks=tasks)
        self.seed += 1
        batch = Batch(
            self.rows[torch.as_tensor(drawn.support)],
            torch.as_tensor(drawn.support_y),
            self.rows[torch.as_tensor(drawn.query)],
            torch.as_tensor(drawn.query_y),
            torch.as_tensor(drawn.task),
            self.seed,
        )
        made = () if sampler else self.made
        return with_made(batch, self.generator, *made)
