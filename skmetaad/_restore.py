"""All or nothing: an estimator whose fit fails is as it was before."""

from contextlib import contextmanager


@contextmanager
def restored_on_error(estimator):
    """Give the estimator back its attributes when the block raises."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
