"""What the displays share: axes to draw on, colours, and rows that are judged."""

from numbers import Integral

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from skmetaad._rows import unpack
from skmetaad.compose import decide
from skmetaad.tasks import as_collection

# Told apart by people who see no red and green, and in grey.
NORMAL, OUTLIER, NEUTRAL = "#0072b2", "#d55e00", "#6e6e6e"


def axes(ax):
    """Return the axes to draw on, new ones if None."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "displays need matplotlib: install it with `pip install matplotlib`."
        ) from error
    return plt.subplots()[1]


def styled(kind, default, given):
    """Return matplotlib's options, given ones first, whichever alias they come by."""
    from matplotlib import cbook, collections, lines

    kinds = {"line": lines.Line2D, "points": collections.PathCollection}
    given = cbook.normalize_kwargs(given, kinds[kind])
    if "c" in given:  # of points, which have "color" beside it
        default = {k: v for k, v in default.items() if k != "color"}
    return {**default, **given}


def same_length(**arrays):
    """Return arrays of one axis and one length, or raise a ValueError."""
    found = {name: np.asarray(value) for name, value in arrays.items()}
    first = next(iter(found))
    for name, value in found.items():
        if value.ndim != 1 or len(value) != len(found[first]):
            raise ValueError(
                f"{name} has shape {value.shape}, {first} {found[first].shape}: "
                "expected one value per row in each."
            )
    return found.values()


def decision_values(decision):
    """Return decision values as numbers, or raise an error that says why not."""
    try:
        found = np.asarray(decision, np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            f"decision of type {type(decision).__name__} holds no numbers: expected "
            "one per row."
        ) from None
    if found.ndim != 1:
        raise ValueError(
            f"decision has shape {found.shape}: expected one number per row."
        )
    bad = np.flatnonzero(~np.isfinite(found))
    if len(bad):
        raise ValueError(
            f"decision holds {found[bad[0]]} at row {bad[0]}: expected finite numbers."
        )
    return found


def check_finite(values, names, what="scores"):
    """Raise a ValueError that names the first value that is not finite."""
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        raise ValueError(
            f"{what} have {values[bad[0]]} at {names[bad[0]]}: expected finite scores; "
            "leave such tasks out."
        )


def one_seed(random_state):
    """Return an int, so that several calls draw the same rows."""
    if isinstance(random_state, Integral):
        return random_state
    return check_random_state(random_state).randint(2**31 - 1)


def judged(estimator, X, y, task):
    """Return the decision values of rows, and their labels: 0 where none are known."""
    rows = X
    if isinstance(estimator, Pipeline):  # other detectors take a collection as it is
        rows, _, task = unpack(X, None, task)
    # Detectors other than ours know no `task`.
    decision = (
        estimator.decision_function(rows)
        if task is None
        else decide(estimator, rows, task)
    )
    if y is None and as_collection(X) is not None:
        _, y, _ = unpack(X, None, None, min_width=1)
    return decision, np.zeros(len(decision), np.int8) if y is None else y


def named(estimator, name):
    """Return the name to show."""
    return type(estimator).__name__ if name is None else name
