"""How rows reach a detector's hooks, in blocks of tasks, and the hooks themselves."""

import warnings
from abc import ABCMeta, abstractmethod

import numpy as np
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from skmetaad._held_out import learned_offsets, two_fold_scores
from skmetaad._ids import lookup
from skmetaad._rows import (
    Rows,
    check_features,
    check_rows,
    padded,
    same_values,
    stack_states,
    thin,
    unpack,
)
from skmetaad.episodes import blocks
from skmetaad.exceptions import LabelsIgnoredWarning
from skmetaad.thresholds import SHOTS, own_quantile, task_offsets


def check_adapted(state, ids):
    """Raise a ValueError that names the first task with NaN in its state."""
    for value in state.values():
        if value.dtype.kind == "f" and np.isnan(value.sum()):
            each = np.isnan(value.reshape(len(value), -1)).any(axis=1)
            if each.any():
                name = f" to task {ids[int(np.argmax(each))]!r}" if ids else ""
                raise ValueError(
                    f"adapting{name} gave values that are not finite: expected support "
                    "rows nearer to those of fit, or smaller inner rates."
                )


def all_equal(X, mask):
    """Return whether the rows X (T, K, d) in mask (T, K) are all the same, (T,)."""
    first = X[np.arange(len(X)), mask.argmax(axis=1)][:, None]
    return (same_values(X, first).all(axis=2) | ~mask).all(axis=1)


def _unchanged(now, then):
    if isinstance(now, dict) and isinstance(then, dict):  # of arrays
        return now.keys() == then.keys() and all(
            np.array_equal(now[name], then[name], equal_nan=True) for name in now
        )
    return now == then


