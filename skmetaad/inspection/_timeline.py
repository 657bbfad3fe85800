"""A series of scores with its alarms, and where the anomalies really were."""

import numpy as np

from skmetaad.inspection._drawn import (
    NORMAL,
    OUTLIER,
    axes,
    decision_values,
    judged,
    named,
    same_length,
    styled,
)
from skmetaad.labels import warned_labels


class TimelineDisplay:
    """Decision values over time, alarms marked, true anomalies shaded.

    Parameters
    ----------
    decision : array-like of shape (n_rows,)
        Values of `decision_function`, in time order; negative = outlier.
    y : array-like of shape (n_rows,), default=None
        Labels: -1 outlier, +1 inlier, 0 unlabelled.
    time : array-like of shape (n_rows,), default=None
        When the rows were seen, ascending; None: their numbers.
    name : str, default=None
        Title of the axes.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The decision values.
    alarms_ : matplotlib PathCollection
        The rows below zero.
    windows_ : list of matplotlib Rectangle
        The runs of labelled outliers.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmetaad.inspection import TimelineDisplay
    >>> display = TimelineDisplay.from_predictions([1, -1, -2, 1], [1, -1, -1, 1])
    >>> len(display.windows_), len(display.alarms_.get_offsets())
    (1, 2)
    >>> plt.close()
    """

    def __init__(self, decision, y=None, *, time=None, name=None):
        decision = decision_values(decision)
        n = len(decision)
        time = np.arange(n) if time is None else time
        y = np.zeros(n, np.int8) if y is None else y
        self.decision, y, self.time = same_length(decision=decision, y=y, time=time)
        if len(self.time) and isinstance(self.time[0], str):
            raise TypeError(
                f"time holds text such as {str(self.time[0])!r}: expected numbers or "
                "times."
            )
        self.y = warned_labels(y, len(y), "y")
        self.name = name

    @classmethod
    def from_predictions(
        cls, decision, y=None, *, time=None, name=None, ax=None, **kwargs
    ):
        """Draw decision values that are known.

        Parameters
        ----------
        decision : array-like of shape (n_rows,)
            Values of `decision_function`, in time order; finite.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.
        time : array-like of shape (n_rows,), default=None
            When the rows were seen; None: their numbers.
        name : str, default=None
            Title of the axes.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        display : TimelineDisplay
            What was drawn.
        """
        return cls(decision, y, time=time, name=name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, task=None, time=None, name=None, ax=None, **kwargs
    ):
        """Judge the rows of one task by an adapted detector and draw them over time.

        Parameters
        ----------
        estimator : object
            A detector adapted to the task, or any with `decision_function`.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of one task, in time order.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled. None: those of the collection;
            other rows are unlabelled.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        time : array-like of shape (n_rows,), default=None
            When the rows were seen; None: their numbers.
        name : str, default=None
            Title of the axes; None: the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        display : TimelineDisplay
            What was drawn.
        """
        decision, y = judged(estimator, X, y, task)
        display = cls(decision, y, time=time, name=named(estimator, name))
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the series.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot`.

        Returns
        -------
        self : TimelineDisplay
            With `line_`, `alarms_`, `windows_`, `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        options = styled("line", {"color": NORMAL, "linewidth": 1.0}, kwargs)
        (self.line_,) = self.ax_.plot(self.time, self.decision, **options)
        alarm = self.decision < 0
        self.alarms_ = self.ax_.scatter(
            self.time[alarm],
            self.decision[alarm],
            color=OUTLIER,
            s=12,
            zorder=3,
            label=f"alarm ({alarm.sum()})",
        )
        self.windows_ = []
        for start, end in self._runs():
            label = None if self.windows_ else "anomaly"
            self.windows_.append(
                self.ax_.axvspan(
                    start, end, color=OUTLIER, alpha=0.2, lw=0, label=label
                )
            )
        self.ax_.axhline(0, color="black", ls="--", lw=0.8, label="threshold")
        self.ax_.set(xlabel="time", ylabel="decision function", title=self.name)
        self.ax_.legend()
        return self

    def _runs(self):
        """Return the start of each run of outliers, and of the row after it."""
        odd = np.r_[False, self.y == -1, False].astype(np.int8)
        edges = np.diff(odd)
        starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
        return [
            (self.time[a], self.time[b] if b < len(self.time) else self._after())
            for a, b in zip(starts, ends, strict=True)
        ]

    def _after(self):
        """Return when a row after the last would come: a usual step later."""
        steps = np.sort(np.diff(self.time))
        return self.time[-1] + (steps[len(steps) // 2] if len(steps) else 1)
