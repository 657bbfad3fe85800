"""Rows of many tasks: taking the input apart, ordering, thinning and padding it."""

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from numbers import Integral

import numpy as np
from sklearn.utils.validation import validate_data

from skmetaad._ids import factorize, refuse_masked
from skmetaad._making import shared_names
from skmetaad._task import refuse_beside
from skmetaad.labels import check_labels
from skmetaad.tasks import Task, TaskCollection, as_collection

# Of values to learn from.
LARGEST = 1e150
# Of a sum, relative to that of its terms' sizes.
ROUNDING = 1e-13


@dataclass(frozen=True)
class Rows:
    """Validated rows: values, labels or None, task codes 0..T-1, and the task ids.

    `ids` is empty when no task was named: then all rows have code 0. `columns` has the
    number and names of each task's columns.
    """

    X: np.ndarray
    y: np.ndarray | None
    code: np.ndarray
    ids: tuple
    columns: tuple = ()

    @property
    def n_tasks(self):
        return max(len(self.ids), 1)

    @property
    def outlier(self):
        return np.zeros(len(self.X), bool) if self.y is None else self.y == -1


def unpack(X, y, task, min_width=0):
    """Split a collection of tasks into arrays; leave arrays as they are.

    Rows of tasks whose columns have names become a DataFrame. With `min_width` > 0,
    narrower tasks get columns of NaN up to the widest one, and their names may differ,
    which then do not count.
    """
    tasks = as_collection(X)
    if tasks is None:
        return X, y, task
    refuse_beside(y=y, task=task)
    if min_width:
        tasks = widened(tasks, min_width)
        names = tasks.feature_names
    else:
        columns = [one.feature_names for one in tasks]
        names = shared_names(columns, tasks.ids, "tasks")
    X, y, task = tasks.arrays()
    X = named(X, names)
    # The makers of tasks warn of labels that may be in another convention.
    return X, y if y is not None and (y == -1).any() else None, task


def named(X, names):
    """Give rows the names of their columns, without a copy."""
    if names is None:
        return X
    try:
        from pandas import DataFrame
    except ImportError:  # scikit-learn then knows no names either
        return X
    return DataFrame(X, columns=list(names), copy=False)


def widened(tasks, min_width=1):
    """Give all tasks as many columns as the widest has; the new ones hold NaN."""
    widths = [task.n_features for task in tasks]
    width = max([min_width, *widths])
    if all(own == width for own in widths):
        return tasks
    made = []
    for task, own in zip(tasks, widths, strict=True):
        X = np.full((len(task), width), np.nan)
        X[:, :own] = task.X.reshape(len(task), -1)
        made.append(Task(task.id, X, task.y))
    return TaskCollection(made)


def check_rows(estimator, X, y, task, *, reset):
    """Validate rows, labels and task ids; raise where a task has outliers only."""
    tasks = as_collection(X)  # a list of tasks only once: that may warn
    X = X if tasks is None else tasks
    X, y, task = unpack(X, y, task, int(estimator._any_width))
    X = check_features(estimator, X, reset=reset)
    if reset and X.dtype == np.float64:
        large = np.abs(X) > LARGEST
        if large.any():
            raise ValueError(
                f"X holds {X[large][0]}: expected values whose squares are finite, of "
                f"at most {LARGEST:.0e} in size."
            )
    code, ids = factorize(task, len(X))
    y = check_labels(y, n_rows=len(X))
    if y is not None:
        refuse_outliers_only(y != -1, code, ids)
    if tasks is None:
        names = getattr(estimator, "feature_names_in_", None)
        own = X.shape[1], None if names is None else tuple(names)
        return Rows(X, y, code, ids, (own,) * len(ids))
    columns = tuple((one.n_features, one.feature_names) for one in tasks)
    return Rows(X, y, code, ids, columns)


def refuse_outliers_only(kept, code, ids):
    """Raise where a task has outliers only; the kept rows are none."""
    left = np.bincount(code[kept], minlength=max(len(ids), 1))
    if (left == 0).any():
        where = f"task {ids[int(np.argmin(left))]!r}" if ids else "y"
        raise ValueError(
            f"{where} labels every row as an outlier (-1): expected at least one "
            "inlier or unlabelled row."
        )


