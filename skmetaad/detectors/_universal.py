"""One pretrained detector for any numeric table."""

import os
from functools import lru_cache, partial
from importlib.resources import files
from math import ceil
from numbers import Integral

import numpy as np
import torch
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skmetaad._checks import check_count
from skmetaad._compat import Interval, StrOptions
from skmetaad._held_out import learned_offsets
from skmetaad._rows import check_columns, unpack
from skmetaad.base import BaseMetaDetector
from skmetaad.core import doubt, explain, scorer, universal
from skmetaad.core.state import as_device, computing_on, to_tensor, to_tensors
from skmetaad.detectors import _universal_training as training
from skmetaad.detectors._device import OnDevice, on_own_device
from skmetaad.tasks import as_collection

__all__ = ["UniversalDetector"]

DEFAULT = files("skmetaad") / "weights" / "universal.npz"
# Tasks from which on thresholds are learned on them, not taken from the weights.
ENOUGH_TASKS = 3
# Columns from which on these are fewer episodes: each number in a table takes its time.
WIDE = 65
# Distances computed at once.
CELLS = 2_000_000


class UniversalDetector(OnDevice, BaseMetaDetector):
    r"""Pretrained detector for any numeric table, without training or tuning.

    A row is described by evidence that does not depend on the table's columns: its
    distances to the nearest support rows, in spreads and in normal quantiles of ranks,
    local density, isolation, Mahalanobis distance, rarity of values and of pairs of
    values, residuals of each column given the others. Each evidence :math:`e_i(x)` is
    set against its own leave-one-out distribution over the support,

    .. math:: z_i = \frac{e_i(x) - median_j\, e_i(x_j)}{spread_j\, e_i(x_j)}, \qquad
              t_i = -1 - \log\frac{\#\{j : e_i(x_j) > e_i(x)\} + \frac12
              \#\{j : e_i(x_j) = e_i(x)\} + \frac12}{K + 1},

    with z beyond 4 taken as :math:`4 + 2 \log(z / 4)`, and a small network f,
    meta-trained to rank outliers above inliers over many tables, adds to weighted means
    of all evidence and of the k highest z:

    .. math:: a(x) = w_1 \bar z + w_2 \bar t + \sum_{k \in \{1, 3, 6, 20\}}
              v_k \bar z_{(k)} + f(z, t, columns).

    The columns enter f through a network that is shared by all columns of all tables
    and pooled over them, so that their number and order do not matter to it (to
    isolation and pairs of columns, which are drawn by place, order does a little). See
    the model card (docs/detectors/universal.md) for what the default weights were
    trained on.

    `fit` does not train: it describes the table. Rows may be contaminated: a row that
    equals a support row, but for rounding, is judged without that one (which still
    counts in the columns' units), and support rows are ranked beside the less odd of
    them. NaN is a value of its own. Labelled outliers in the support are evidence too.
    `adapt` takes tables of any width, and so does `fit` of a `TaskCollection`, whose
    tasks may differ in width.

    Parameters
    ----------
    weights : "default", path-like or dict of str to ndarray, default="default"
        The network: what ships with the package, a file written by `save_weights`, or
        its arrays, as `meta_fit` returns them in a new detector.
    contamination : float, default=0.1
        Expected share of outliers among rows not labelled as outliers, in (0, 0.5]:
        the share of support rows below the threshold. Twice as many are set aside when
        support rows are ranked, where there are at least 20.
    max_support : int, default=2000
        Largest number of support rows kept per task, labelled outliers and all others
        apart; more are thinned at random.
    chronological : bool or "consecutive", default=False
        Whether each task's rows are in time order and a new task's support comes before
        its query: then what three or more tasks in `fit`, or those of `calibrate`, tell
        about thresholds is learned from rows that come later than those adapted to, so
        that drift is part of it. "consecutive": those adapted to follow each other, as
        the first rows of a new task do. See :doc:`/drift`.
    n_jobs : int or None, default=None
        Threads that score rows; None: one, beside those that torch uses.
    device : str or torch.device, default="cpu"
        Where torch computes: "cpu", "cuda", "cuda:1" and so on, or "auto", a GPU if
        there is one. It may be changed at any time: what is fitted are arrays in the
        CPU's memory. See :ref:`gpu`.
    random_state : int, RandomState instance or None, default=None
        Seed of the tasks drawn to learn thresholds, where `fit` sees at least three
        tasks; all else is deterministic.

    Attributes
    ----------
    meta_ : dict of str to ndarray
        The weights.
    state_ : dict of str to ndarray
        What describes each task's support, with a leading axis of tasks.
    reference_ : dict of str to ndarray or None
        What judges rows that come without a task.
    offset_ : float or ndarray of shape (n_tasks,)
        Threshold: `decision_function = score_samples - offset_`.
    task_ids_ : tuple
        The ids of the tasks in `state_`.
    task_offsets_ : ndarray of shape (n_tasks,)
        The threshold of each task in `task_ids_`.
    offset_prior_ : dict of str to ndarray
        What tasks tell about thresholds, by "shots".
    n_features_in_ : int
        Number of columns of the table; the largest, when tasks differ.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, when `X` has names.

    See Also
    --------
    MetaPrototypeDetector : Meta-trained on tasks that share their columns.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.metrics import roc_auc_score
    >>> from skmetaad import UniversalDetector
    >>> X, benign = load_breast_cancer(return_X_y=True)
    >>> det = UniversalDetector().fit(X[benign == 1][:150])
    >>> rest = [*range(300), *range(500, 569)]
    >>> bool(roc_auc_score(benign[rest], det.score_samples(X[rest])) > 0.9)
    True
    """

    _any_width = True
    _leaves_out_own = True

    # The number and names of the columns of each task in `task_ids_`.
    _columns = ()

    _shaping = ("weights",)
    # Its scores hardly grow with the rows beyond these.
    _prior_shots = training.SHOTS
    _parameter_constraints = {
        **BaseMetaDetector._parameter_constraints,
        **OnDevice._device_constraints,
        "weights": [str, os.PathLike, dict],
        "chronological": ["boolean", StrOptions({"consecutive"})],
        "n_jobs": [
            Interval(Integral, 1, None, closed="left"),
            Interval(Integral, None, -1, closed="right"),
            None,
        ],
    }

    def __init__(
        self,
        *,
        weights="default",
        contamination=0.1,
        max_support=2000,
        chronological=False,
        n_jobs=None,
        device="cpu",
        random_state=None,
    ):
        super().__init__(
            contamination=contamination,
            max_support=max_support,
            random_state=random_state,
        )
        self.weights = weights
        self.chronological = chronological
        self.n_jobs = n_jobs
        self.device = device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @on_own_device
    def meta_fit(self, tasks, *, n_iter=3000, n_draws=8, n_members=3):
        """Train new weights on tables of one's own.

        From each task, supports of 5 to 2,000 rows and at most 200 columns are drawn,
        some contaminated, some with labelled outliers; the network learns to rank
        outliers above inliers by the pairwise logistic loss. Tables of hundreds of
        tasks are needed: mix them with those of `skmetaad.datasets.make_tables`.

        Parameters
        ----------
        tasks : TaskCollection or list of Task
            Labelled tasks, of any widths: rows labelled -1 are the outliers, all others
            inliers.
        n_iter : int, default=3000
            Training steps, of 16 draws each.
        n_draws : int, default=8
            Draws per task. Every second one is a new task made of the inliers: rows
            with rare values of a column, which is then removed, become outliers.
        n_members : int, default=3
            Networks, whose scores are averaged.

        Returns
        -------
        trained : UniversalDetector
            A new, unfitted detector whose `weights` are the new ones.

        Raises
        ------
        ValueError
            When fewer than two tasks have ten inliers and two outliers (others are left
            out), or a number is less than 1.
        TypeError
            When a number is not an int.
        """
        counts = {"n_iter": n_iter, "n_draws": n_draws, "n_members": n_members}
        for name, value in counts.items():
            check_count(name, value)
        weights = training.meta_train(
            tasks,
            self.random_state,
            **counts,
        )
        params = {**self.get_params(deep=False), "weights": weights}
        return type(self)(**params)

    def save_weights(self, path):
        """Write the weights to a file, as `weights` takes it.

        Parameters
        ----------
        path : path-like
            The ``.npz`` file; one that is there is replaced once the new one is whole.
        """
        training.save(path, _loaded(self.weights))

    def explain(self, X, *, task=None):
        """Return what makes each row abnormal, by groups of evidence and by columns.

        A contribution is how much less abnormal the row would be if the evidence of the
        group were that of a typical support row, or if the column had the value that it
        has in the support rows nearest by all other columns. It takes one scoring per
        group and column.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features), or TaskCollection
            Rows to explain.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        explanation : Bunch
            `groups` : ndarray of shape (n_rows, n_groups), contributions in units of
            `score_samples`, positive = towards abnormal; `group_names` : list of str;
            `columns` : ndarray of shape (n_rows, n_features); `column_names` : list of
            str.
        """
        check_is_fitted(self)
        names = list(scorer.GROUPS)
        n_columns = self.n_features_in_
        found, _ = self._by_task(X, task, self._explained, (len(names) + n_columns,))
        columns = getattr(self, "feature_names_in_", None)
        if columns is None:
            columns = [f"x{j}" for j in range(n_columns)]
        return Bunch(
            groups=found[:, : len(names)],
            group_names=names,
            columns=found[:, len(names) :],
            column_names=list(columns),
        )

    # ------------------------------------------------------------------------- hooks

    def _judge(self, rows):
        super()._judge(rows)
        self._columns = rows.columns

    def _by_task(self, X, task, function, shape=()):
        check_is_fitted(self)
        tasks = as_collection(X)
        if tasks is not None:
            known = dict(zip(self.task_ids_, self._columns, strict=False))
            check_columns(tasks, known)
            X, _, task = unpack(tasks, None, task, self.n_features_in_)
            if not hasattr(self, "feature_names_in_"):  # tasks' own are checked
                X = np.asarray(X)
        return super()._by_task(X, task, function, shape)

    def _meta_fit(self, X, y, code, rng):
        return _loaded(self.weights)

    @on_own_device
    @torch.no_grad()
    def _adapt(self, X, y, mask):
        X, y, mask = map(to_tensor, (X, y, mask))
        state, seen = universal.adapt(X, mask, y == -1)
        own = doubt.look_again(
            (X, y, mask),
            self._anomaly(seen),
            2 * self.contamination,
            judge=self._anomaly,
            score=partial(self._over_rows, function=self._judged),
        )
        state["own_scores"] = torch.where(state["present"], -own, 0.0)
        return {name: value.cpu().numpy() for name, value in state.items()}

    @on_own_device
    def _score(self, state, X):
        def scored(part, state):
            own = universal.find_own(part, state)
            scores = state["own_scores"].gather(1, own.clamp_min(0))
            fresh = (own < 0).any(0)
            if fresh.any():
                seen = universal.inputs(part[:, fresh], state, own[:, fresh])
                judged = -self._anomaly(seen)
                scores[:, fresh] = judged.where(own[:, fresh] < 0, scores[:, fresh])
            return scores

        return self._over_rows(to_tensors(state), to_tensor(X), scored).cpu().numpy()

    def _judged(self, X, state):
        return self._anomaly(universal.inputs(X, state))

    @on_own_device
    def _explained(self, state, X):
        explained = partial(explain.contributions, self._anomaly)
        return self._over_rows(to_tensors(state), to_tensor(X), explained).cpu().numpy()

    def _over_rows(self, state, X, function):
        """Return function(rows, state) of rows X (T, R, d), a part at a time."""
        state = universal.awake(state)
        n_jobs = effective_n_jobs(self.n_jobs or 1)
        n_cells = X.shape[0] * X.shape[1] * state["present"].shape[1]
        n_parts = max(ceil(n_cells / (CELLS * self._enlarged)), n_jobs)
        parts = X.tensor_split(min(n_parts, X.shape[1]), dim=1)

        def one(part):  # modes of torch are those of a thread
            with computing_on(as_device(self.device)), torch.no_grad():
                return function(part.contiguous(), state)

        found = Parallel(n_jobs=n_jobs, prefer="threads")(
            delayed(one)(part) for part in parts
        )
        return torch.cat(found, dim=1)

    def _anomaly(self, seen):
        weights = self._members()
        return sum(scorer.anomaly(w, seen) for w in weights) / len(weights)

    def _members(self):
        """Return the weights of each network, as tensors."""
        arrays = {k: v for k, v in self.meta_.items() if not k.startswith("prior.")}
        n_members = len(arrays["backbone"])
        tensors = {name: to_tensor(value) for name, value in arrays.items()}
        return [{k: v[i] for k, v in tensors.items()} for i in range(n_members)]

    def _held_out(self, X, y, mask, state):
        return np.where(state["present"], state["own_scores"], np.nan)

    @property
    def _n_prior_episodes(self):
        return (16 if self.n_features_in_ >= WIDE else 64), 256

    def _prior(self, rows, rng):
        if rows.n_tasks >= ENOUGH_TASKS:
            return learned_offsets([(self, None)], rows, rng)
        return training.offsets_at(self.meta_, self.contamination)

    def _reference(self, rows, kept, rng):
        """Judge rows without a task by all rows, each left out of its own judgement."""
        if self.reference_ is None:  # else adapted to the rows already, as one task
            self.reference_ = self._pooled(rows, self.max_support)
        own = self.reference_["own_scores"][self.reference_["present"]]
        self.offset_ = float(np.quantile(own, self.contamination))


@lru_cache(maxsize=2)
def _default():
    return training.load(DEFAULT)


def _loaded(weights):
    if isinstance(weights, dict):
        return training.checked(weights)
    return _default() if weights == "default" else training.load(weights)
