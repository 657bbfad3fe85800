"""What meta-training is made of: drawing episodes, and an outer step of MAML."""

import numpy as np
import torch
from maml_step import batch_of, init_mlp, written_out

from skmetaad.episodes import EpisodeSampler


class OuterStep:
    """Second-order MAML on 16 tasks, five inner steps, a dense autoencoder."""

    param_names = ["width"]
    params = [20, 100]

    def setup(self, width):
        generator = torch.Generator().manual_seed(0)
        net = init_mlp((width, 64, 32, 64, width), generator)
        self.net = {name: value.requires_grad_() for name, value in net.items()}
        self.support, self.query = batch_of(width)

    def time_step(self, width):
        written_out(self.net, self.support, self.query, 5)

    def peakmem_step(self, width):
        written_out(self.net, self.support, self.query, 5)


class Episodes:
    """Meta-batches of 16 episodes, from tasks of 100 rows."""

    param_names = ["n_tasks"]
    params = [10, 1000]

    def setup(self, n_tasks):
        y = np.where(np.arange(100 * n_tasks) % 10, 1, -1)
        code = np.repeat(np.arange(n_tasks), 100)
        self.sampler = EpisodeSampler(y, code, n_support=(1, 50), n_query=32)
        self.rng = np.random.default_rng(0)

    def time_draw(self, n_tasks):
        self.sampler.draw(16, self.rng)
