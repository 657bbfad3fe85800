"""Matching network."""

from skmetaad.core.matching import Matching
from skmetaad.detectors._encoded import EncoderDetector


class MatchingNetworkDetector(EncoderDetector):
    r"""Matching network: attention over the embedded support rows.

    A row is compared with every support row by the cosine of their embeddings, and the
    softmax over support rows says how much it attends to each [1]_. With one class
    there has to be something else to attend to: a learned null class. The score is the
    log-odds of attending to an inlier,

    .. math:: s(x) = \log \sum_{i \in in} e^{\tau \cos(f(x), f(x_i))}
              - \log \Big( e^{b_0 + b_1 \log K}
              + \sum_{j \in out} e^{\tau \cos(f(x), f(o_j))} \Big)

    with learned :math:`\tau, b_0, b_1`, over K support inliers; labelled outliers in
    the support, if any, compete with them. Cosines are those of embeddings with a
    learned constant c appended, :math:`[f(x), c]`: where rows are scaled by their task,
    inliers lie around zero, and the direction of f alone tells nothing.

    Parameters
    ----------
    full_context : bool, default=False
        Whether embeddings see the support: a support row's is moved by what it attends
        to in the support, a query row's as well. The paper does this by recurrent
        networks over the support in some order; attention, used here, needs no order.
    hidden_sizes : tuple of int, default=(64, 32)
        Widths of the dense encoder's layers; the last is its output.
    activation : {"relu", "tanh", "silu"}, default="relu"
        Activation between the encoder's layers.
    encoder : {"dense", "conv4"} or callable, default="dense"
        The embedding network. "conv4" is for pictures, see `image_shape`. A callable
        takes the number of features and makes a `torch.nn.Module` that maps rows (R, d)
        to embeddings (R, e), without buffers. Its weights are drawn anew.
    image_shape : tuple of int or None, default=None
        Height and width, or channels, height and width, of the pictures whose pixels
        are the features, for "conv4". None: as the rows come, or if they are flat,
        one channel, square.
    n_channels : int or tuple of int, default=48
        Channels of "conv4". A tuple gives those of each block, and so their number.
    standardize : bool, default=True
        Whether the encoder sees rows scaled by their task's mean and standard
        deviation, both shrunk to the fleet's, rather than in one unit for all features.
        False suits pictures.
    augment : {None, "rotate", "distort", "noise"}, default=None
        Changes to the episodes of meta-training: "rotate" turns all pictures of an
        episode by the same multiple of 90 degrees, which makes new classes of the old;
        "distort" does so, mirrors half of the episodes, and then turns, scales, shears
        and shifts each picture a bit;
        "noise" adds noise to features and drops some.
    average_shifts : bool, default=False
        Whether, after meta-training, a picture's embedding is the mean over the picture
        and its copies shifted by one pixel to each side. Needs `encoder="conv4"`;
        adapting and scoring take five times as long.
    mixed_precision : bool, default=False
        Whether meta-training convolves in bfloat16, with weights that all tasks share:
        faster on processors that multiply it, slower on others. Needs
        `encoder="conv4"`; adapting and scoring are in single precision all the same.
    n_support : int or tuple of (int, int), default=(1, 50)
        Support rows per episode of meta-training. A tuple gives the smallest and the
        largest number; one is drawn per meta-batch.
    n_support_outliers : int or tuple of (int, int), default=0
        Labelled outliers in the support of meta-training's episodes, where a task has
        some to spare. A tuple gives the smallest and the largest number. Detectors
        trained so make more of labelled outliers in a new task's support.
    n_query : int, default=32
        Query rows per episode of meta-training, half of them outliers.
    negatives : str, default="auto"
        Where the query's outliers come from. "labels": rows labelled -1; "other_tasks":
        rows of these; "synthetic": departures from the inliers, made at random;
        "mixed": the first of these that the data has, half of them replaced by
        synthetic ones; "auto": the same, but labelled ones are replaced by transferred
        ones, inliers moved by what sets labelled outliers of other episodes apart, and
        fewer are replaced where there are more than ten tasks. "batch": every episode's
        outliers are the inliers of all others of the meta-batch, each embedded once,
        and a softmax over tasks joins the loss; needs `standardize=False`. It suits
        many classes of pictures.
    chronological : bool or "consecutive", default=False
        Whether each task's rows are in time order and a new task's support comes before
        its query: then episodes take the support from the first half of a task's
        inliers and the query from the second. "consecutive": the support's rows follow
        each other, too, as the first ones of a new task do. See :doc:`/drift`.
    contamination_in_support : float, default=0.0
        Share of the support rows of meta-training's episodes that are outliers not
        labelled as such, in [0, 0.5]. Prepares for supports that nobody has looked
        through.
    n_iter : int, default=300
        Largest number of meta-iterations (outer steps).
    meta_batch_size : int, default=16
        Episodes per meta-iteration.
    learning_rate : float, default=3e-3
        Rate of AdamW, decayed to zero along a cosine.
    weight_decay : float, default=2.0
        Decoupled weight decay of AdamW, of layers' weights alone: not of biases and
        what scales scores.
    early_stopping : bool, default=False
        Whether to hold tasks out, measure the loss on them every 25 meta-iterations,
        stop when it no longer falls, and keep the best parameters.
    validation_fraction : float, default=0.2
        Share of tasks held out for `early_stopping`, at least one.
    n_iter_no_change : int, default=5
        Measurements without a new best loss before training stops.
    n_calibration_networks : int, default=1
        Further networks, each trained without a share of the tasks, whose scores on
        these set the thresholds of `adapt`: a network judges the tasks that it was
        trained on with too much confidence. Each takes as long to train as the first.
        0: thresholds from the tasks of training. Unused where tasks are held out by
        `early_stopping`, or with fewer than three tasks.
    contamination : float, default=0.1
        Share of rows not labelled as outliers to be flagged, in (0, 0.5]: that of
        false alarms where the outliers of `fit` are labelled, else of all rows, hidden
        outliers among them.
    max_support : int, default=256
        Largest number of support rows kept per task, labelled outliers and all others
        apart; more are thinned at random.
    device : str or torch.device, default="cpu"
        Where torch computes: "cpu", "cuda", "cuda:1" and so on, or "auto", a GPU if
        there is one. It may be changed at any time: what is fitted are arrays in the
        CPU's memory. See :ref:`gpu`.
    random_state : int, RandomState instance or None, default=None
        Seed of all randomness in `fit`.

    Attributes
    ----------
    meta_ : dict of str to ndarray
        The encoder, the method's own parameters, and the fleet's scaling.
    state_ : dict of str to ndarray
        What each task keeps of its support, with a leading axis of tasks.
    reference_ : dict of str to ndarray or None
        What judges rows that come without a task.
    task_ids_ : tuple
        The ids of the tasks in `state_`, in order.
    offset_ : float or ndarray of shape (n_tasks,)
        Threshold: `decision_function = score_samples - offset_`.
    task_offsets_ : ndarray of shape (n_tasks,)
        The threshold of each task in `task_ids_`.
    offset_prior_ : dict of str to ndarray
        What the training tasks tell about thresholds, by "shots".
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
    MetaPrototypeDetector : Distances in place of attention, guarded by k-NN.

    References
    ----------
    .. [1] Vinyals, Blundell, Lillicrap, Kavukcuoglu, Wierstra (2016). Matching Networks
       for One Shot Learning. NeurIPS. :arxiv:`1606.04080`

    Examples
    --------
    >>> from skmetaad import MatchingNetworkDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=10, random_state=0)
    >>> det = MatchingNetworkDetector(n_iter=30, random_state=0).fit(fleet[:8])
    >>> new = fleet[8]
    >>> adapted = det.adapt(new.X[new.y == 1][:10])
    >>> adapted.predict(new.X).shape == new.y.shape
    True
    """

    _shaping = (*EncoderDetector._shaping, "full_context")
    _parameter_constraints = {
        **EncoderDetector._parameter_constraints,
        "full_context": ["boolean"],
    }

    def __init__(
        self,
        *,
        full_context=False,
        hidden_sizes=(64, 32),
        activation="relu",
        encoder="dense",
        image_shape=None,
        n_channels=48,
        standardize=True,
        augment=None,
        average_shifts=False,
        mixed_precision=False,
        n_support=(1, 50),
        n_support_outliers=0,
        n_query=32,
        negatives="auto",
        chronological=False,
        contamination_in_support=0.0,
        n_iter=300,
        meta_batch_size=16,
        learning_rate=3e-3,
        weight_decay=2.0,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=5,
        n_calibration_networks=1,
        contamination=0.1,
        max_support=256,
        device="cpu",
        random_state=None,
    ):
        super().__init__(
            hidden_sizes=hidden_sizes,
            activation=activation,
            encoder=encoder,
            image_shape=image_shape,
            n_channels=n_channels,
            standardize=standardize,
            augment=augment,
            average_shifts=average_shifts,
            mixed_precision=mixed_precision,
            n_support=n_support,
            n_support_outliers=n_support_outliers,
            n_query=n_query,
            negatives=negatives,
            chronological=chronological,
            contamination_in_support=contamination_in_support,
            n_iter=n_iter,
            meta_batch_size=meta_batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            n_calibration_networks=n_calibration_networks,
            contamination=contamination,
            max_support=max_support,
            device=device,
            random_state=random_state,
        )
        self.full_context = full_context

    def _core(self, n_features, n_parts=1):
        return Matching(
            self._encoder(n_features),
            standardize=self.standardize,
            crossed=self.negatives == "batch",
            full_context=self.full_context,
        )
