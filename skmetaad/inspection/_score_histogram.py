"""Scores of inliers and outliers on both sides of the threshold."""

import numpy as np

from skmetaad.inspection._drawn import (
    NEUTRAL,
    NORMAL,
    OUTLIER,
    axes,
    decision_values,
    judged,
    named,
    same_length,
)
from skmetaad.labels import warned_labels


class ScoreHistogramDisplay:
    """Histogram of decision values by label, with the threshold at zero.

    Parameters
    ----------
    y : array-like of shape (n_rows,)
        Labels: -1 outlier, +1 inlier, 0 unlabelled.
    decision : array-like of shape (n_rows,)
        Values of `decision_function`; negative = outlier.
    name : str, default=None
        Title of the axes.

    Attributes
    ----------
    bars_ : dict of str to matplotlib BarContainer
        The histograms, by "inlier", "outlier" and "unlabelled", where there are such.
    threshold_ : matplotlib Line2D
        The line at zero.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmetaad.inspection import ScoreHistogramDisplay
    >>> display = ScoreHistogramDisplay.from_predictions([1, 1, -1], [0.5, 0.1, -2.0])
    >>> sorted(display.bars_)
    ['inlier', 'outlier']
    >>> plt.close()
    """

    def __init__(self, y, decision, *, name=None):
        y, self.decision = same_length(y=y, decision=decision_values(decision))
        self.y = warned_labels(y, len(y), "y")
        self.name = name

    @classmethod
    def from_predictions(cls, y, decision, *, name=None, ax=None, **kwargs):
        """Draw decision values that are known.

        Parameters
        ----------
        y : array-like of shape (n_rows,)
            Labels: -1 outlier, +1 inlier, 0 unlabelled.
        decision : array-like of shape (n_rows,)
            Values of `decision_function`; finite.
        name : str, default=None
            Title of the axes.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `hist`, of all kinds of rows.

        Returns
        -------
        display : ScoreHistogramDisplay
            What was drawn.
        """
        return cls(y, decision, name=name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, task=None, name=None, ax=None, **kwargs
    ):
        """Judge rows by an adapted detector and draw its decision values.

        Parameters
        ----------
        estimator : object
            A detector adapted to the rows' tasks, or any with `decision_function`.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to judge.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. None: those of the collection;
            other rows are unlabelled.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        name : str, default=None
            Title of the axes; None: the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `hist`, of all kinds of rows.

        Returns
        -------
        display : ScoreHistogramDisplay
            What was drawn.
        """
        decision, y = judged(estimator, X, y, task)
        return cls(y, decision, name=named(estimator, name)).plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the histograms.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `hist`, of all kinds of rows.

        Returns
        -------
        self : ScoreHistogramDisplay
            With `bars_`, `threshold_`, `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        options = {"bins": 40, "alpha": 0.6, **kwargs}
        edges = np.histogram_bin_edges(self.decision, options.pop("bins"))
        self.bars_ = {}
        kinds = (("inlier", 1, NORMAL), ("outlier", -1, OUTLIER))
        for kind, label, color in (*kinds, ("unlabelled", 0, NEUTRAL)):
            values = self.decision[self.y == label]
            if len(values):
                own = {"color": color, "label": f"{kind} ({len(values)})", **options}
                *_, self.bars_[kind] = self.ax_.hist(values, edges, **own)
        self.threshold_ = self.ax_.axvline(0, color="black", ls="--", label="threshold")
        self.ax_.set(xlabel="decision function", ylabel="rows", title=self.name)
        self.ax_.legend()
        return self