def check_columns(tasks, known):
    """Raise where a task comes in other columns than those that are known of its id."""
    for task in tasks:
        n, names = known.get(task.id, (task.n_features, None))
        if task.n_features != n:
            raise ValueError(
                f"task {task.id!r} has {task.n_features} columns: expected {n}, as "
                "when it was adapted to."
            )
        if names and task.feature_names and names != task.feature_names:
            raise ValueError(
                f"task {task.id!r} has the columns {task.feature_names}: expected "
                f"{names}, as when it was adapted to."
            )


def check_features(estimator, X, *, reset):
    """Validate X as scikit-learn does, and name the column that holds text."""
    if not reset and _is_plain(estimator, X):
        return X
    refuse_masked(X, "X", "NaN where a value is missing")
    times = _columns(X, "mM")
    if times or getattr(getattr(X, "dtype", None), "kind", None) in ("m", "M"):
        where = f" in column {times[0]!r}" if times else ""
        raise ValueError(f"X holds times{where}: expected numbers.")
    X = _as_rows(estimator, X, reset)
    try:
        return validate_data(
            estimator,
            X,
            dtype=[np.float64, np.float32],
            reset=reset,
            ensure_all_finite="allow-nan" if _allows_nan(estimator) else True,
        )
    except (ValueError, TypeError) as error:
        kinds = {"could not convert string": "text", "float() argument": "objects"}
        kind = next((kinds[words] for words in kinds if words in str(error)), None)
        if kind is None:
            raise
        odd = _columns(X, "OSTU")
        where = f"column {odd[0]!r}" if odd else "a column"
        raise type(error)(
            f"X holds {kind} in {where}: expected numbers ({error})."
        ) from error


def _columns(X, kinds):
    """Return the names of a table's columns of some kinds."""
    dtypes = getattr(X, "dtypes", None)
    if isinstance(dtypes, list) and hasattr(X, "columns"):  # of polars
        dtypes = dict(zip(X.columns, dtypes, strict=True))
    if not hasattr(dtypes, "items"):  # as those of a Series
        return []
    return [name for name, dtype in dtypes.items() if _kind(dtype) in kinds]


def _kind(dtype):
    if hasattr(dtype, "is_temporal"):  # of polars
        return "M" if dtype.is_temporal() else "O" if str(dtype) == "String" else "f"
    return getattr(dtype, "kind", "O")


def _as_rows(estimator, X, reset):
    """Flatten pictures (n, h, w) or (n, c, h, w) for a detector that has a shape."""
    if not hasattr(estimator, "image_shape"):
        return X
    pictures = getattr(X, "ndim", 2) in (3, 4)
    if reset:
        estimator._seen_shape = X.shape[1:] if pictures else None
    if not pictures:
        return X
    expected, where = estimator.image_shape, "image_shape"
    if expected is None:
        expected = getattr(estimator, "_seen_shape", None)
        where = "the shape seen in fit"
    if expected is not None and _squeezed(expected) != _squeezed(X.shape[1:]):
        raise ValueError(
            f"X holds pictures of shape {X.shape[1:]}: expected {where}={expected!r}."
        )
    return X.reshape(len(X), -1)


def picture_shape(image_shape, default, n_features, *, smallest=1):
    """Return channels, height and width of rows' pictures; None: the default."""
    shape = default if image_shape is None else image_shape
    shape = (1, *shape) if len(shape) == 2 else tuple(shape)
    usable = len(shape) == 3 and all(isinstance(n, Integral) and n > 0 for n in shape)
    if not usable or prod(shape) != n_features or min(shape[1:]) < smallest:
        least = f", at least {smallest} x {smallest}" if smallest > 1 else ""
        raise ValueError(
            f"image_shape={image_shape!r}: expected (height, width) or (channels, "
            f"height, width) of pictures with {n_features} values{least}."
        )
    return shape


def _squeezed(shape):
    """Return a picture's shape without the axis of a single channel."""
    return tuple(shape[1:] if len(shape) == 3 and shape[0] == 1 else shape)


def _allows_nan(estimator):
    return estimator.__sklearn_tags__().input_tags.allow_nan


