"""One-class MAML."""

from skmetaad.core.classifier import MAMLClassifier
from skmetaad.detectors._encoded import EncoderDetector
from skmetaad.detectors._inner_loop import InnerLoop


class MAMLClassifierDetector(InnerLoop, EncoderDetector):
    r"""Classifier that learns, over tasks, to adapt to one class in a few steps.

    One-class MAML [1]_: the inner loop of MAML [2]_ descends on the cross-entropy of
    the K support inliers alone,

    .. math:: \theta_i' = \theta - \alpha \nabla_\theta
              \frac1K \sum_{k} \log \big( 1 + e^{-h_\theta(x_k)} \big),

    while the outer loop moves :math:`\theta` by the loss of the adapted networks on
    queries of which half are outliers: the start is such that a few steps on one class
    alone tell it from others. With labelled outliers in the support, their mean
    cross-entropy is added to that of the inliers. The score is
    :math:`h_{\theta_i'}(x)`, the log-odds of an inlier.

    Parameters
    ----------
    algorithm : {"maml", "fomaml", "reptile", "anil", "meta-sgd"}, default="maml"
        What the outer loop learns, and how. "maml" differentiates through the inner
        loop's gradients; "fomaml" takes them as constants; "reptile" moves the start
        towards the adapted networks and uses no query, which for one class alone leads
        nowhere: it is for supports with labelled outliers; "anil" adapts the last layer
        only; "meta-sgd" learns an inner rate for every single parameter.
    inner_steps : int, default=5
        Gradient steps of the inner loop.
    inner_rate : float, default=0.1
        Rate :math:`\alpha` of the inner loop; the start value when rates are learned.
    learn_rates : bool, default=True
        Whether "maml", "fomaml" and "anil" learn one inner rate per parameter tensor
        and step. "meta-sgd" always learns its rates, "reptile" never.
    inner_clip : float or None, default=None
        Largest norm of a task's gradient in the inner loop; longer ones are shortened
        to it. None: no limit.
    multi_step_loss : float, default=0.0
        Share of the meta-iterations in which the outer loss is the weighted sum of the
        query losses after every inner step [4]_, which steadies training through long
        inner loops. With S inner steps, the weight of each but the last falls linearly
        from :math:`1 / S` to zero over these iterations and the last takes the rest:
        after a share p of all iterations, :math:`w_s = (1 - p / m) / S` for s < S and
        :math:`w_S = 1 - \sum_{s<S} w_s`, where m is this parameter. 0: after the last
        step alone, throughout.
    checkpoint_inner : bool, default=False
        Whether to save memory in `fit` by computing the inner steps a second time in
        the backward pass. What is kept then grows with the root of `inner_steps`, and
        a meta-iteration takes up to a half longer. Gradients are the same.
    max_tasks_at_once : int or None, default=None
        Largest number of episodes in memory at once in `fit`; larger meta-batches are
        taken in parts, whose gradients add up to that of the whole. None: as many as
        keep what gradients need, measured on one episode, within scikit-learn's
        ``working_memory`` (1,024 MiB unless `sklearn.set_config` says otherwise).
    adversarial_epsilon : float, default=0.0
        Adversarial meta-training after [3]_: every episode's rows are moved by this
        many standard deviations inside tasks, each feature in the direction in which
        the outer loss grows. Takes about twice the time.
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
        and a softmax over tasks joins the loss; needs `algorithm="anil"`, whose tasks
        share their embedding, and `standardize=False`. It suits many classes of
        pictures.
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
        Decoupled weight decay of AdamW, of layers' weights alone: not of biases, inner
        rates and what scales scores.
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
        The meta-learned start, inner rates, and scaling.
    state_ : dict of str to ndarray
        The adapted networks, with a leading axis of tasks.
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
    MAMLAutoencoderDetector : Adapts by reconstruction; needs no outliers to compare.

    References
    ----------
    .. [1] Frikha, Krompass, Koepken, Tresp (2021). Few-Shot One-Class Classification
       via Meta-Learning. AAAI. :arxiv:`2007.04146`
    .. [2] Finn, Abbeel, Levine (2017). Model-Agnostic Meta-Learning for Fast
       Adaptation of Deep Networks. ICML. :arxiv:`1703.03400`
    .. [3] Yin, Tang, Xu, Wang (2018). Adversarial Meta-Learning. :arxiv:`1806.03316`
    .. [4] Antoniou, Edwards, Storkey (2019). How to train your MAML. ICLR.
       :arxiv:`1810.09502`

    Examples
    --------
    >>> from skmetaad import MAMLClassifierDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=10, random_state=0)
    >>> det = MAMLClassifierDetector(n_iter=30, random_state=0).fit(fleet[:8])
    >>> new = fleet[8]
    >>> adapted = det.adapt(new.X[new.y == 1][:10])
    >>> adapted.predict(new.X).shape == new.y.shape
    True
    """

    _shaping = (*EncoderDetector._shaping, *InnerLoop._inner_shaping)
    _parameter_constraints = {
        **EncoderDetector._parameter_constraints,
        **InnerLoop._inner_constraints,
    }

    def __init__(
        self,
        *,
        algorithm="maml",
        inner_steps=5,
        inner_rate=0.1,
        learn_rates=True,
        inner_clip=None,
        multi_step_loss=0.0,
        checkpoint_inner=False,
        max_tasks_at_once=None,
        adversarial_epsilon=0.0,
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
        self.algorithm = algorithm
        self.inner_steps = inner_steps
        self.inner_rate = inner_rate
        self.learn_rates = learn_rates
        self.inner_clip = inner_clip
        self.multi_step_loss = multi_step_loss
        self.checkpoint_inner = checkpoint_inner
        self.max_tasks_at_once = max_tasks_at_once
        self.adversarial_epsilon = adversarial_epsilon

    def _meta_fit(self, X, y, code, rng):
        if self.negatives == "batch":
            for name, needed in (("algorithm", "anil"), ("max_tasks_at_once", None)):
                if getattr(self, name) != needed:
                    raise ValueError(
                        f"negatives='batch' with {name}={getattr(self, name)!r}: "
                        f"expected {name}={needed!r}, since all tasks' rows have to "
                        "share one embedding."
                    )
        return super()._meta_fit(X, y, code, rng)

    def _n_at_once(self, core, params, batches):
        if self.negatives == "batch":
            return len(batches[0].support)
        return super()._n_at_once(core, params, batches)

    def _core(self, n_features, n_parts=1):
        return MAMLClassifier(
            self._encoder(n_features),
            standardize=self.standardize,
            crossed=self.negatives == "batch",
            **self._inner_options(),
        )
