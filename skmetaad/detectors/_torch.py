"""What the detectors with a torch core share: meta-training and the two crossings."""

import copy
from abc import abstractmethod
from functools import partial
from math import isqrt
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
import torch

from skmetaad._compat import Interval, StrOptions
from skmetaad._held_out import learned_offsets
from skmetaad._rows import picture_shape
from skmetaad.base import BaseMetaDetector
from skmetaad.core.pieces import in_pieces
from skmetaad.core.scaling import fleet_moments
from skmetaad.core.state import generator, to_numpy, to_tensor, to_tensors
from skmetaad.core.train import NotFinite, meta_train
from skmetaad.detectors._blended import cross_fitted
from skmetaad.detectors._device import OnDevice, on_own_device
from skmetaad.detectors._episode_drawer import EpisodeDrawer
from skmetaad.exceptions import MetaTrainingError

LARGEST = 1e9
NEGATIVES = {"auto", "labels", "other_tasks", "synthetic", "mixed"}
# What some of the outliers give way to.
MADE = {"auto": "auto", "mixed": "synthetic"}
# What all networks are shaped by.
NETWORK_PARAMS = ("hidden_sizes", "activation", "image_shape", "standardize")
# Parameters that adapting does not need.
AFTER = ("input_", "blend.", "cohort.")


class Ground(NamedTuple):
    """What all trainings of one `fit` share.

    Parameters that are not learned, the episodes, the randomness, and the center and
    scale that take rows back to what the user gave.
    """

    fixed: dict
    draw: EpisodeDrawer
    rng: np.random.Generator
    units: tuple


