"""A transformer fitted task by task."""

import copy
from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    has_fit_parameter,
    validate_data,
)

from skmetaad._as_given import is_frame
from skmetaad._compat import safe_indexing
from skmetaad._ids import factorize, lookup, refuse_masked, rows_by_code
from skmetaad._restore import restored_on_error
from skmetaad._rows import refuse_outliers_only


def _inner_has(name):
    return lambda self: hasattr(self._inner(), name)


class PerTaskTransformer(TransformerMixin, BaseEstimator):
    """Transformer fitted on each task's own rows.

    In a pipeline before a meta-detector it scales each task by its own statistics, and
    `skmetaad.adapt` fits it to a new task's support. Scaled by a few rows of its own, a
    support looks more typical than the rows to come, and thresholds, which are learned
    on tasks scaled by all their rows, are then too high: it is for supports of dozens
    of rows. Meta-detectors scale tasks by themselves, with the fleet's help.

    Parameters
    ----------
    transformer : transformer or None, default=None
        What is fitted per task; None: `sklearn.preprocessing.StandardScaler`. On a
        support of one row a scaler centers and divides by one. It gets the rows of a
        data frame as a data frame, judges missing values, and has to make the same
        columns of every task.

    Attributes
    ----------
    transformers_ : dict
        The fitted transformer of each task id.
    transformer_ : transformer
        Fitted on all rows; transforms rows where no task, or one, was fitted.
    n_features_in_ : int
        Number of columns seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns seen in `fit`, when `X` has names.

    Examples
    --------
    >>> from skmetaad import PerTaskTransformer
    >>> scaler = PerTaskTransformer()
    >>> X, task = [[0.0], [2.0], [10.0], [30.0]], ["a", "a", "b", "b"]
    >>> scaler.fit(X, task=task).transform(X, task=task).ravel()
    array([-1.,  1., -1.,  1.])
    """

    __metadata_request__fit = {"task": True}
    __metadata_request__transform = {"task": True}

    def __init__(self, transformer=None):
        self.transformer = transformer

    def fit(self, X, y=None, *, task=None):
        """Fit one transformer per task, and one on all rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows of all tasks.
        y : array-like of shape (n_rows,), default=None
            Labels; rows labelled -1 do not count.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        self : object
            The fitted transformer.

        Raises
        ------
        ValueError
            When all rows of a task are labelled -1, or the tasks' transformers make
            different columns.
        TypeError
            When `transformer` has no `fit` or no `transform`.
        """
        inner = self._inner()
        usable = hasattr(inner, "fit") and hasattr(inner, "transform")
        if not usable or isinstance(inner, type):
            raise TypeError(
                f"transformer={inner!r}: expected a transformer, with fit and "
                "transform, or None."
            )
        with restored_on_error(self):
            return self._fit_parts(_checked(self, X, reset=True), y, task)

    def transform(self, X, *, task=None):
        """Transform each row by its task's transformer.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            The rows.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; None: all rows are of the one task fitted to.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_rows, n_features_out)
            The transformed rows.

        Raises
        ------
        ValueError
            When `task` holds an id that was not seen, or is None after several tasks;
            or when the tasks' transformers make different numbers of columns.
        """
        check_is_fitted(self)
        X = _checked(self, X, reset=False)
        ids = tuple(self.transformers_)
        if task is None and len(ids) > 1:
            raise ValueError(
                f"task=None, but this PerTaskTransformer was fitted to {len(ids)} "
                "tasks: expected the task id of each row, which a pipeline hands on "
                "only if metadata routing is enabled; or skmetaad.compose.decide."
            )
        if task is None or not len(X):
            return _plain(self.transformer_.transform(X))
        code = lookup(task, len(X), ids)
        groups, parts = rows_by_code(code), []
        for rows in groups:
            name = ids[code[rows[0]]]
            with _naming(name):
                own = safe_indexing(X, rows)
                part = _plain(self.transformers_[name].transform(own))
                if parts and part.shape[1:] != parts[0].shape[1:]:
                    raise ValueError(
                        f"the transformer makes rows of shape {part.shape[1:]}, but "
                        f"{parts[0].shape[1:]} for another task: expected the same "
                        "columns for every task."
                    )
            parts.append(part)
        return _stacked(parts)[np.argsort(np.concatenate(groups))]

    def fit_transform(self, X, y=None, *, task=None):
        """Fit, then transform the same rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Rows of all tasks.
        y : array-like of shape (n_rows,), default=None
            Labels; rows labelled -1 do not count in fitting.
        task : array-like of shape (n_rows,), default=None
            The task id of each row.

        Returns
        -------
        X_new : {ndarray, sparse matrix} of shape (n_rows, n_features_out)
            The transformed rows.
        """
        return self.fit(X, y, task=task).transform(X, task=task)

    def adapt(self, X, y=None, *, task=None):
        """Return a new transformer fitted on the support of new tasks.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Support rows.
        y : array-like of shape (n_rows,), default=None
            Labels; rows labelled -1 do not count.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; None: all rows are one task.

        Returns
        -------
        adapted : PerTaskTransformer
            The new transformer; `self` is left untouched.

        Raises
        ------
        ValueError
            When all rows of a task are labelled -1, or a transformer makes other
            columns of the support than of the rows of `fit`.
        """
        check_is_fitted(self)
        adapted = copy.copy(self)
        adapted.transformer = clone(self.transformer, safe=False)
        X = _checked(adapted, X, reset=False)
        return adapted._fit_parts(X, y, task, like=self.transformer_)

    @available_if(_inner_has("get_feature_names_out"))
    def get_feature_names_out(self, input_features=None):
        """Return the names of the columns that `transform` makes.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of `X`; None: those seen in `fit`.

        Returns
        -------
        names : ndarray of str
            The names the inner transformer gives.
        """
        check_is_fitted(self)
        return self.transformer_.get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        inner = get_tags(self._inner())
        tags.input_tags.allow_nan = inner.input_tags.allow_nan
        return tags

    def _inner(self):
        return StandardScaler() if self.transformer is None else self.transformer

    def _fit_parts(self, X, y, task, like=None):
        inner = self._inner()
        code, ids = factorize(task, len(X))
        if y is not None:
            refuse_masked(y, "y", "0 where a label is missing")
            kept = column_or_1d(y, warn=True) != -1
            check_consistent_length(X, kept)
            refuse_outliers_only(kept, code, ids)
            X, code = safe_indexing(X, np.flatnonzero(kept)), code[kept]
        self.transformers_ = {}
        for rows in rows_by_code(code) if ids else ():
            name = ids[code[rows[0]]]
            with _naming(name):
                self.transformers_[name] = _fitted(inner, safe_indexing(X, rows))
        self.transformer_ = _fitted(inner, X)
        like = self.transformer_ if like is None else like
        for name, fitted in self.transformers_.items():
            with _naming(name):
                _check_names(fitted, like)
        _check_names(self.transformer_, like)
        return self


