"""What the detectors with an inner loop share: its parameters, and robust training."""

from numbers import Integral, Real

import numpy as np
import torch
from sklearn import get_config

from skmetaad._compat import Interval, StrOptions
from skmetaad.core.augment import adversarial
from skmetaad.core.maml import ALGORITHMS, step_weights
from skmetaad.core.pieces import in_pieces, kept_bytes
from skmetaad.core.state import finite


class InnerLoop:
    """Mixin of detectors whose networks are each a `core.maml.MAML`."""

    _inner_constraints = {
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "inner_steps": [Interval(Integral, 1, None, closed="left")],
        "inner_rate": [Interval(Real, 0, None, closed="neither")],
        "learn_rates": ["boolean"],
        "inner_clip": [Interval(Real, 0, None, closed="neither"), None],
        "multi_step_loss": [Interval(Real, 0, 1, closed="both")],
        "checkpoint_inner": ["boolean"],
        "max_tasks_at_once": [Interval(Integral, 1, None, closed="left"), None],
        "adversarial_epsilon": [Interval(Real, 0, None, closed="left")],
    }

    _inner_shaping = ("algorithm", "learn_rates", "inner_clip")
    _rates = ("learning_rate", "inner_rate")

    def _inner_options(self):
        """Return what the core takes from these parameters."""
        names = ("algorithm", "inner_steps", "inner_rate", "learn_rates", "inner_clip")
        names += ("checkpoint_inner",)
        return {name: getattr(self, name) for name in names}

    def _networks(self, core, params, batches):
        """Yield the core of each network, its parameters and its batch."""
        yield core, params, batches[0]

    def _loss(self, core, params, batches, progress):
        weights = None
        if self.multi_step_loss:
            weights = step_weights(self.inner_steps, progress / self.multi_step_loss)
        losses = [
            self._loss_of(*network, weights)
            for network in self._networks(core, params, batches)
        ]
        return sum(losses) / len(losses)

    def _loss_of(self, core, params, batch, weights):
        def loss_of(batch):
            return core.loss(params, batch, weights)

        if self.adversarial_epsilon and torch.is_grad_enabled():
            step = self.adversarial_epsilon * params["within"].sqrt()
            batch = adversarial(loss_of, batch, step)
        return loss_of(batch)

    def _n_at_once(self, core, params, batches):
        if self.max_tasks_at_once:
            return self.max_tasks_at_once
        _, one = next(in_pieces(batches, 1))
        with kept_bytes() as kept:
            self._loss(core, params, one, 0.0)
        limit = get_config()["working_memory"] * 2**20
        return max(1, int(limit / max(kept.total, 1)))

    def _diverged(self, core, params, batches):
        found = []
        for single, net, batch in self._networks(core, params, batches):
            state = single.adapt(net, *batch.given)
            found.append(batch.task[~finite(state)].cpu())
        return np.unique(np.concatenate(found))
