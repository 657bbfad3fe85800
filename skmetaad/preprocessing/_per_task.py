"""A transformer fitted task by task."""

import copy

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

from skmetaad._ids import factorize, lookup


class PerTaskTransformer(TransformerMixin, BaseEstimator):
    """Transformer fitted on each task's own rows.

    In a pipeline before a meta-detector it scales each task by its own statistics, and
    `skmetaad.adapt` fits it to a new task's support.

    Parameters
    ----------
    transformer : transformer or None, default=None
        What is fitted per task; None: `sklearn.preprocessing.StandardScaler`. On a
        support of one row a scaler centers and divides by one.

    Attributes
    ----------
    transformers_ : dict
        The fitted transformer of each task id.
    transformer_ : transformer
        Fitted on all rows; transforms rows that come without a task.
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
            When all rows of a task are labelled -1.
        """
        X = validate_data(self, X, dtype=[np.float64, np.float32])
        return self._fit_parts(X, y, task)

    def transform(self, X, *, task=None):
        """Transform each row by its task's transformer.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            The rows.
        task : array-like of shape (n_rows,), default=None
            The task id of each row; None: the transformer fitted on all rows is used.

        Returns
        -------
        X_new : ndarray of shape (n_rows, n_features_out)
            The transformed rows.

        Raises
        ------
        ValueError
            When `task` holds an id that was not seen.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=[np.float64, np.float32], reset=False)
        if task is None:
            return self.transformer_.transform(X)
        ids = tuple(self.transformers_)
        code = lookup(task, len(X), ids)
        out = None
        for i in np.unique(code):
            part = np.asarray(self.transformers_[ids[i]].transform(X[code == i]))
            if out is None:
                out = np.empty((len(X), *part.shape[1:]), part.dtype)
            out[code == i] = part
        return out

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
        X_new : ndarray of shape (n_rows, n_features_out)
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
        """
        check_is_fitted(self)
        adapted = copy.copy(self)
        X = validate_data(adapted, X, dtype=[np.float64, np.float32], reset=False)
        return adapted._fit_parts(X, y, task)

    def _fit_parts(self, X, y, task):
        base = StandardScaler() if self.transformer is None else self.transformer
        code, ids = factorize(task, len(X))
        if y is not None:
            kept = np.asarray(y) != -1
            check_consistent_length(X, kept)
            for i in np.setdiff1d(code, code[kept]):
                raise ValueError(
                    f"task {ids[i]!r} labels every row as an outlier (-1): expected at "
                    "least one inlier or unlabelled row."
                )
            X, code = X[kept], code[kept]
        self.transformers_ = {
            name: clone(base).fit(X[code == i]) for i, name in enumerate(ids)
        }
        self.transformer_ = clone(base).fit(X)
        return self
