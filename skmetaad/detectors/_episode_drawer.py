"""From row numbers to tensors: the meta-batches of the detectors with a torch core."""

import numpy as np
import torch

from skmetaad.core.outliers import with_made
from skmetaad.core.state import generator
from skmetaad.core.train import Batch
from skmetaad.episodes import EpisodeSampler

# Outliers are transferred in place of those of so many tasks, or of half of the tasks.
N_TRANSFERRED = 5


def made_share(made, n_labelled):
    """Return what is made, and its share; so many tasks have labelled outliers."""
    if made == "transferred":
        if n_labelled:
            return made, min(0.5, N_TRANSFERRED / n_labelled)
        made = "synthetic"
    return made, 0.5


class EpisodeDrawer:
    """Draws batches of episodes, as tensors.

    `made` tells what half of the queries' outliers give way to: "synthetic" ones,
    "transferred" ones (where none are labelled, synthetic; where ten tasks or more have
    labelled ones, less than half), or None. With another sampler, by which parts of
    scores are weighed, outliers are as they come.
    """

    def __init__(self, rows, y, code, rng, *, made, **options):
        self.rows, self.y, self.code, self.rng = rows, y, code, rng
        self.options = options
        self.generator = generator(rng)
        self.seed = self.generator.initial_seed() % 2**32
        self.sampler = self.other_sampler()
        self.made = made_share(made, 0 if y is None else len(np.unique(code[y == -1])))

    def other_sampler(self, **options):
        """Return a sampler of the same rows with other options."""
        return EpisodeSampler(self.y, self.code, **{**self.options, **options})

    def __call__(self, n_episodes, tasks, sampler=None):
        drawn = (sampler or self.sampler).draw(n_episodes, self.rng, tasks=tasks)
        self.seed += 1
        batch = Batch(
            self.rows[torch.from_numpy(drawn.support)],
            torch.from_numpy(drawn.support_y),
            self.rows[torch.from_numpy(drawn.query)],
            torch.from_numpy(drawn.query_y),
            torch.from_numpy(drawn.task),
            self.seed,
        )
        made = () if sampler else self.made
        return with_made(batch, self.generator, *made)
