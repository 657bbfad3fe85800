"""How a detector's score grows with the number of support rows."""

import warnings

import numpy as np

from skmetaad._checks import check_count
from skmetaad.inspection._drawn import axes, check_finite, named, one_seed, styled
from skmetaad.inspection._significance import bootstrap_interval
from skmetaad.metrics import few_shot_scores, most_support


class AdaptationCurveDisplay:
    """Mean score over tasks against the number of support rows.

    Use `from_estimator`, or `from_predictions` with the scores of each task.

    Parameters
    ----------
    n_support : array-like of shape (n_shots,)
        Numbers of support rows.
    scores : array-like of shape (n_shots, n_tasks)
        The score of each task with so many support rows.
    name : str, default=None
        Label of the curve.
    metric : str, default="score"
        Label of the vertical axis.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The mean over tasks.
    band_ : matplotlib collection
        Its 95 % bootstrap interval over tasks.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmetaad.inspection import AdaptationCurveDisplay
    >>> scores = [[0.6, 0.7], [0.8, 0.9]]
    >>> display = AdaptationCurveDisplay.from_predictions([1, 10], scores)
    >>> len(display.line_.get_xdata())
    2
    >>> plt.close()
    """

    def __init__(self, n_support, scores, *, name=None, metric="score"):
        self.n_support = np.asarray(n_support)
        if not self.n_support.size:
            raise ValueError(
                "n_support is empty: expected at least one number of rows."
            )
        self.scores = np.asarray(scores, np.float64)
        if self.scores.ndim != 2 or len(self.scores) != len(self.n_support):
            raise ValueError(
                f"scores has shape {self.scores.shape}: expected one row per number "
                f"of support rows, ({len(self.n_support)}, n_tasks)."
            )
        for k, row in zip(self.n_support, self.scores, strict=True):
            places = [f"place {i} for {k} rows" for i in range(len(row))]
            check_finite(row, places)
        self.name = name
        self.metric = metric

    @classmethod
    def from_predictions(
        cls, n_support, scores, *, name=None, metric="score", ax=None, **kwargs
    ):
        """Draw scores that are known.

        Parameters
        ----------
        n_support : array-like of shape (n_shots,)
            Numbers of support rows.
        scores : array-like of shape (n_shots, n_tasks)
            The score of each task with so many support rows.
        name : str, default=None
            Label of the curve.
        metric : str, default="score"
            Label of the vertical axis.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        display : AdaptationCurveDisplay
            What was drawn.
        """
        return cls(n_support, scores, name=name, metric=metric).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        task=None,
        n_support=(1, 2, 5, 10, 20),
        metric="roc_auc",
        chronological=False,
        n_repeats=1,
        random_state=0,
        name=None,
        ax=None,
        **kwargs,
    ):
        """Adapt a fitted meta-detector to tasks from more and more rows.

        Parameters
        ----------
        estimator : object
            A fitted meta-detector.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        n_support : sequence of int, default=(1, 2, 5, 10, 20)
            Numbers of support rows. Those above half of the inliers of the smallest
            task are left out, with a warning.
        metric : str or callable, default="roc_auc"
            As `few_shot_scores` takes it.
        chronological : bool or "consecutive", default=False
            As `few_shot_scores` takes it.
        n_repeats : int, default=1
            Supports drawn per task; values are averaged.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.
        name : str, default=None
            Label of the curve; None: the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        display : AdaptationCurveDisplay
            What was drawn.
        """
        n_support = _usable(n_support, *most_support(estimator, X, y, task))
        seed = one_seed(random_state)
        scores = [
            few_shot_scores(
                estimator,
                X,
                y,
                task=task,
                metric=metric,
                n_support=k,
                chronological=chronological,
                n_repeats=n_repeats,
                random_state=seed,
            )
            for k in n_support
        ]
        values = [list(found.values()) for found in scores]
        label = metric if isinstance(metric, str) else "score"
        display = cls(n_support, values, name=named(estimator, name), metric=label)
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        self : AdaptationCurveDisplay
            With `line_`, `band_`, `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        options = styled("line", {"marker": "o", "label": self.name}, kwargs)
        mean = self.scores.mean(axis=1)
        (self.line_,) = self.ax_.plot(self.n_support, mean, **options)
        low, high = bootstrap_interval(self.scores)
        self.band_ = self.ax_.fill_between(
            self.n_support, low, high, color=self.line_.get_color(), alpha=0.2, lw=0
        )
        self.ax_.set_xscale("log")
        self.ax_.set_xticks(self.n_support, [str(k) for k in self.n_support])
        self.ax_.minorticks_off()
        self.ax_.set(xlabel="support rows", ylabel=f"{self.metric}, mean over tasks")
        if self.name is not None:
            self.ax_.legend()
        return self


def _usable(n_support, most, name):
    """Return the numbers of rows that all tasks have, half of their inliers at most."""
    if not np.iterable(n_support):
        raise TypeError(
            f"n_support={n_support!r}: expected a sequence of numbers of rows."
        )
    for k in n_support:
        check_count("n_support", k)
    above = [k for k in n_support if k > most]
    if not above:
        return n_support
    text = f"task {name!r} has support rows for n_support up to {most}"
    if len(above) == len(n_support):
        raise ValueError(f"n_support={n_support!r}: {text}, half of its inliers.")
    warnings.warn(f"{text}: {above} are left out.", UserWarning, stacklevel=3)
    return [k for k in n_support if k <= most]