class TorchMetaDetector(OnDevice, BaseMetaDetector):
    """Detector around a torch core, meta-trained on episodes.

    A subclass gives `_core`: an object with `init`, `loss`, `adapt` and `score`, pure
    functions on tensors with a leading task axis.
    """

    _parameter_constraints = {
        **BaseMetaDetector._parameter_constraints,
        **OnDevice._device_constraints,
        "n_support": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "n_support_outliers": [Interval(Integral, 0, None, closed="left"), tuple, list],
        "n_query": [Interval(Integral, 2, None, closed="left")],
        "negatives": [StrOptions(NEGATIVES)],
        "chronological": ["boolean", StrOptions({"consecutive"})],
        "contamination_in_support": [Interval(Real, 0, 0.5, closed="both")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "meta_batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "n_calibration_networks": [Interval(Integral, 0, None, closed="left")],
    }

    # What a training that diverges may be too fast by.
    _rates = ("learning_rate",)

    @abstractmethod
    def _core(self, n_features, n_parts=1):
        """Return the torch core for so many features and networks."""

    # ------------------------------------------------------ what a subclass may change

    def _drawn_negatives(self):
        """Return where the sampler takes the outliers of queries from."""
        return "auto" if self.negatives == "mixed" else self.negatives

    def _n_episodes(self, n, tasks):
        """Return how many episodes of the tasks to draw, when n are asked for."""
        return n

    def _parts(self, tasks, rng):
        """Return the task codes that each batch of a meta-iteration is drawn from."""
        return [tasks]

    def _loss(self, core, params, batches, progress):
        """Return the loss of a meta-iteration; `batches` has one batch per part.

        `progress` is the share of the meta-iterations that are done.
        """
        return core.loss(params, batches[0])

    def _n_at_once(self, core, params, batches):
        """Return how many episodes of a meta-iteration to keep in memory."""
        return len(batches[0].support)

    def _diverged(self, core, params, batches):
        """Return the codes of tasks at which adapting leaves the finite numbers."""
        return []

    def _augmented(self, batch, generator, spread, center, scale):
        """Return a batch of meta-training, changed at random.

        Rows times `scale` plus `center` are what the user gave, `spread` is the
        deviation of their features inside tasks.
        """
        return batch

    def _after(self, core, params, draw, unseen):
        """Return what is learned once the networks are trained, a dict of tensors.

        And, where there may be several, the parameters with which each judges alone.
        `unseen` has the task codes that each part's network has not seen.
        """
        return {}, []

    # ---------------------------------------------------------------------------------

    @on_own_device
    def _meta_fit(self, X, y, code, rng):
        moments = fleet_moments(X, y, code)
        center, total = moments["center"], moments["total"]
        fixed = {
            "within": moments["within"] / total,
            "between": moments["between"] / total,
            # Brings scaled rows back to one common unit for all features.
            "row_scale": np.sqrt(total / total.mean()),
        }
        fixed = {name: value.astype(np.float32) for name, value in fixed.items()}
        meta = {"input_center": center, "input_scale": np.sqrt(total), **fixed}
        rows = ((X - center) / meta["input_scale"]).astype(np.float32)
        draw = EpisodeDrawer(
            torch.as_tensor(rows),
            y,
            code,
            rng,
            n_support=self._checked_range("n_support", 1),
            n_support_outliers=self._checked_range("n_support_outliers", 0),
            n_query=self.n_query,
            negatives=self._drawn_negatives(),
            made=MADE.get(self.negatives),
            chronological=self.chronological,
            contamination=self.contamination_in_support,
        )
        units = to_tensors(
            {k: meta[k] for k in ("input_center", "input_scale")}, torch.float32
        ).values()
        ground = Ground(to_tensors(fixed, torch.float32), draw, rng, tuple(units))
        train, held_out = self._split_tasks(draw.sampler.usable, rng)
        context = self._init_callback_context(max_subtasks=self.n_iter)
        context.call_on_fit_task_begin(estimator=self)
        on_iteration = partial(self._reported, context)
        trained, judges = self._learn(ground, train, held_out, on_iteration)
        self.history_ = {
            "loss": np.array(trained.loss),
            "validation_loss": np.array(trained.validation_loss),
        }
        self.n_iter_ = len(trained.loss)
        judges = judges or self._further_judges(ground, trained.params, train)
        self._calibration = [
            (meta | to_numpy(params), tasks) for params, tasks in judges
        ]
        context.call_on_fit_task_end(estimator=self)
        return meta | to_numpy(trained.params)

    def _learn(self, ground, train, held_out, on_iteration):
        """Return what is learned on tasks, and pairs of parameters and unseen tasks.

        There are such pairs where tasks are held out, or several networks trained.
        """
        parts = self._parts(train, ground.rng)
        core = self._core(ground.draw.rows.shape[1], len(parts))
        trained = self._train(core, ground, parts, held_out, on_iteration)
        unseen = [np.setdiff1d(train, part) for part in parts]
        if held_out is not None:
            unseen = [held_out] * len(parts)
        with torch.no_grad():
            learned = {**ground.fixed, **trained.params}
            after, alone = self._after(core, learned, ground.draw, unseen)
        trained.params |= after
        if held_out is not None:
            return trained, [(trained.params, held_out)]
        if len(parts) == 1:
            return trained, []
        return trained, list(zip(alone, unseen, strict=True))

    def _further_judges(self, ground, params, train):
        """Train networks without a share of the tasks each; return pairs of the two.

        A network judges the tasks that it was trained on with too much confidence.
        """
        if not self.n_calibration_networks or len(train) < 3:
            return [(params, train)]
        n = self.n_calibration_networks
        parts = cross_fitted(train, max(n, 4), ground.rng)[:n]

        def as_long(i):
            return i + 1 >= self.n_iter_

        found = [self._learn(ground, part, None, as_long)[0] for part in parts]
        return [
            (trained.params, np.setdiff1d(train, part))
            for trained, part in zip(found, parts, strict=True)
        ]

    def _prior(self, rows, rng):
        judges = []
        for meta, tasks in vars(self).pop("_calibration"):
            judge = copy.copy(self)
            judge.meta_ = meta
            judges.append((judge, tasks))
        return learned_offsets(judges, rows, rng)

    def _reported(self, context, i):
        """Tell callbacks of a meta-iteration; return whether they ask to stop."""
        step = context.subcontext(task_name="meta-iteration")
        step.call_on_fit_task_begin(estimator=self)
        return step.call_on_fit_task_end(estimator=self)

    def _train(self, core, ground, parts, held_out, on_iteration):
        fixed, draw, rng, units = ground
        last, at_once = [], {}

        def losses_of(params, batches, progress):
            params = {**fixed, **params}
            n = len(batches[0].support)
            if n not in at_once:
                at_once[n] = self._n_at_once(core, params, batches)
            for weight, piece in in_pieces(batches, at_once[n]):
                last[:] = params, piece
                yield weight * self._loss(core, *last, progress)

        validate = None
        if held_out is not None:
            n_held_out = self._n_episodes(max(16, self.meta_batch_size), held_out)
            # Several, since a draw's supports are all of one size.
            watched = [[draw(n_held_out, held_out) for _ in parts] for _ in range(4)]

            def validate(params):
                with torch.no_grad():
                    losses = [sum(losses_of(params, each, 1.0)) for each in watched]
                return sum(losses).item() / len(losses)

        changes, spread = generator(rng), fixed["within"].sqrt()
        n = min(self._n_episodes(self.meta_batch_size, part) for part in parts)
        try:
            return meta_train(
                core.init(generator(rng)),
                losses_of,
                lambda: [
                    self._augmented(draw(n, part), changes, spread, *units)
                    for part in parts
                ],
                n_iter=self.n_iter,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                validate=validate,
                patience=self.n_iter_no_change,
                on_iteration=on_iteration,
            )
        except NotFinite as error:
            codes = self._diverged(core, *last) if self.task_ids_ else []
            names = " or ".join(repr(self.task_ids_[i]) for i in codes[:3])
            rates = " or ".join(f"{r} (got {getattr(self, r)})" for r in self._rates)
            raise MetaTrainingError(
                f"{type(self).__name__} diverged: {error}"
                + (f", adapting to task {names}" if names else "")
                + f"; expected a finite loss. Try a smaller {rates}."
            ) from error

    def _split_tasks(self, tasks, rng):
        """Return the tasks to train on, and those held out for early stopping."""
        if not self.early_stopping:
            return tasks, None
        n_held_out = max(1, round(self.validation_fraction * len(tasks)))
        if len(tasks) - n_held_out < 1:
            raise ValueError(
                f"early_stopping=True holds {n_held_out} of {len(tasks)} task(s) out: "
                "expected at least one task to train on and one to validate on."
            )
        order = rng.permutation(tasks)
        return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])

    def _checked_range(self, name, least):
        """Return an int, or a tuple of the smallest and the largest."""
        value = getattr(self, name)
        if isinstance(value, tuple | list) and not (
            len(value) == 2
            and all(isinstance(k, Integral) for k in value)
            and least <= value[0] <= value[1]
        ):
            raise ValueError(
                f"{name}={value!r}: expected an int of at least {least}, or a tuple of "
                "two in ascending order."
            )
        return value

    def _checked_sizes(self, name):
        sizes = tuple(getattr(self, name))
        if not sizes or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(f"{name}={sizes!r}: expected one or more positive ints.")
        return sizes

    def _checked_image_shape(self, n_features):
        """Return channels, height and width of the pictures."""
        seen = getattr(self, "_seen_shape", None) or (isqrt(n_features),) * 2
        if self.image_shape is None and len(seen) == 3 and seen[0] > 4:
            raise ValueError(
                f"image_shape=None and pictures of shape {seen}: expected channels "
                "first, at most 4, or the shape in image_shape."
            )
        return picture_shape(self.image_shape, seen, n_features, smallest=2)

    @on_own_device
    def _adapt(self, X, y, mask):
        # In single precision, which is that of the state.
        needed = {k: v for k, v in self.meta_.items() if not k.startswith(AFTER)}
        meta = to_tensors(needed, torch.float32)
        support = to_tensor(self._scaled(X) * mask[..., None], torch.float32)
        core = self._core(X.shape[-1])
        with torch.no_grad():
            state = core.adapt(meta, support, torch.as_tensor(y), to_tensor(mask))
        return to_numpy(state)

    @on_own_device
    def _score(self, state, X):
        meta = to_tensors(self.meta_)
        with torch.no_grad():
            core = self._core(X.shape[-1])
            rows = to_tensor(self._scaled(X))
            return core.score(meta, to_tensors(state), rows).cpu().numpy()

    def _scaled(self, X):
        scaled = (X - self.meta_["input_center"]) / self.meta_["input_scale"]
        # Beyond, squares would not fit into single precision.
        return np.clip(scaled, -LARGEST, LARGEST, out=scaled)
