r"""Adaptive score normalisation: rows and tasks set against tasks known from training.

A row that is near to many known tasks is near to a new one for less reason, and a task
in a crowd needs a narrower border than one apart from all others. With the distances
:math:`d` to the prototypes of a cohort of training tasks, of which the nearest ones
count, a row x and a task's prototype p have the levels :math:`\log d(x)` and
:math:`\log d(p)`.
"""

import torch
from torch import Tensor

from skmetaad.core.blend import log_distances
from skmetaad.core.nets import Params

# Prototypes of the cohort that count, the nearest ones.
NEAREST = 5
# Rows whose distances to the cohort are in memory at once.
AT_ONCE = 8192


def levels(params: Params, state: Params, embedded: Tensor) -> Tensor:
    """Return the levels (T, R, 2) of embedded rows (T, R, e) and of their tasks."""
    of_rows = _away(params["cohort.prototypes"], embedded)
    of_task = _away(params["cohort.prototypes"], state["prototype"])
    of_task = of_task.amin(dim=1, keepdim=True).expand_as(of_rows)
    return log_distances([of_rows, of_task])


def _away(cohort: Tensor, x: Tensor) -> Tensor:
    """Return mean squared distances (T, R) of x to the nearest of a cohort."""
    k = min(NEAREST, len(cohort))
    parts = [
        torch.cdist(part, cohort).square().topk(k, dim=1, largest=False).values
        for part in x.flatten(0, 1).split(AT_ONCE)
    ]
    return torch.cat(parts).mean(dim=1).reshape(x.shape[:2])
