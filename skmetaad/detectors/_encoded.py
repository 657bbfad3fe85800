"""What the metric-based detectors share: parameters, and the choice of an encoder."""

from dataclasses import replace
from numbers import Integral

from skmetaad._compat import Interval, StrOptions
from skmetaad.core.activations import ACTIVATIONS
from skmetaad.core.augment import add_noise, distort, in_units, rotate
from skmetaad.core.encoders import Conv4, Dense, Module, most_blocks
from skmetaad.detectors._torch import NEGATIVES, NETWORK_PARAMS, TorchMetaDetector


class EncoderDetector(TorchMetaDetector):
    """Detector that compares embedded rows.

    `_core` gives a frozen dataclass that has an `encoder`, mostly a
    `core.metric.Metric`.
    """

    _shaping = (*NETWORK_PARAMS, "encoder", "n_channels")
    _parameter_constraints = {
        **TorchMetaDetector._parameter_constraints,
        "hidden_sizes": [tuple, list],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "encoder": [StrOptions({"dense", "conv4"}), callable],
        "image_shape": [tuple, list, None],
        "n_channels": [Interval(Integral, 1, None, closed="left"), tuple],
        "standardize": ["boolean"],
        "negatives": [StrOptions({*NEGATIVES, "batch"})],
        "augment": [StrOptions({"rotate", "distort", "noise"}), None],
        "average_shifts": ["boolean"],
        "mixed_precision": ["boolean"],
    }

    def __init__(
        self,
        *,
        hidden_sizes,
        activation,
        encoder,
        image_shape,
        n_channels,
        standardize,
        augment,
        average_shifts,
        mixed_precision,
        n_support,
        n_support_outliers,
        n_query,
        negatives,
        chronological,
        contamination_in_support,
        n_iter,
        meta_batch_size,
        learning_rate,
        weight_decay,
        early_stopping,
        validation_fraction,
        n_iter_no_change,
        n_calibration_networks,
        contamination,
        max_support,
        device,
        random_state,
    ):
        super().__init__(
            contamination=contamination,
            max_support=max_support,
            random_state=random_state,
        )
        self.hidden_sizes = hidden_sizes
        self.activation = activation
        self.encoder = encoder
        self.image_shape = image_shape
        self.n_channels = n_channels
        self.standardize = standardize
        self.augment = augment
        self.average_shifts = average_shifts
        self.mixed_precision = mixed_precision
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

    def _meta_fit(self, X, y, code, rng):
        if self.negatives == "batch":
            if self.standardize:
                raise ValueError(
                    "negatives='batch' with standardize=True: expected "
                    "standardize=False, since a row of one task would have to be "
                    "scaled anew for each other task."
                )
            if self.meta_batch_size < 2 or code.max() < 1:
                raise ValueError(
                    f"negatives='batch' with {code.max() + 1} task(s) and "
                    f"meta_batch_size={self.meta_batch_size}: expected at least 2 of "
                    "each."
                )
        return super()._meta_fit(X, y, code, rng)

    def _train(self, core, *args):
        if self.encoder == "conv4":  # training moves pictures by itself
            encoder = replace(
                core.encoder, average_shifts=False, mixed_precision=self.mixed_precision
            )
            core = replace(core, encoder=encoder)
        return super()._train(core, *args)

    def _drawn_negatives(self):
        if self.negatives == "batch":
            return "other_tasks"
        return super()._drawn_negatives()

    def _n_episodes(self, n, tasks):
        if self.negatives != "batch":
            return n
        if len(tasks) < 2:
            raise ValueError(
                f"negatives='batch' leaves {len(tasks)} task to train or to validate a "
                "network on: expected at least 2, so more tasks."
            )
        # Drawn twice, a task would be its own negative.
        return min(n, len(tasks))

    def _encoder(self, n_features):
        for name in ("average_shifts", "mixed_precision"):
            if getattr(self, name) and self.encoder != "conv4":
                raise ValueError(
                    f"{name}=True with encoder={self.encoder!r}: expected "
                    "encoder='conv4'."
                )
        if self.encoder == "dense":
            sizes = (n_features, *self._checked_sizes("hidden_sizes"))
            return Dense(sizes, self.activation)
        if self.encoder == "conv4":
            shape = self._checked_image_shape(n_features)
            return Conv4(
                shape,
                self._checked_channels(shape),
                self.activation,
                average_shifts=self.average_shifts,
            )
        return Module(self.encoder, n_features)

    def _checked_channels(self, image_shape):
        channels = self.n_channels
        if isinstance(channels, Integral):
            return channels
        most = most_blocks(image_shape)
        usable = all(isinstance(n, Integral) and n > 0 for n in channels)
        if not usable or not 1 <= len(channels) <= most:
            raise ValueError(
                f"n_channels={channels!r}: expected an int, or a tuple of 1 to {most} "
                f"positive ints, one per block, for pictures of {image_shape[1]} x "
                f"{image_shape[2]}."
            )
        return tuple(channels)

    def _augmented(self, batch, generator, spread, center, scale):
        if self.augment == "noise":
            return add_noise(batch, generator, spread)
        if self.augment is None:
            return batch
        shape = self._checked_image_shape(batch.support.shape[-1])
        if shape[1] != shape[2]:
            raise ValueError(
                f"augment={self.augment!r} with image_shape={self.image_shape!r}: "
                "expected square pictures."
            )
        # Scaled rows are no pictures: pixels have a unit each.
        batch = in_units(batch, scale, center)
        distorted = self.augment == "distort"
        batch = rotate(batch, shape, generator, mirror=distorted)
        if distorted:
            batch = distort(batch, shape, generator)
        return in_units(batch, 1 / scale, -center / scale)
