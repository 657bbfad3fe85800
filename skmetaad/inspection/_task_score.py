"""The score of each task, in order, beside that of a rival."""

import numpy as np

from skmetaad.inspection._drawn import (
    NEUTRAL,
    NORMAL,
    axes,
    check_finite,
    named,
    one_seed,
    styled,
)
from skmetaad.metrics import few_shot_scores


class TaskScoreDisplay:
    """One point per task, sorted by score: means hide the tasks that go wrong.

    Parameters
    ----------
    scores : dict
        The score of each task, by its id, as `few_shot_scores` returns it.
    reference : dict, default=None
        The scores of a rival on the same tasks, such as k-NN.
    name : str, default=None
        What the scores are of.
    reference_name : str, default=None
        What the reference is.
    metric : str, default="score"
        Label of the horizontal axis.

    Attributes
    ----------
    points_ : matplotlib PathCollection
        The tasks' scores, lowest at the bottom.
    reference_points_ : matplotlib PathCollection or None
        Those of the reference.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmetaad.inspection import TaskScoreDisplay
    >>> scores, rival = {"a": 0.9, "b": 0.7}, {"a": 0.8, "b": 0.75}
    >>> display = TaskScoreDisplay.from_predictions(scores, rival)
    >>> [label.get_text() for label in display.ax_.get_yticklabels()]
    ['b', 'a']
    >>> plt.close()
    """

    def __init__(
        self, scores, reference=None, *, name=None, reference_name=None, metric="score"
    ):
        for one, what in ((scores, "scores"), (reference or {}, "reference")):
            if not isinstance(one, dict):
                raise TypeError(f"{what}={one!r}: expected a dict, {{task id: score}}.")
            ids = [f"task {i!r}" for i in one]
            check_finite(np.array(list(one.values()), np.float64), ids, what)
        if not scores:
            raise ValueError(
                "scores is empty: expected the score of at least one task."
            )
        if reference is not None and reference.keys() != scores.keys():
            other = next(iter(scores.keys() ^ reference.keys()))
            raise ValueError(
                f"scores and reference differ in task {other!r}: expected the same "
                "tasks in both."
            )
        self.scores = scores
        self.reference = reference
        self.name = name
        self.reference_name = reference_name
        self.metric = metric

    @classmethod
    def from_predictions(
        cls,
        scores,
        reference=None,
        *,
        name=None,
        reference_name=None,
        metric="score",
        ax=None,
        **kwargs,
    ):
        """Draw scores that are known.

        Parameters
        ----------
        scores : dict
            The score of each task, by its id, as `few_shot_scores` returns it.
        reference : dict, default=None
            The scores of a rival on the same tasks, such as k-NN.
        name : str, default=None
            What the scores are of.
        reference_name : str, default=None
            What the reference is.
        metric : str, default="score"
            Label of the horizontal axis.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter`.

        Returns
        -------
        display : TaskScoreDisplay
            What was drawn.
        """
        labels = {"name": name, "reference_name": reference_name, "metric": metric}
        return cls(scores, reference, **labels).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y=None,
        *,
        task=None,
        reference=None,
        n_support=10,
        metric="roc_auc",
        chronological=False,
        n_repeats=1,
        random_state=0,
        name=None,
        reference_name=None,
        ax=None,
        **kwargs,
    ):
        """Adapt a fitted meta-detector to each task and draw its scores.

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
        reference : object, default=None
            Another fitted detector, judged on the same rows.
        n_support : int, default=10
            Support rows per task.
        metric : str or callable, default="roc_auc"
            As `few_shot_scores` takes it.
        chronological : bool or "consecutive", default=False
            As `few_shot_scores` takes it.
        n_repeats : int, default=1
            Supports drawn per task; values are averaged.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws.
        name : str, default=None
            What to call the estimator; None: by its class.
        reference_name : str, default=None
            What to call the reference; None: by its class.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter`.

        Returns
        -------
        display : TaskScoreDisplay
            What was drawn.
        """
        options = {"metric": metric, "n_support": n_support, "n_repeats": n_repeats}
        options |= {"task": task, "chronological": chronological}
        options["random_state"] = one_seed(random_state)
        found = few_shot_scores(estimator, X, y, **options)
        rival = reference and few_shot_scores(reference, X, y, **options)
        display = cls(
            found,
            rival,
            name=named(estimator, name),
            reference_name=reference and named(reference, reference_name),
            metric=metric if isinstance(metric, str) else "score",
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter`.

        Returns
        -------
        self : TaskScoreDisplay
            With `points_`, `reference_points_`, `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        ids = sorted(self.scores, key=self.scores.get)
        place = np.arange(len(ids))
        values = np.array([self.scores[i] for i in ids])
        self.reference_points_ = None
        if self.reference is not None:
            rival = np.array([self.reference[i] for i in ids])
            self.ax_.hlines(place, values, rival, color=NEUTRAL, lw=0.8)
            self.reference_points_ = self.ax_.scatter(
                rival, place, marker="|", color=NEUTRAL, label=self.reference_name
            )
        default = {"color": NORMAL, "label": self.name, "zorder": 3}
        options = styled("points", default, kwargs)
        self.points_ = self.ax_.scatter(values, place, **options)
        self.ax_.set_yticks(place, [str(i) for i in ids])
        self.ax_.set(xlabel=self.metric, ylabel="task")
        if self.name is not None or self.reference_name is not None:
            self.ax_.legend()
        return self
