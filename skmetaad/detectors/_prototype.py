"""One-class prototypical network."""

from numbers import Integral

from skmetaad._compat import Interval, StrOptions
from skmetaad.core.nets import ACTIVATIONS
from skmetaad.core.prototype import Prototype
from skmetaad.detectors._torch import TorchMetaDetector


class MetaPrototypeDetector(TorchMetaDetector):
    r"""Prototypical network for tasks with a few normal rows.

    TODO

    Parameters
    ----------
    hidden_sizes : tuple of int, default=(64, 32)
        Widths of the embedding network's layers; the last is its output.
    activation : {"relu", "tanh", "silu"}, default="relu"
        Activation between layers.
    n_prototypes : int, default=1
        Prototypes per task: cluster means of the embedded support inliers. More than
        one suits tasks whose normal rows come in several modes.
    n_neighbors : int, default=3
        Support rows whose mean distance is the nearest-neighbour part of the score.
    standardize : bool, default=True
        Whether to scale rows by their task's mean and standard deviation, both shrunk
        to the fleet's, rather than by the fleet's alone.
    n_support : int or tuple of (int, int), default=(1, 50)
        Support rows per episode of meta-training. A tuple gives the smallest and the
        largest number; one is drawn per meta-batch.
    n_query : int, default=32
        Query rows per episode of meta-training, half of them outliers.
    negatives : {"auto", "labels", "other_tasks", "synthetic"}, default="auto"
        Where the query's outliers come from: labelled rows (-1), rows of other tasks,
        or synthetic departures from the inliers. "auto" takes the first of these that
        the data has.
    n_iter : int, default=500
        Largest number of meta-iterations (outer steps).
    meta_batch_size : int, default=16
        Episodes per meta-iteration.
    learning_rate : float, default=3e-3
        Rate of AdamW, decayed to zero along a cosine.
    weight_decay : float, default=1e-4
        Decoupled weight decay of AdamW.
    early_stopping : bool, default=False
        Whether to hold tasks out, measure the loss on them every 25 meta-iterations,
        stop when it no longer falls, and keep the best parameters.
    validation_fraction : float, default=0.2
        Share of tasks held out for `early_stopping`, at least one.
    n_iter_no_change : int, default=5
        Measurements without a new best loss before training stops.
    contamination : float, default=0.1
        Expected share of outliers among rows not labelled as outliers, in (0, 0.5]. It
        sets the threshold: of training rows after `fit`, of a new task's inliers after
        `adapt`.
    max_support : int, default=256
        Largest number of support rows kept per task; more are thinned at random.
    random_state : int, RandomState instance or None, default=None
        Seed of all randomness in `fit`.

    Attributes
    ----------
    meta_ : dict of str to ndarray
        The embedding, the score's head, and the fleet's scaling.
    state_ : dict of str to ndarray
        Each task's scaling, prototypes and embedded support, with a leading axis of
        tasks.
    reference_ : dict of str to ndarray or None
        What judges rows that come without a task.
    task_ids_ : tuple
        The ids of the tasks in `state_`, in order.
    offset_ : float or ndarray of shape (n_tasks,)
        Threshold: `decision_function = score_samples - offset_`.
    task_offsets_ : ndarray of shape (n_tasks,)
        The threshold of each task in `task_ids_`.
    offset_prior_ : tuple of (ndarray, ndarray)
        Numbers of support rows, and the threshold the training tasks need at each.
    history_ : dict of str to ndarray
        "loss" per meta-iteration and "validation_loss" per measurement.
    n_iter_ : int
        Meta-iterations run.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, when `X` has names.

    See Also
    --------
    MAMLAutoencoderDetector : Adapts a whole network by gradient steps.

    References
    ----------
    .. [1] Snell, Swersky, Zemel (2017). Prototypical Networks for Few-shot Learning.
       NeurIPS. :arxiv:`1703.05175`
    .. [2] Kruspe (2019). One-Way Prototypical Networks. :arxiv:`1906.00820`

    Examples
    --------
    >>> from skmetaad import MetaPrototypeDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=10, random_state=0)
    >>> det = MetaPrototypeDetector(n_iter=50, random_state=0).fit(fleet[:8])
    >>> new = fleet[8]
    >>> adapted = det.adapt(new.X[new.y == 1][:10])
    >>> adapted.predict(new.X).shape == new.y.shape
    True
    """

    _parameter_constraints = {
        **TorchMetaDetector._parameter_constraints,
        "hidden_sizes": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS) - {"identity"})],
        "n_prototypes": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "standardize": ["boolean"],
    }

    def __init__(
        self,
        *,
        hidden_sizes=(64, 32),
        activation="relu",
        n_prototypes=1,
        n_neighbors=3,
        standardize=True,
        n_support=(1, 50),
        n_query=32,
        negatives="auto",
        n_iter=500,
        meta_batch_size=16,
        learning_rate=3e-3,
        weight_decay=1e-4,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=5,
        contamination=0.1,
        max_support=256,
        random_state=None,
    ):
        super().__init__(
            contamination=contamination,
            max_support=max_support,
            random_state=random_state,
        )
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.n_prototypes = n_prototypes
        self.n_neighbors = n_neighbors
        self.standardize = standardize
        self.n_support = n_support
        self.n_query = n_query
        self.negatives = negatives
        self.n_iter = n_iter
        self.meta_batch_size = meta_batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change

    def _core(self, n_features):
        return Prototype(
            sizes=(n_features, *self._checked_sizes("hidden_sizes")),
            activation=self.activation,
            n_prototypes=self.n_prototypes,
            n_neighbors=self.n_neighbors,
            standardize=self.standardize,
        )
