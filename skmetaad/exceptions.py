"""Warnings and errors of skmetaad."""

__all__ = ["LabelsIgnoredWarning", "MetaTrainingError"]


class LabelsIgnoredWarning(UserWarning):
    """Warn that `y` held no outlier label (-1) and was therefore ignored.

    Examples
    --------
    >>> import warnings
    >>> from skmetaad.exceptions import LabelsIgnoredWarning
    >>> from skmetaad.labels import check_labels
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     check_labels([0, 1, 1], n_rows=3)
    >>> caught[0].category.__name__
    'LabelsIgnoredWarning'
    """


class MetaTrainingError(ValueError):
    """Signal that meta-training left the finite numbers.

    The message names the meta-iteration and what to change; the estimator is left as
    it was before `fit`.

    Examples
    --------
    >>> from skmetaad.exceptions import MetaTrainingError
    >>> issubclass(MetaTrainingError, ValueError)
    True
    """
