"""MAML on an autoencoder."""

from numbers import Integral, Real

from skmetaad._compat import Interval, StrOptions
from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.autoencoder import VARIANTS, MAMLAutoencoder
from skmetaad.core.codecs import ConvCodec, DenseCodec
from skmetaad.core.latent import LatentAutoencoder
from skmetaad.detectors._blended import cross_fitted, learned_latent
from skmetaad.detectors._inner_loop import InnerLoop
from skmetaad.detectors._torch import NETWORK_PARAMS, TorchMetaDetector


class MAMLAutoencoderDetector(InnerLoop, TorchMetaDetector):
    r"""Autoencoder that learns, over tasks, to adapt to a new one in a few steps.

    Model-agnostic meta-learning [1]_ of an autoencoder. The inner loop descends on
    the reconstruction error :math:`L_i` of a task's support rows, all tasks of a
    meta-batch at once:

    .. math:: \theta_i' = \theta - \alpha \nabla_\theta L_i(\theta)

    (`inner_steps` times), and the outer loop moves the start :math:`\theta` so that the
    adapted networks reconstruct the query's inliers and separate its outliers:

    .. math:: \theta \leftarrow \theta - \beta \nabla_\theta
              \sum_i L^{\mathrm{query}}_i(\theta_i')

    The query loss is the reconstruction error of inliers plus `separation_weight` times
    a logistic loss of the scores (rows against their labels, and inlier-outlier pairs).
    Labelled outliers in the support add the mean of
    :math:`\log(1 + e^{1 - \bar e(x)})` to the inner loss, which pushes their mean
    squared error :math:`\bar e` above one; unlabelled rows are reconstructed.
    The score is :math:`b - e^{a} (\log e(x) - c \ell)`, where :math:`e(x)` is
    the squared reconstruction error under learned feature weights, :math:`\ell` the
    mean of :math:`\log e` over the support, and a, b, c are learned.

    With ``anomaly_score="mahalanobis"``, `n_networks` networks adapt side by side, and
    what they make of a row is judged beside what they make of the support [10]_: with
    the code h, the values of the bottleneck before any activation, and the residual r,
    output minus input, the score is

    .. math:: b_K - \tfrac12 w_1 (\log e(x) - c \ell) - w_2 \log d(h) - w_3 \log d(r)
              - w_4 \log \min_i \lVert A^T (h - h_i) \rVert
              - w_5 \log \min_i \lVert x - x_i \rVert - w_6 \log d(x)

    where d is the Mahalanobis distance to the support's mean under its covariance,
    shrunk to that within the fleet's tasks, A whitens codes within tasks, and
    logarithms are means over networks. The weights are learned on tasks that the
    networks have not seen, and where one part alone ranks these better, it is used
    alone; the last two, which need no network, guard against networks that are no use
    on new tasks. A labelled outlier in the support counts by how much its code is
    nearer than the nearest inlier's.

    Parameters
    ----------
    architecture : {"dense", "conv"}, default="dense"
        Dense layers, or for pictures 3x3 convolutions with stride 2 around a dense
        bottleneck.
    hidden_sizes : tuple of int, default=(64, 16)
        Widths of the encoder's layers, for "conv" the channels of its convolutions; the
        last is the width of the bottleneck. The decoder mirrors them.
    activation : {"relu", "tanh", "silu"}, default="relu"
        Activation between layers.
    image_shape : tuple of int or None, default=None
        Height and width, or channels, height and width, of the pictures whose pixels
        are the features, for "conv". None: as the rows come, or if they are flat,
        one channel, square.
    standardize : bool, default=True
        Whether the network sees rows scaled by their task's mean and standard
        deviation, both shrunk to the fleet's, rather than in one unit for all features.
        False suits pictures.
    variant : {"plain", "denoising", "variational", "adversarial"}, default="plain"
        "denoising" reconstructs rows from noisy ones [6]_; "variational" has a normal
        distribution per row at the bottleneck, and minus the evidence's lower bound in
        place of the error [7]_; "adversarial" has a critic that tells bottlenecks from
        a normal distribution, and the encoder against it [8]_, not with "reptile",
        whose outer loop has no gradient. Meta-training draws new noise for every
        meta-batch, adapting always the same; scoring has none.
    noise : float, default=0.2
        Standard deviation of the noise of "denoising", in units of a task's features.
    anomaly_score : {"reconstruction", "mahalanobis"}, default="reconstruction"
        What rows are judged by: the reconstruction error, or beside it the Mahalanobis
        distances of code and residual, guarded by distances between rows. The latter
        takes `n_networks` times as long.
    n_networks : int, default=3
        Networks for "mahalanobis". Each trains without one share of the tasks, on
        which the parts of the score are weighed; never more than there are tasks. With
        one and no tasks held out by `early_stopping`, the parts count the same.
    algorithm : {"maml", "fomaml", "reptile", "anil", "meta-sgd"}, default="maml"
        What the outer loop learns, and how. "maml" differentiates through the inner
        loop's gradients [1]_; "fomaml" takes them as constants [1]_; "reptile" moves
        the start towards the adapted networks and needs no query for it [3]_, here the
        score's head alone learns from queries; "anil" adapts the last layer only [4]_;
        "meta-sgd" learns an inner rate for every single parameter [5]_.
    inner_steps : int, default=3
        Gradient steps of the inner loop. Reptile needs more than one to differ from
        training on all tasks at once.
    inner_rate : float, default=0.1
        Rate :math:`\alpha` of the inner loop; the start value when rates are learned.
    learn_rates : bool, default=True
        Whether "maml", "fomaml" and "anil" learn one inner rate per parameter tensor
        and step [2]_. "meta-sgd" always learns its rates, "reptile" never.
    inner_clip : float or None, default=None
        Largest norm of a task's gradient in the inner loop; longer ones are shortened
        to it. None: no limit.
    multi_step_loss : float, default=0.0
        Share of the meta-iterations in which the outer loss is the weighted sum of the
        query losses after every inner step [2]_, which steadies training through long
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
        Adversarial meta-training after [9]_: every episode's rows are moved by this
        many standard deviations inside tasks, each feature in the direction in which
        the outer loss grows. Takes about twice the time.
    separation_weight : float, default=1.0
        Weight of the separation from outliers in the outer loss.
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
        fewer are replaced where there are more than ten tasks.
    chronological : bool or "consecutive", default=False
        Whether each task's rows are in time order and a new task's support comes before
        its query: then episodes take the support from the first half of a task's
        inliers and the query from the second, so that drift is part of the training.
        "consecutive": the support's rows follow each other, too, as the first ones of a
        new task do. See :doc:`/drift`.
    contamination_in_support : float, default=0.0
        Share of the support rows of meta-training's episodes that are outliers not
        labelled as such, in [0, 0.5]. Prepares for supports that nobody has looked
        through.
    n_iter : int, default=500
        Largest number of meta-iterations (outer steps).
    meta_batch_size : int, default=16
        Episodes per meta-iteration.
    learning_rate : float, default=3e-3
        Rate :math:`\beta` of the outer loop (AdamW, cosine decay).
    weight_decay : float, default=1e-4
        Decoupled weight decay of the outer loop, of layers' weights alone: not of
        biases, inner rates and what scales scores.
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
        `early_stopping` or from several networks, or with fewer than three tasks.
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
        The meta-learned start, inner rates, score head, and scaling; for "mahalanobis"
        those of all networks, on a leading axis, and the weights of the parts.
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
    MetaPrototypeDetector : No inner loop: faster, and the better start on most fleets.

    References
    ----------
    .. [1] Finn, Abbeel, Levine (2017). Model-Agnostic Meta-Learning for Fast
       Adaptation of Deep Networks. ICML. :arxiv:`1703.03400`
    .. [2] Antoniou, Edwards, Storkey (2019). How to train your MAML. ICLR.
       :arxiv:`1810.09502`
    .. [3] Nichol, Achiam, Schulman (2018). On First-Order Meta-Learning Algorithms.
       :arxiv:`1803.02999`
    .. [4] Raghu, Raghu, Bengio, Vinyals (2020). Rapid Learning or Feature Reuse?
       Towards Understanding the Effectiveness of MAML. ICLR. :arxiv:`1909.09157`
    .. [5] Li, Zhou, Chen, Li (2017). Meta-SGD: Learning to Learn Quickly for Few-Shot
       Learning. :arxiv:`1707.09835`
    .. [6] Vincent, Larochelle, Bengio, Manzagol (2008). Extracting and Composing
       Robust Features with Denoising Autoencoders. ICML.
       :doi:`10.1145/1390156.1390294`
    .. [7] Kingma, Welling (2014). Auto-Encoding Variational Bayes. ICLR.
       :arxiv:`1312.6114`
    .. [8] Makhzani, Shlens, Jaitly, Goodfellow, Frey (2015). Adversarial
       Autoencoders. :arxiv:`1511.05644`
    .. [9] Yin, Tang, Xu, Wang (2018). Adversarial Meta-Learning. :arxiv:`1806.03316`
    .. [10] Denouden, Salay, Czarnecki, Abdelzad, Phan, Vernekar (2018). Improving
       Reconstruction Autoencoder Out-of-distribution Detection with Mahalanobis
       Distance. :arxiv:`1812.02765`

    Examples
    --------
    >>> from skmetaad import MAMLAutoencoderDetector
    >>> from skmetaad.datasets import make_fleet
    >>> fleet = make_fleet(n_tasks=10, random_state=0)
    >>> det = MAMLAutoencoderDetector(n_iter=50, random_state=0).fit(fleet[:8])
    >>> new = fleet[8]
    >>> adapted = det.adapt(new.X[new.y == 1][:10])
    >>> adapted.predict(new.X).shape == new.y.shape
    True
    """

    _shaping = (*InnerLoop._inner_shaping, *NETWORK_PARAMS, "architecture", "variant")
    _shaping += ("anomaly_score",)
    _parameter_constraints = {
        **TorchMetaDetector._parameter_constraints,
        **InnerLoop._inner_constraints,
        "architecture": [StrOptions({"dense", "conv"})],
        "hidden_sizes": [tuple, list],
        "image_shape": [tuple, list, None],
        "standardize": ["boolean"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "variant": [StrOptions(set(VARIANTS))],
        "noise": [Interval(Real, 0, None, closed="left")],
        "anomaly_score": [StrOptions({"reconstruction", "mahalanobis"})],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
        "separation_weight": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        architecture="dense",
        hidden_sizes=(64, 16),
        activation="relu",
        image_shape=None,
        standardize=True,
        variant="plain",
        noise=0.2,
        anomaly_score="reconstruction",
        n_networks=3,
        algorithm="maml",
        inner_steps=3,
        inner_rate=0.1,
        learn_rates=True,
        inner_clip=None,
        multi_step_loss=0.0,
        checkpoint_inner=False,
        max_tasks_at_once=None,
        adversarial_epsilon=0.0,
        separation_weight=1.0,
        n_support=(1, 50),
        n_support_outliers=0,
        n_query=32,
        negatives="auto",
        chronological=False,
        contamination_in_support=0.0,
        n_iter=500,
        meta_batch_size=16,
        learning_rate=3e-3,
        weight_decay=1e-4,
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
            contamination=contamination,
            max_support=max_support,
            random_state=random_state,
        )
        self.architecture = architecture
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.image_shape = image_shape
        self.standardize = standardize
        self.variant = variant
        self.noise = noise
        self.anomaly_score = anomaly_score
        self.n_networks = n_networks
        self.algorithm = algorithm
        self.inner_steps = inner_steps
        self.inner_rate = inner_rate
        self.learn_rates = learn_rates
        self.inner_clip = inner_clip
        self.multi_step_loss = multi_step_loss
        self.checkpoint_inner = checkpoint_inner
        self.max_tasks_at_once = max_tasks_at_once
        self.adversarial_epsilon = adversarial_epsilon
        self.separation_weight = separation_weight
        self.n_support = n_support
        self.n_support_outliers = n_support_outliers
        self.n_query = n_query
        self.negatives = negatives
        self.chronological = chronological
        self.contamination_in_support = contamination_in_support
        self.n_iter = n_iter
        self.meta_batch_size = meta_batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_calibration_networks = n_calibration_networks
        self.device = device

    def _codec(self, n_features):
        hidden = self._checked_sizes("hidden_sizes")
        if self.architecture == "conv":
            shape = self._checked_image_shape(n_features)
            return ConvCodec(shape, hidden[:-1], hidden[-1], self.activation)
        sizes = (n_features, *hidden, *hidden[-2::-1], n_features)
        return DenseCodec(sizes, self.activation)

    def _core(self, n_features, n_parts=1):
        if self.variant == "adversarial" and self.algorithm == "reptile":
            raise ValueError(
                "variant='adversarial' with algorithm='reptile': expected another "
                "algorithm, whose outer loop has gradients for the encoder."
            )
        single = MAMLAutoencoder(
            self._codec(n_features),
            standardize=self.standardize,
            variant=self.variant,
            noise=self.noise,
            separation_weight=self.separation_weight,
            **self._inner_options(),
        )
        if self.anomaly_score == "reconstruction":
            return single
        return LatentAutoencoder(single, n_parts)

    def _parts(self, tasks, rng):
        if self.anomaly_score == "reconstruction":
            return [tasks]
        return cross_fitted(tasks, self.n_networks, rng)

    def _networks(self, core, params, batches):
        if self.anomaly_score == "reconstruction":
            yield core, params, batches[0]
            return
        for i, batch in enumerate(batches):
            yield core.single, core.network(params, i), batch

    def _after(self, core, params, draw, unseen):
        if self.anomaly_score == "reconstruction":
            return {}, []
        return learned_latent(core, params, draw, unseen)
