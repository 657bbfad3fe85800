"""Walking through what a fitted pipeline nests: columns, unions, pipelines."""

import copy

from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline


def walk(step, X, act):
    """Send rows through a fitted step, and let `act` have each transformer in it.

    `act` takes a transformer and its own columns, and returns a transformer and the
    transformed rows. Returned are the step made of these transformers, a copy where it
    nests any, and the transformed rows.
    """
    if step is None or step == "passthrough":
        return step, X
    if isinstance(step, Pipeline):
        steps = []
        for name, inner in step.steps:
            inner, X = walk(inner, X, act)
            steps.append((name, inner))
        return replaced(step, steps=steps), X
    if isinstance(step, FrozenEstimator):
        inner, X = walk(step.estimator, X, act)
        return replaced(step, estimator=inner), X
    if isinstance(step, ColumnTransformer):
        return _walk_seats(step, "transformers_", X, act)
    if isinstance(step, FeatureUnion):
        return _walk_seats(step, "transformer_list", X, act)
    return act(step, X)


def replaced(estimator, /, **attributes):
    """Return a shallow copy with other attributes."""
    new = copy.copy(estimator)
    vars(new).update(attributes)
    return new


class _Seat:
    """Stands in for a transformer, where its container hands it its own columns."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def transform(self, X):
        self.step, X = walk(self.step, X, self.act)
        return X

    def __getattr__(self, name):
        return getattr(self.step, name)


def _walk_seats(container, attribute, X, act):
    """Let the container itself choose columns, weigh and join, as it always does."""
    seats = [
        (name, step if isinstance(step, str) else _Seat(step, act), *columns)
        for name, step, *columns in getattr(container, attribute)
    ]
    # One job: in another process the seats' changes would be lost.
    seated = replaced(container, **{attribute: seats, "n_jobs": 1})
    X = seated.transform(X)
    steps = [
        (name, seat if isinstance(seat, str) else seat.step, *columns)
        for name, seat, *columns in seats
    ]
    return replaced(container, **{attribute: steps}), X