def _fitted(transformer, X):
    made = clone(transformer)
    # As of a FrozenEstimator, which has no default.
    return made.fit(X, None) if has_fit_parameter(made, "y") else made.fit(X)


def _checked(transformer, X, *, reset):
    """Validate X; values of a frame, and missing ones, are the inner one's to judge."""
    if is_frame(X):
        validate_data(transformer, X, skip_check_array=True, reset=reset)
        return X
    refuse_masked(X, "X", "NaN where a value is missing")
    return validate_data(
        transformer,
        X,
        dtype=[np.float64, np.float32],
        ensure_all_finite=False,
        reset=reset,
    )


@contextmanager
def _naming(task):
    """Name the task in errors about its rows."""
    try:
        yield
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"task {task!r}: {error}") from error


def _plain(part):
    return part if sparse.issparse(part) else np.asarray(part)


def _stacked(parts):
    if all(map(sparse.issparse, parts)):
        return sparse.vstack(parts, format="csr")
    return np.concatenate([p.toarray() if sparse.issparse(p) else p for p in parts])


def _names_out(fitted):
    try:
        return list(fitted.get_feature_names_out())
    except (AttributeError, ValueError):  # a pipeline has the method, its steps may not
        return None


def _check_names(fitted, like):
    found, expected = _names_out(fitted), _names_out(like)
    if found is None or expected is None or found == expected:
        return
    named = [hasattr(one, "feature_names_in_") for one in (fitted, like)]
    if named[0] != named[1] and len(found) == len(expected):
        return  # scikit-learn has warned that one of them has no names
    odd = sorted(set(found) ^ set(expected))[:3]
    raise ValueError(
        f"{type(fitted).__name__} makes {len(found)} columns of these rows, "
        f"{len(expected)} of all rows seen in fit, and they differ in {odd}: expected "
        "the same columns of every task."
    )