class Hooks(metaclass=ABCMeta):
    """What a detector implements, and the private machinery that calls it."""

    # Rows, and numbers in them, handed to a hook at once: few enough to stay in cache.
    _max_rows = 4096
    _max_cells = 1_000_000
    # Episodes whose held-out scores set the prior of the offset: one per task, in this
    # range.
    _n_prior_episodes = (64, 256)
    # Numbers of support rows that thresholds are learned at.
    _prior_shots = SHOTS
    # Training rows whose scores set the reference's offset; more are sampled.
    _n_offset_rows = 20_000
    # Whether tasks may differ in their number of columns.
    _any_width = False
    # Whether a row of the support is judged as if it were not in it.
    _leaves_out_own = False
    # Parameters that what was learned is of no use without.
    _shaping = ()

    @abstractmethod
    def _meta_fit(self, X, y, code, rng):
        """Return what is learned over tasks, as a dict of arrays."""

    @abstractmethod
    def _adapt(self, X, y, mask):
        """Adapt to support X (T, K, d), y (T, K), mask (T, K); return dict of (T, ...).

        Arrays may be of length K on axis 1 and are then padded with zeros when joined.
        Padded rows (mask False) hold zeros and must not count.
        """

    @abstractmethod
    def _score(self, state, X):
        """Return scores (T, R) of rows X (T, R, d), higher = more normal."""

    def _held_out(self, X, y, mask, state):
        """Return scores (T, K) of support rows, each without its own influence.

        `state` is what `_adapt` made of the support. NaN where there is no score.
        """
        return two_fold_scores(self, X, y, mask)

    def _offsets(self, X, y, mask, state):
        """Return one threshold per task from held-out scores and the fleet's prior."""
        learned_for = self.offset_prior_["contamination"]
        if self.contamination != learned_for:
            raise ValueError(
                f"contamination={self.contamination!r}, but thresholds are learned for "
                f"{learned_for}: expected that, or fit or calibrate before adapt."
            )
        scores = self._held_out(X, y, mask, state)
        inlier, n_outliers = mask & (y != -1), (mask & (y == -1)).sum(axis=1)
        prior = inlier.sum(axis=1), self.offset_prior_, n_outliers
        own = own_quantile(scores, self.contamination)
        offsets = task_offsets(own, *prior)
        equal = all_equal(X, inlier) & (prior[0] > 1)
        if equal.any():
            # They tell as little of a spread as one row, and are inliers themselves.
            without = task_offsets(np.full_like(own, np.nan), *prior)[equal]
            found = self._score({k: v[equal] for k, v in state.items()}, X[equal])
            lowest = np.where(inlier[equal], found, np.inf).min(axis=1)
            lowest -= 1e-9 * (1 + np.abs(lowest))  # for rounding in other blocks
            offsets[equal] = np.minimum(offsets[equal], np.minimum(without, lowest))
        return offsets

    def _prior(self, rows, rng):
        """Return what tasks tell about thresholds."""
        return learned_offsets([(self, None)], rows, rng)

    def _reference(self, rows, kept, rng):
        """Take up what judges rows without a task, and the threshold for them."""
        # At most half of the rows, so that the scores that set the offset are not all
        # scores of rows the reference was adapted on.
        cap = max(1, min(self.max_support, len(kept) // 2))
        self.reference_ = self._pooled(rows, cap)
        if len(kept) > self._n_offset_rows:
            kept = rng.choice(kept, self._n_offset_rows, replace=False)
        scores = self._in_blocks(rows.X[kept], None, self._score)
        self.offset_ = float(np.quantile(scores, self.contamination))

    def _pooled(self, rows, max_rows):
        """Adapt to the rows of all tasks as one."""
        pool = Rows(rows.X, rows.y, np.zeros_like(rows.code), ())
        return self._adapt_all(thin(pool, max_rows)[0], offsets=False)[0]

    def _check_unchanged(self):
        for name, then in self._learned_with.items():
            now = getattr(self, name)
            if not _unchanged(now, then):
                now, then = (
                    "a dict" if isinstance(one, dict) else repr(one)
                    for one in (now, then)
                )
                raise ValueError(
                    f"{name}={now}, but fit learned with {name}={then}: expected that, "
                    "or fit again."
                )

    def _judge(self, rows):
        """Adapt to the rows' tasks and take up their thresholds."""
        state, offsets = self._adapt_all(thin(rows, self.max_support)[0])
        self.task_ids_ = rows.ids
        self.state_ = state if rows.ids else {}
        self.task_offsets_ = offsets if rows.ids else offsets[:0]
        self.reference_ = state if rows.n_tasks == 1 else None
        self.offset_ = float(offsets[0]) if rows.n_tasks == 1 else offsets

    def _adapt_all(self, rows, *, offsets=True):
        states, thresholds, order = [], [], []
        step = self._step(rows.X)
        for tasks, index in blocks(rows.code, rows.n_tasks, max_rows=step, split=False):
            X, y, mask = padded(rows, index)
            states.append(self._adapt(X, y, mask))
            check_adapted(states[-1], [rows.ids[i] for i in tasks] if rows.ids else [])
            if offsets:
                thresholds.append(self._offsets(X, y, mask, states[-1]))
            order.append(tasks)
        state = stack_states(states, order)
        if not offsets:
            return state, None
        back = np.argsort(np.concatenate(order))
        return state, np.concatenate(thresholds)[back]

    def _step(self, X):
        return max(1, min(self._max_rows, self._max_cells // X.shape[1]))

    def _scores(self, X, task):
        """Return scores and the thresholds that go with them."""
        scores, code = self._by_task(X, task, self._score)
        return scores, self.offset_ if code is None else self.task_offsets_[code]

    def _own_scores(self, X, y, task):
        """Return scores of the rows adapted to, held out of it, and the thresholds.

        They come in the order of then, so that tasks have the same codes.
        """
        scores, offsets = self._scores(X, task)
        if self._leaves_out_own:
            return scores, offsets
        with warnings.catch_warnings():  # adapting has given it
            warnings.simplefilter("ignore", LabelsIgnoredWarning)
            rows = check_rows(self, X, y, task, reset=False)
        support, place = thin(rows, self.max_support)
        states = self.state_ or self.reference_
        step = self._step(support.X)
        for tasks, index in blocks(
            support.code, support.n_tasks, max_rows=step, split=False
        ):
            state = {name: value[tasks] for name, value in states.items()}
            found = self._held_out(*padded(support, index), state)
            found = found[:, : index.shape[1]]  # states reach to the largest task's
            known = np.isfinite(found)
            scores[place[index[known]]] = found[known]
        return scores, offsets

    def _by_task(self, X, task, function, shape=()):
        """Apply function(state, X) to each task's rows; return it and the codes."""
        check_is_fitted(self)
        self._check_unchanged()
        X, _, task = unpack(X, None, task)
        X = check_features(self, X, reset=False)
        if task is not None:
            code = lookup(task, len(X), self.task_ids_)
            return self._in_blocks(X, code, function, shape), code
        if self.reference_ is None:
            raise ValueError(
                f"task=None, but this {type(self).__name__} was adapted to "
                f"{len(self.task_ids_)} tasks: expected the task id of each row."
            )
        return self._in_blocks(X, None, function, shape), None

    def _in_blocks(self, X, code, function, shape=()):
        result = np.empty((len(X), *shape))
        step = self._step(X)
        if code is None:
            for part in gen_batches(len(X), step):
                rows = X[part].astype(np.float64, copy=False)
                result[part] = function(self.reference_, rows[None])[0]
            return result
        for tasks, index in blocks(code, len(self.task_ids_), max_rows=step):
            state = {name: value[tasks] for name, value in self.state_.items()}
            found = function(state, X[index].astype(np.float64, copy=False))
            result[index[index >= 0]] = found[index >= 0]
        return result
