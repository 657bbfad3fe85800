"""One-class prototypical network."""

from numbers import Integral

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skmetaad._compat import Interval
from skmetaad.core.prototype import Prototype
from skmetaad.core.state import to_tensor, to_tensors
from skmetaad.detectors._blended import (
    cross_fitted,
    data_whitening,
    learned_blend,
)
from skmetaad.detectors._device import on_own_device
from skmetaad.detectors._encoded import EncoderDetector

# Rows that the prototypes of the cohort are made of.
COHORT_SHOTS = 10


class MetaPrototypeDetector(EncoderDetector):
    r"""Prototypical network for tasks with a few normal rows.

    A network :math:`f` embeds rows such that a task's inliers lie near the mean of its
    embedded support, the prototype [1]_. There is one class only; where [2]_ weighs it
    against a null class at the origin, here it is a learned level. A row x scores

    .. math:: s(x) = b_K - \sum_c w_{c,K} \log \sqrt{d_c(x)^2 + \epsilon^2}

    with the distances :math:`d_c` to the nearest prototype, to the nearest embedded
    support row (k-NN on the embedding, k = 1), to the nearest support row itself (k-NN
    on the data), and to the support's mean m under the task's own covariance,
    :math:`(W + \sum_i (x_i - m)(x_i - m)^T) / (1 + K)`. There W, the covariance within
    the fleet's tasks, counts for one row. Scores are log-odds of an inlier, comparable
    between tasks.

    The weights :math:`w` are learned on episodes of tasks the networks did not see:
    `n_networks` networks each train without one share of the tasks, and each is judged
    on its own share. The blend is kept only where it ranks these held-out tasks at
    least as well as each distance by itself, k-NN on the embedding and on the data
    among them; otherwise the best one is used alone. There W is without these tasks. So
    the detector does not fall below k-NN on its own embedding by more than the held-out
    tasks err. With `early_stopping=True` the tasks it holds out take that part. With a
    single task, or `n_networks=1` without early stopping, nothing is held out and the
    weights stay equal.

    A labelled outlier in the support lowers the score of rows nearer to it than to any
    inlier, by a learned weight times the difference of the two log distances: each one
    is a prototype of its own. Before the embedding, rows are scaled by the task's mean
    and standard deviation, both shrunk to the fleet's.

    Parameters
    ----------
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
    n_prototypes : int, default=1
        Prototypes per task: cluster means of the embedded support inliers. More than
        one suits tasks whose normal rows come in several modes.
    n_neighbors : int, default=1
        Support rows that the distances to the nearest ones are averaged over (root mean
        square); fewer where the support has fewer. More than one withstands supports
        with undetected outliers.
    n_networks : int, default=3
        Networks, each trained without its share of the tasks; their outputs side by
        side are the embedding.
    n_cohort : int, default=0
        Training tasks, drawn at random, that rows and tasks are set against: from the
        log distances in the embedding, half of those of the row and of its task to the
        nearest 20 of their prototypes are subtracted [3]_. 0: none. It suits tasks of
        one kind that resemble each other to different degrees, such as classes of
        pictures.
    standardize : bool, default=True
        Whether the networks see rows scaled by their task's mean and standard
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
        some to spare. A tuple gives the smallest and the largest number. Of little
        use here: distances count labelled rows without being trained for it.
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
        inliers and the query from the second, so that drift is part of the training.
        "consecutive": the support's rows follow each other, too, as the first ones of a
        new task do. See :doc:`/drift`.
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
    weight_decay : float, default=1e-2
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
        The embedding, the score's head, and the fleet's scaling and whitening.
    state_ : dict of str to ndarray
        Each task's scaling, prototypes, embedded support and covariance, with a leading
        axis of tasks.
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
    MAMLAutoencoderDetector : Adapts a whole network by gradient steps.

    References
    ----------
    .. [1] Snell, Swersky, Zemel (2017). Prototypical Networks for Few-shot Learning.
       NeurIPS. :arxiv:`1703.05175`
    .. [2] Kruspe (2019). One-Way Prototypical Networks. :arxiv:`1906.00820`
    .. [3] Matejka, Novotny, Plchot, Burget, Sanchez, Cernocky (2017). Analysis of Score
       Normalization in Multilingual Speaker Recognition. Interspeech.
       :doi:`10.21437/Interspeech.2017-803`

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

    _shaping = (*EncoderDetector._shaping, "n_prototypes")
    _parameter_constraints = {
        **EncoderDetector._parameter_constraints,
        "n_prototypes": [Interval(Integral, 1, None, closed="left")],
        "n_neighbors": [Interval(Integral, 1, None, closed="left")],
        "n_networks": [Interval(Integral, 1, None, closed="left")],
        "n_cohort": [Interval(Integral, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        hidden_sizes=(64, 32),
        activation="relu",
        encoder="dense",
        image_shape=None,
        n_channels=48,
        n_prototypes=1,
        n_neighbors=1,
        n_networks=3,
        n_cohort=0,
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
        weight_decay=1e-2,
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
        self.n_prototypes = n_prototypes
        self.n_neighbors = n_neighbors
        self.n_networks = n_networks
        self.n_cohort = n_cohort

    def embed(self, X, *, task=None):
        """Return the embedding of rows, as seen by their task.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to embed.
        task : array-like of shape (n_rows,), default=None
            The task id of each row. None: the reference, or the one task adapted to.

        Returns
        -------
        embedding : ndarray of shape (n_rows, n_networks * width)
            The embedded rows; the width is that of the encoder's output, for a
            dense one `hidden_sizes[-1]`. Euclidean distances between rows of one task
            are what the score rests on.

        Raises
        ------
        ValueError
            When the rows are not usable, or `task` holds an id that was not adapted.
        """
        check_is_fitted(self)
        width = len(self.meta_["head.bias"]) * self._encoder(self.n_features_in_).width
        return self._by_task(X, task, self._embed, (width,))[0]

    @on_own_device
    def _embed(self, state, X):
        meta = to_tensors(self.meta_)
        with torch.no_grad():
            core = self._core(X.shape[-1])
            return (
                core.embed(meta, to_tensors(state), to_tensor(self._scaled(X)))
                .cpu()
                .numpy()
            )

    @on_own_device
    def _held_out(self, X, y, mask, state):
        blend = {
            k: v for k, v in self.meta_.items() if k.startswith(("blend.", "cohort."))
        }
        needed = {k: v for k, v in state.items() if k not in ("mean", "scale")}
        with torch.no_grad():
            core = self._core(X.shape[-1])
            return core.held_out(to_tensors(blend), to_tensors(needed)).cpu().numpy()

    def _core(self, n_features, n_parts=1):
        return Prototype(
            self._encoder(n_features),
            n_networks=n_parts,
            n_prototypes=self.n_prototypes,
            n_neighbors=self.n_neighbors,
            standardize=self.standardize,
            crossed=self.negatives == "batch",
        )

    def _parts(self, tasks, rng):
        return cross_fitted(tasks, self.n_networks, rng)

    def _loss(self, core, params, batches, progress):
        losses = [
            core.loss(core.network(params, i), batch) for i, batch in enumerate(batches)
        ]
        return sum(losses) / len(losses)

    def _after(self, core, params, draw, unseen):
        nets = []
        for i, tasks in enumerate(unseen):
            net = core.network(params, i) | data_whitening(params, draw, tasks)
            nets.append(net | self._cohort(core, net, draw, tasks))

        def evidence_of(i, batch):
            state = core.adapt(nets[i], *batch.given)
            n_inliers = state["inlier"].sum(dim=1)
            return core.evidence(nets[i], state, batch.query), n_inliers

        blend = learned_blend(evidence_of, draw, unseen)
        whitening = data_whitening(params, draw, [])
        after = blend | whitening | self._cohort(core, params, draw, [])
        return after, [net | blend for net in nets]

    def _cohort(self, core, params, draw, without):
        """Return the prototypes of training tasks, some of these left out."""
        if not self.n_cohort:
            return {}
        tasks = np.setdiff1d(draw.sampler.usable, without)
        sampler = draw.other_sampler(
            n_support=COHORT_SHOTS, n_support_outliers=0, contamination=0.0
        )
        batch = draw(min(self.n_cohort, len(tasks)), tasks, sampler=sampler)
        y = batch.support_y
        state = core.embedded(params, batch.support, y, y != 0)
        return {"cohort.prototypes": state["prototype"].flatten(0, 1)}
