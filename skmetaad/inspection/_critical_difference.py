"""Mean ranks of several methods, and which of them the tasks cannot tell apart."""

from numbers import Real

import numpy as np
from scipy.stats import rankdata

from skmetaad.inspection._drawn import NORMAL, axes, check_finite, one_seed, styled
from skmetaad.inspection._significance import DIGITS, friedman_p, holm, signed_rank_p
from skmetaad.metrics import few_shot_scores


class CriticalDifferenceDisplay:
    """Critical-difference diagram of methods over tasks.

    Methods are placed at their mean rank over tasks, 1 = best. Bars join methods that
    Wilcoxon's signed-rank test with Holm's correction does not tell apart [1]_ [2]_.

    Parameters
    ----------
    scores : dict of str to array-like of shape (n_tasks,), or to dict
        The score of each method on the same tasks, higher = better; or what
        `few_shot_scores` returned for each, {task id: score}, in any order, or a Series
        of pandas with task ids as its index.
    alpha : float, default=0.05
        Level of the tests, all pairs together.

    Attributes
    ----------
    ranks_ : dict of str to float
        Mean ranks, best first.
    p_values_ : dict of (str, str) to float
        Holm-adjusted p values, by pairs of methods, the better first.
    friedman_p_ : float
        The p value of Friedman's test of all methods being alike; NaN for two methods
        or a single task.
    groups_ : list of tuple of str
        Methods that are not told apart.
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    References
    ----------
    .. [1] Demsar (2006). Statistical Comparisons of Classifiers over Multiple Data
       Sets. JMLR 7, 1-30.
    .. [2] Benavoli, Corani, Mangili (2016). Should We Really Use Post-Hoc Tests Based
       on Mean-Ranks? JMLR 17(5), 1-10. :arxiv:`1505.02288`

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> import numpy as np
    >>> from skmetaad.inspection import CriticalDifferenceDisplay
    >>> base = np.linspace(0.5, 0.9, 20)
    >>> other = base + 0.01 * (-1.0) ** np.arange(20)
    >>> scores = {"a": base + 0.05, "b": base, "c": other}
    >>> display = CriticalDifferenceDisplay.from_predictions(scores)
    >>> display.ranks_["a"], display.groups_
    (1.0, [('b', 'c')])
    >>> plt.close()
    """

    def __init__(self, scores, *, alpha=0.05):
        if not isinstance(scores, dict):
            raise TypeError(
                f"scores={scores!r}: expected a dict, {{method: score of each task}}."
            )
        if not isinstance(alpha, Real) or not 0 < alpha < 1:
            raise ValueError(f"alpha={alpha!r}: expected a number in (0, 1).")
        scores, ids = _by_task(scores)
        table = {name: np.asarray(v, np.float64) for name, v in scores.items()}
        shapes = {value.shape for value in table.values()}
        shape = next(iter(shapes), ())
        if len(table) < 2 or len(shapes) != 1 or len(shape) != 1 or not shape[0]:
            raise ValueError(
                f"scores has shapes { {k: v.shape for k, v in table.items()} }: "
                "expected at least two methods with one score for each of the same "
                "tasks."
            )
        places = [f"place {i}" for i in range(shape[0])]
        if ids is not None:
            places = [f"task {i!r}" for i in ids]
        for name, values in table.items():
            check_finite(values, places, f"scores of {name!r}")
        self.scores = table
        self.alpha = alpha
        self._test()

    @classmethod
    def from_predictions(cls, scores, *, alpha=0.05, ax=None, **kwargs):
        """Draw the diagram of known scores.

        Parameters
        ----------
        scores : dict of str to array-like of shape (n_tasks,), or to dict
            The score of each method on the same tasks, higher = better; or what
            `few_shot_scores` returned for each, {task id: score}, in any order, or a
            Series of pandas with task ids as its index.
        alpha : float, default=0.05
            Level of the tests, all pairs together.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot` of the bars.

        Returns
        -------
        display : CriticalDifferenceDisplay
            What was drawn.
        """
        return cls(scores, alpha=alpha).plot(ax, **kwargs)

    @classmethod
    def from_estimators(
        cls,
        estimators,
        X,
        y=None,
        *,
        task=None,
        n_support=10,
        metric="roc_auc",
        chronological=False,
        n_repeats=1,
        random_state=0,
        alpha=0.05,
        ax=None,
        **kwargs,
    ):
        """Adapt fitted detectors to the same tasks and draw how they rank.

        Parameters
        ----------
        estimators : dict of str to object
            Fitted meta-detectors, by their names.
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows of the tasks to evaluate on.
        y : array-like of shape (n_rows,), default=None
            Labels: -1 outlier, +1 inlier, 0 unlabelled.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.
        n_support : int, default=10
            Support rows per task.
        metric : str or callable, default="roc_auc"
            As `few_shot_scores` takes it.
        chronological : bool or "consecutive", default=False
            As `few_shot_scores` takes it.
        n_repeats : int, default=1
            Supports drawn per task; values are averaged.
        random_state : int, RandomState instance or None, default=0
            Seed of the draws: all detectors see the same rows.
        alpha : float, default=0.05
            Level of the tests, all pairs together.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot` of the bars.

        Returns
        -------
        display : CriticalDifferenceDisplay
            What was drawn.
        """
        if not isinstance(estimators, dict):
            raise TypeError(
                f"estimators={estimators!r}: expected a dict, {{name: detector}}."
            )
        options = {"task": task, "n_support": n_support, "metric": metric}
        options |= {"n_repeats": n_repeats, "random_state": one_seed(random_state)}
        options["chronological"] = chronological
        scores = {
            name: few_shot_scores(one, X, y, **options)
            for name, one in estimators.items()
        }
        return cls(scores, alpha=alpha).plot(ax, **kwargs)

    def _test(self):
        names = list(self.scores)
        values = np.array([self.scores[name] for name in names])
        mean = rankdata(-values.round(DIGITS), axis=0).mean(axis=1)
        self.ranks_ = {
            names[i]: float(mean[i]) for i in np.argsort(mean, kind="stable")
        }
        self.friedman_p_ = friedman_p(values)
        ordered = list(self.ranks_)
        pairs = [(a, b) for i, a in enumerate(ordered) for b in ordered[i + 1 :]]
        raw = [signed_rank_p(self.scores[a] - self.scores[b]) for a, b in pairs]
        self.p_values_ = dict(zip(pairs, holm(raw), strict=True))
        self.groups_ = _cliques(ordered, self.p_values_, self.alpha)

    def plot(self, ax=None, **kwargs):
        """Draw the diagram.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `plot` of the bars.

        Returns
        -------
        self : CriticalDifferenceDisplay
            With `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        n = len(self.ranks_)
        left = (n + 1) // 2
        top = 0.6 + 0.35 * len(self.groups_)
        for i, (name, rank) in enumerate(self.ranks_.items()):
            first = i < left
            height = -top - 0.5 * (i if first else n - 1 - i)
            end, side = (0.6, "right") if first else (n + 0.4, "left")
            self.ax_.plot([rank, rank, end], [0, height, height], color="black", lw=0.8)
            text = f"{name}  {rank:.2f}" if first else f"{rank:.2f}  {name}"
            self.ax_.text(end, height, f" {text} ", ha=side, va="center")
        default = {"color": NORMAL, "linewidth": 4, "solid_capstyle": "round"}
        options = styled("line", default, kwargs)
        for i, group in enumerate(self.groups_):
            ends = [self.ranks_[name] for name in (group[0], group[-1])]
            self.ax_.plot(ends, [-0.35 * (i + 1)] * 2, **options)
        self.ax_.axhline(0, xmin=0, xmax=1, color="black", lw=1)
        self.ax_.set(xlim=(0.6, n + 0.4), ylim=(-top - 0.5 * left, 0), yticks=[])
        self.ax_.set_xticks(range(1, n + 1))
        self.ax_.xaxis.tick_top()
        self.ax_.set_xlabel("mean rank, 1 = best")
        self.ax_.xaxis.set_label_position("top")
        for side in ("left", "right", "bottom", "top"):
            self.ax_.spines[side].set_visible(False)
        return self


def _by_task(scores):
    """Return scores with tasks in one order, and the task ids or None."""
    scores = {name: _by_id(name, one) for name, one in scores.items()}
    if not any(isinstance(one, dict) for one in scores.values()):
        return scores, None
    if not all(isinstance(one, dict) for one in scores.values()):
        bare = [name for name, one in scores.items() if not isinstance(one, dict)]
        raise ValueError(
            f"scores of {bare} come without task ids, others with them: expected "
            "{task id: score} for all methods or for none."
        )
    first = next(iter(scores))
    ids = list(scores[first])
    for name, one in scores.items():
        if one.keys() != scores[first].keys():
            other = next(iter(one.keys() ^ scores[first].keys()))
            raise ValueError(
                f"scores of {first!r} and {name!r} differ in task {other!r}: expected "
                "the same tasks for all methods."
            )
    return {name: [one[i] for i in ids] for name, one in scores.items()}, ids


def _by_id(name, scores):
    """Return a Series of pandas that has an index of its own as a dict."""
    if isinstance(scores, dict) or not hasattr(scores, "items"):
        return scores
    if type(scores.index).__name__ == "RangeIndex":  # places, not ids
        return scores
    if not scores.index.is_unique:
        raise ValueError(
            f"scores of {name!r} have an index that repeats: expected one score per "
            "task id."
        )
    return dict(scores.items())


def _cliques(ordered, p_values, alpha):
    """Return the longest runs of methods of which no pair is told apart."""
    found = []
    for i in range(len(ordered)):
        end = i + 1
        while end < len(ordered) and all(
            p_values[name, ordered[end]] >= alpha for name in ordered[i:end]
        ):
            end += 1
        if end - i > 1 and (not found or end > found[-1][1]):
            found.append((i, end))
    return [tuple(ordered[i:end]) for i, end in found]
