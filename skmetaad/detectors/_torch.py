"""What the detectors with a torch core share: meta-training and the two crossings."""

from numbers import Integral, Real

import numpy as np
import torch

from skmetaad._compat import Interval, StrOptions
from skmetaad.base import BaseMetaDetector
from skmetaad.core.losses import with_departures
from skmetaad.core.scaling import fleet_moments
from skmetaad.core.state import generator, to_numpy, to_tensor, to_tensors
from skmetaad.core.train import Batch, NotFinite, meta_train
from skmetaad.episodes import EpisodeSampler
from skmetaad.exceptions import MetaTrainingError


class TorchMetaDetector(BaseMetaDetector):
    """Detector around a torch core, meta-trained on episodes.

    A subclass gives `_core(n_features)`: an object with `init`, `loss`, `adapt` and
    `score`, pure functions on tensors with a leading task axis.
    """

    _parameter_constraints = {
        **BaseMetaDetector._parameter_constraints,
        "n_support": [Interval(Integral, 1, None, closed="left"), tuple],
        "n_query": [Interval(Integral, 2, None, closed="left")],
        "negatives": [StrOptions({"auto", "labels", "other_tasks", "synthetic"})],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "meta_batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
    }

    def _core(self, n_features):
        raise NotImplementedError

    def _meta_fit(self, X, y, code, rng):
        moments = fleet_moments(X, y, code)
        center, scale = moments["center"], np.sqrt(moments["total"])
        fixed = {
            "within": moments["within"] / moments["total"],
            "between": moments["between"] / moments["total"],
        }
        meta = {"input_center": center, "input_scale": scale, **fixed}
        rows = torch.from_numpy(((X - center) / scale).astype(np.float32))
        draw, validate_on = self._episodes(rows, y, code, rng)
        constants = to_tensors(fixed, torch.float32)
        core = self._core(X.shape[1])

        def loss_of(params, batch):
            return core.loss({**constants, **params}, batch)

        def validate(params):
            with torch.no_grad():
                return loss_of(params, validate_on).item()

        context = self._init_callback_context(max_subtasks=self.n_iter)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)

        def on_iteration(i):
            step = context.subcontext(task_name="meta-iteration")
            step.call_on_fit_task_begin(estimator=self)
            return step.call_on_fit_task_end(estimator=self)

        try:
            trained = meta_train(
                core.init(generator(rng)),
                loss_of,
                draw,
                n_iter=self.n_iter,
                learning_rate=self.learning_rate,
                weight_decay=self.weight_decay,
                validate=validate if validate_on is not None else None,
                patience=self.n_iter_no_change,
                on_iteration=on_iteration,
            )
        except NotFinite as error:
            raise MetaTrainingError(
                f"{type(self).__name__} diverged: {error}; expected a finite loss. Try "
                f"a smaller learning_rate (got {self.learning_rate})."
            ) from error
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        self.history_ = {
            "loss": np.array(trained.loss),
            "validation_loss": np.array(trained.validation_loss),
        }
        self.n_iter_ = trained.n_iter
        return meta | to_numpy(trained.params)

    def _episodes(self, rows, y, code, rng):
        """Return a function that draws a training batch, and the validation batch."""
        sampler = EpisodeSampler(
            y,
            code,
            n_support=self._checked_n_support(),
            n_query=self.n_query,
            negatives=self.negatives,
        )
        gen = generator(rng)

        def draw(n_episodes, tasks):
            episodes = sampler.draw(n_episodes, rng, tasks=tasks)
            batch = Batch(
                rows[torch.from_numpy(episodes.support)],
                torch.from_numpy(episodes.support_y),
                rows[torch.from_numpy(episodes.query)],
                torch.from_numpy(episodes.query_y),
            )
            return with_departures(batch, gen)

        if not self.early_stopping:
            return lambda: draw(self.meta_batch_size, None), None
        n_tasks = sampler.n_tasks
        n_held_out = max(1, round(self.validation_fraction * n_tasks))
        if n_tasks - n_held_out < 1:
            raise ValueError(
                f"early_stopping=True holds {n_held_out} of {n_tasks} task(s) out: "
                "expected at least one task to train on and one to validate on."
            )
        order = rng.permutation(n_tasks)
        train, held_out = np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
        validation = draw(max(64, self.meta_batch_size), held_out)
        return lambda: draw(self.meta_batch_size, train), validation

    def _checked_n_support(self):
        n_support = self.n_support
        if isinstance(n_support, tuple) and not (
            len(n_support) == 2
            and all(isinstance(k, Integral) for k in n_support)
            and 1 <= n_support[0] <= n_support[1]
        ):
            raise ValueError(
                f"n_support={n_support!r}: expected a positive int, or a tuple of two "
                "in ascending order."
            )
        return n_support

    def _checked_sizes(self, name):
        sizes = tuple(getattr(self, name))
        if not sizes or not all(isinstance(n, Integral) and n > 0 for n in sizes):
            raise ValueError(f"{name}={sizes!r}: expected one or more positive ints.")
        return sizes

    def _adapt(self, X, y, mask):
        meta = to_tensors(self.meta_)
        support = self._scaled(meta, X) * torch.from_numpy(mask).unsqueeze(-1)
        core = self._core(X.shape[-1])
        with torch.no_grad():
            state = core.adapt(meta, support, torch.from_numpy(y), to_tensor(mask))
        return to_numpy(state)

    def _score(self, state, X):
        meta = to_tensors(self.meta_)
        with torch.no_grad():
            core = self._core(X.shape[-1])
            return core.score(meta, to_tensors(state), self._scaled(meta, X)).numpy()

    @staticmethod
    def _scaled(meta, X):
        return (to_tensor(X) - meta["input_center"]) / meta["input_scale"]
