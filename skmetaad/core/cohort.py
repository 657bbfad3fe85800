r"""Adaptive score normalisation: rows and tasks set against tasks known from training.

A row that is near to many known tasks is near to a new one for less reason, and a task
in a crowd needs a narrower border than one apart from all others. With :math:`c(x)` the
root mean square of the distances of x to the nearest of a cohort of prototypes, the
distance d of a row x to a task of prototype p counts as
:math:`\log d - (\log c(x) + \log c(p)) / 2`.
"""

import torch
from torch import Tensor

from skmetaad.core.blend import log_distances
from skmetaad.core.nets import Params

# Prototypes of the cohort that count, the nearest ones.
NEAREST = 20
# Rows whose distances to the cohort are in memory at once.
AT_ONCE = 8192


def level(params: Params, state: Params, embedded: Tensor) -> Tensor:
    """Return what log distances (T, R) of embedded rows (T, R, e) are set against."""
    of_rows = _away(params["cohort.prototypes"], embedded)
    of_task = _away(params["cohort.prototypes"], state["prototype"])
    of_task = of_task.amin(dim=1, keepdim=True).expand_as(of_rows)
    return log_distances([of_rows, of_task]).mean(dim=-1)


def _away(cohort: Tensor, x: Tensor) -> Tensor:
    """Return mean squared distances (T, R) of x to the nearest of a cohort."""
    k = min(NEAREST, len(cohort))
    parts = [
        torch.cdist(part, cohort).square().topk(k, dim=1, largest=False).values
        for part in x.flatten(0, 1).split(AT_ONCE)
    ]
    return torch.cat(parts).mean(dim=1).reshape(x.shape[:2])
