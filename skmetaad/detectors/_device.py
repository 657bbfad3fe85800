"""What the detectors that compute in torch share: the device they do it on."""

from functools import wraps

import torch

from skmetaad.core.state import CPU, as_device, computing_on

# How much more is computed at once where memory is large and each call costs.
LARGER = 8


class OnDevice:
    """Mixin of detectors that compute on their `device`, a GPU in larger blocks."""

    _device_constraints = {"device": [str, torch.device]}

    @property
    def _enlarged(self):
        return 1 if as_device(self.device) == CPU else LARGER

    def _step(self, X):
        return self._enlarged * super()._step(X)


def on_own_device(method):
    """Make a detector's method compute on its `device`."""

    @wraps(method)
    def placed(self, *args, **options):
        with computing_on(as_device(self.device)):
            return method(self, *args, **options)

    return placed
