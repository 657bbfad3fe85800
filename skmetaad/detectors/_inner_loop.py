"""What the detectors with an inner loop share: its parameters, and robust training."""

from numbers import Integral, Real

import numpy as np
import torch

from skmetaad._compat import Interval, StrOptions
from skmetaad.core.augment import adversarial
from skmetaad.core.maml import ALGORITHMS


class InnerLoop:
    """Mixin of detectors whose core is a `core.maml.MAML`."""

    _inner_constraints = {
        "algorithm": [StrOptions(set(ALGORITHMS))],
        "inner_steps": [Interval(Integral, 1, None, closed="left")],
        "inner_rate": [Interval(Real, 0, None, closed="neither")],
        "learn_rates": ["boolean"],
        "inner_clip": [Interval(Real, 0, None, closed="neither"), None],
        "adversarial_epsilon": [Interval(Real, 0, None, closed="left")],
    }

    def _inner_options(self):
        """Return what the core takes from these parameters."""
        names = ("algorithm", "inner_steps", "inner_rate", "learn_rates", "inner_clip")
        return {name: getattr(self, name) for name in names}

    def _loss(self, core, params, batches):
        (batch,) = batches
        if self.adversarial_epsilon and torch.is_grad_enabled():
            step = self.adversarial_epsilon * params["within"].sqrt()
            batch = adversarial(lambda moved: core.loss(params, moved), batch, step)
        return core.loss(params, batch)

    def _diverged(self, core, params, batches):
        (batch,) = batches
        mask = batch.support_y != 0
        state = core.adapt(params, batch.support, batch.support_y, mask)
        values = [value.reshape(len(mask), -1) for value in state.values()]
        usable = torch.cat([v.isfinite().all(dim=1, keepdim=True) for v in values], 1)
        return np.unique(batch.task[~usable.all(dim=1)])
