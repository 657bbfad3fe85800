"""Index arithmetic and checks of rows behind the makers of task collections."""

import numpy as np

from skmetaad._ids import factorize, refuse_masked, rows_by_code


def as_array(X):
    """Return an array, of pandas' nullable numbers one of floats."""
    array = np.asarray(X)
    if array.dtype.kind == "O" and hasattr(X, "iloc"):
        try:
            return X.to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            return array
    return array


def numbers(X, name):
    """Return an array of real numbers with at least two axes."""
    refuse_masked(X, name, "NaN where a value is missing")
    X = as_array(X)
    if X.dtype.kind not in "biuf":
        try:
            if X.dtype.kind != "O":
                raise TypeError
            X = X.astype(np.float64)
        except (TypeError, ValueError):
            raise TypeError(
                f"{name} has dtype {X.dtype}: expected real numbers."
            ) from None
    if X.ndim < 2:
        raise ValueError(
            f"{name} has shape {X.shape}: expected (n_rows, n_features) or more axes."
        )
    return X


def column_names(X):
    """Return the names of a table's columns if all are text, else None."""
    names = tuple(getattr(X, "columns", ()))
    return names if names and all(isinstance(name, str) for name in names) else None


def checked_names(names, X, name):
    """Return names of columns as a tuple, one per column of X."""
    names = tuple(names)
    if X.ndim != 2 or len(names) != X.shape[1]:
        raise ValueError(
            f"{name} has {len(names)} names, but X has shape {X.shape}: expected one "
            "name per column."
        )
    if not all(isinstance(column, str) for column in names):
        raise TypeError(f"{name}={names!r}: expected text.")
    return names


def shared_names(columns, ids, what):
    """Return the names of all tables' columns, if all have them; those that do agree.

    `ids` name the tables, `what` the kind of them.
    """
    named = [(own, name) for own, name in zip(columns, ids, strict=True) if own]
    for own, name in named:
        if own != named[0][0]:
            raise ValueError(
                f"{what} {named[0][1]!r} and {name!r} name their columns "
                f"{named[0][0]} and {own}: expected the same names in the same order."
            )
    return named[0][0] if named and len(named) == len(columns) else None


def group(values, X, name):
    """Return ids in order of first appearance, and the row numbers of each."""
    if values is None:
        raise ValueError(f"{name}=None: expected one entry per row of X.")
    code, ids = factorize(values, X.shape[0], name)
    return ids, rows_by_code(code) if ids else []


def step_over(place, start, n):
    """Turn places in a list without its n rows from start on into places in it all."""
    return place + n * (place >= start)


def id_array(ids, repeats):
    """Return each id as often as told, as text, integers or else objects."""
    kinds = {type(v) for v in ids}
    fits = kinds == {int} and all(-(2**63) <= v < 2**63 for v in ids)
    # Arrays of text cut off zero bytes at the end.
    if fits or (kinds == {str} and not any(v.endswith("\0") for v in ids)):
        return np.repeat(np.array(ids), repeats)
    values = np.empty(len(ids), object)
    values[:] = ids
    return np.repeat(values, repeats)


def places(index, n):
    """Return what a list, an array of ints or a boolean mask points at."""
    array = np.asarray(index)
    if array.shape == (0,) and array.dtype.kind == "f":  # an empty list
        return []
    if isinstance(index, tuple) or array.ndim != 1 or array.dtype.kind not in "biu":
        raise TypeError(
            f"index {index!r}: expected an int, a slice, a list or array of ints, or "
            "a boolean mask."
        )
    if array.dtype.kind != "b":
        return array.tolist()
    if len(array) != n:
        raise IndexError(
            f"boolean mask has {len(array)} entries: expected one per task, {n}."
        )
    return np.flatnonzero(array).tolist()


def generator(random_state):
    """Return a Generator; a RandomState hands over a seed drawn from it."""
    if isinstance(random_state, np.random.RandomState):
        random_state = random_state.randint(2**31 - 1)
    return np.random.default_rng(random_state)