def _is_plain(estimator, X):
    """Tell whether X is what `validate_data` would return as it is, much sooner."""
    return (
        type(X) is np.ndarray
        and X.dtype in (np.float64, np.float32)
        and X.ndim == 2
        and len(X) > 0
        and X.shape[1] == estimator.n_features_in_
        and not hasattr(estimator, "feature_names_in_")
        and bool(np.isfinite(X).all())
    )


def thin(rows, max_rows):
    """Sort each task's rows by content and keep at most `max_rows` of each label.

    Returns them and their row numbers. Sorting by content makes whatever follows
    independent of the order in which the rows came; a fixed permutation of the sorted
    rows picks those that stay.
    """
    group = rows.code * 2 + rows.outlier
    order = _by_content(rows.X, group)
    if rows.y is not None and (rows.y == 0).any():
        order = _equal_by_label(rows.X, rows.y, group, order)
    group = group[order]
    start = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    sizes = np.diff(np.r_[start, len(order)])
    if sizes.max() > max_rows:
        kept = [
            order[a : a + n]
            if n <= max_rows
            else order[a + np.sort(np.random.default_rng(0).permutation(n)[:max_rows])]
            for a, n in zip(start, sizes, strict=True)
        ]
        order = np.concatenate(kept)
    y = None if rows.y is None else rows.y[order]
    return Rows(rows.X[order], y, rows.code[order], rows.ids), order


def _by_content(X, group):
    """Return an order of rows by group, and inside by what they hold alone.

    They are sorted along one direction. Rows that rounding may put in either order
    there are compared column by column.
    """
    values, along = np.nan_to_num(X.astype(np.float64)), _directions(X.shape[1])
    key = values @ along
    order = np.lexsort((key, group))
    size = np.abs(values) @ np.abs(along)
    key, size, group = key[order], size[order], group[order]
    near = np.diff(key) <= ROUNDING * np.maximum(size[1:], size[:-1])
    near &= group[1:] == group[:-1]
    at = np.flatnonzero(near)
    one, next_one = X[order[at]], X[order[at + 1]]
    unsure = at[~same_values(one, next_one).all(axis=1)] + 1
    if len(unsure):
        run = np.cumsum(np.r_[True, ~near])
        places = np.flatnonzero(np.isin(run, run[unsure]))
        found = order[places]
        order[places] = found[np.lexsort((*X[found].T, run[places]))]
    return order


def same_values(a, b):
    """Return where values are equal or both missing."""
    return (a == b) | np.isnan(a) & np.isnan(b)


def _equal_by_label(X, y, group, order):
    """Return the order with equal rows of a group sorted by label."""
    one, next_one = X[order[:-1]], X[order[1:]]
    same = same_values(one, next_one).all(axis=1)
    same &= group[order[:-1]] == group[order[1:]]
    run = np.cumsum(np.r_[True, ~same])
    return order[np.lexsort((y[order], run))]


@lru_cache(maxsize=8)
def _directions(n_features):
    return np.random.default_rng(0).standard_normal(n_features)


def padded(rows, index):
    """Gather rows (T, K) with -1 padding into X (T, K, d), y (T, K) and mask (T, K)."""
    mask = index >= 0
    X = rows.X[index].astype(np.float64)
    X[~mask] = 0.0
    y = np.ones(index.shape, np.int8) if rows.y is None else rows.y[index]
    return X, np.where(mask, y, 0).astype(np.int8), mask


def stack_states(states, order):
    """Join states along the task axis, each task at its place in `order`.

    Blocks of tasks may differ in their number of support rows (axis 1); shorter ones
    are padded with zeros, which every state marks as absent by its own mask. The parts
    are taken out of `states`, so that not all of them lie beside what is joined.
    """
    if len(states) == len(order[0]) == 1:
        return states[0]
    joined = {}
    n_tasks = sum(map(len, order))
    for name in list(states[0]):
        parts = [state.pop(name) for state in states]
        rest = parts[0].shape[1:]
        if rest:
            rest = max(part.shape[1] for part in parts), *rest[1:]
        dtype = np.result_type(*{part.dtype for part in parts})
        joined[name] = np.zeros((n_tasks, *rest), dtype)
        for part, tasks in zip(parts, order, strict=True):
            place = (tasks, slice(part.shape[1])) if rest else tasks
            joined[name][place] = part
    return joined
