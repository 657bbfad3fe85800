"""Support and query rows as an embedding has them, in two dimensions."""

import numpy as np

from skmetaad.inspection._drawn import NEUTRAL, NORMAL, OUTLIER, axes, named, styled
from skmetaad.labels import warned_labels

KINDS = (
    ("inlier", 1, NORMAL, "o"),
    ("outlier", -1, OUTLIER, "X"),
    ("unlabelled", 0, NEUTRAL, "o"),
)


class EmbeddingDisplay:
    """Embedded query rows around their support, on the two main axes.

    The axes are the principal components of support and query together; the mean of the
    support is marked.

    Parameters
    ----------
    support : array-like of shape (n_support, n_dimensions)
        Embedded support rows.
    query : array-like of shape (n_query, n_dimensions)
        Embedded query rows.
    y : array-like of shape (n_query,), default=None
        Labels of the query: -1 outlier, +1 inlier, 0 unlabelled.
    name : str, default=None
        Title of the axes.

    Attributes
    ----------
    support_ : matplotlib PathCollection
        The support rows.
    center_ : matplotlib PathCollection
        Their mean.
    query_ : dict of str to matplotlib PathCollection
        The query rows, by "inlier", "outlier" and "unlabelled".
    ax_ : matplotlib Axes
        The axes drawn on.
    figure_ : matplotlib Figure
        The figure of the axes.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from skmetaad.inspection import EmbeddingDisplay
    >>> support, query = [[0.0, 0, 0], [1, 0, 0]], [[0.5, 0, 0], [9, 9, 0]]
    >>> display = EmbeddingDisplay.from_predictions(support, query, [1, -1])
    >>> sorted(display.query_)
    ['inlier', 'outlier']
    >>> plt.close()
    """

    def __init__(self, support, query, y=None, *, name=None):
        self.support = np.asarray(support, np.float64)
        self.query = np.asarray(query, np.float64)
        self.name = name
        shapes = self.support.shape, self.query.shape
        if {len(shape) for shape in shapes} != {2} or shapes[0][1] != shapes[1][1]:
            raise ValueError(
                f"support and query have shapes {shapes[0]} and {shapes[1]}: expected "
                "two axes and one number of dimensions."
            )
        n_query = len(self.query)
        given = np.zeros(n_query, np.int8) if y is None else y
        self.y = warned_labels(given, n_query, "y")

    @classmethod
    def from_predictions(cls, support, query, y=None, *, name=None, ax=None, **kwargs):
        """Draw rows that are embedded already.

        Parameters
        ----------
        support : array-like of shape (n_support, n_dimensions)
            Embedded support rows.
        query : array-like of shape (n_query, n_dimensions)
            Embedded query rows.
        y : array-like of shape (n_query,), default=None
            Labels of the query.
        name : str, default=None
            Title of the axes.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter` of the query.

        Returns
        -------
        display : EmbeddingDisplay
            What was drawn.
        """
        return cls(support, query, y, name=name).plot(ax, **kwargs)

    @classmethod
    def from_estimator(
        cls, estimator, support, query, y=None, *, name=None, ax=None, **kwargs
    ):
        """Embed the rows of one task by a detector adapted to it, and draw them.

        Parameters
        ----------
        estimator : object
            A detector adapted to one task, with a method `embed`, such as
            MetaPrototypeDetector.
        support : array-like of shape (n_support, n_features)
            The rows it was adapted on.
        query : array-like of shape (n_query, n_features)
            Other rows.
        y : array-like of shape (n_query,), default=None
            Labels of the query.
        name : str, default=None
            Title of the axes; None: the estimator's class.
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter` of the query.

        Returns
        -------
        display : EmbeddingDisplay
            What was drawn.

        Raises
        ------
        TypeError
            When the estimator has no `embed`.
        """
        if not hasattr(estimator, "embed"):
            raise TypeError(
                f"{type(estimator).__name__} has no embed(X): expected a detector that "
                "embeds rows, such as MetaPrototypeDetector."
            )
        embedded = estimator.embed(support), estimator.embed(query)
        display = cls(*embedded, y, name=named(estimator, name))
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, **kwargs):
        """Draw the rows.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None: on new axes.
        **kwargs : dict
            For matplotlib's `scatter` of the query.

        Returns
        -------
        self : EmbeddingDisplay
            With `support_`, `center_`, `query_`, `ax_` and `figure_`.
        """
        self.ax_ = axes(ax)
        self.figure_ = self.ax_.figure
        support, query = self._flat()
        self.query_ = {}
        for kind, label, color, marker in KINDS:
            rows = query[self.y == label]
            if len(rows):
                default = {"color": color, "marker": marker, "alpha": 0.5}
                options = styled("points", {**default, "label": kind}, kwargs)
                self.query_[kind] = self.ax_.scatter(*rows.T, **options)
        self.support_ = self.ax_.scatter(
            *support.T, facecolor="none", edgecolor="black", s=60, label="support"
        )
        self.center_ = self.ax_.scatter(
            *support.mean(axis=0), color="black", marker="+", s=120, label="its mean"
        )
        title = {"xlabel": "first component", "ylabel": "second component"}
        self.ax_.set(title=self.name, **title)
        self.ax_.legend()
        return self

    def _flat(self):
        """Return support and query on their two principal components."""
        both = np.concatenate([self.support, self.query])
        both = both - both.mean(axis=0)
        *_, components = np.linalg.svd(both, full_matrices=False)
        flat = np.zeros((len(both), 2))
        n = min(2, len(components))
        flat[:, :n] = both @ components[:n].T
        return flat[: len(self.support)], flat[len(self.support) :]
