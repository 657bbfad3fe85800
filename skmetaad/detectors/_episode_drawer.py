"""From row numbers to tensors: the meta-batches of the detectors with a torch core."""

import torch

from skmetaad.core.outliers import with_made
from skmetaad.core.state import generator
from skmetaad.core.train import Batch
from skmetaad.episodes import EpisodeSampler


class EpisodeDrawer:
    """Draws batches of episodes, as tensors.

    `made` tells which outliers half of the queries' give way to: "synthetic",
    "transferred" (where none are labelled, synthetic), or None. With another sampler,
    by which parts of scores are weighed, outliers are as they come.
    """

    def __init__(self, rows, y, code, rng, *, made, **options):
        self.rows, self.y, self.code, self.rng = rows, y, code, rng
        self.options = options
        self.generator = generator(rng)
        self.seed = self.generator.initial_seed() % 2**32
        self.sampler = self.other_sampler()
        if made == "transferred" and self.sampler.negatives_ != "labels":
            made = "synthetic"
        self.made = made

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
        return with_made(batch, self.generator, None if sampler else self.made)
