"""Taking a table apart into features, labels and task ids."""

import numpy as np

from skmetaad._making import column_names
from skmetaad.labels import outlier_labels


def frame_columns(df, task, label):
    """Return features (n, d), their names, labels or None, and the task ids."""
    if not hasattr(df, "columns") or not hasattr(df, "iloc"):
        raise TypeError(
            f"df is a {type(df).__name__}: expected a pandas DataFrame; for arrays use "
            "from_arrays."
        )
    from pandas.api.types import is_complex_dtype, is_numeric_dtype

    special = [task] if label is None else [task, label]
    for name, column in zip(("task", "label"), special, strict=False):
        if (found := list(df.columns).count(column)) != 1:
            raise ValueError(
                f"{name}={column!r} names {found} columns of df: expected one of "
                f"{list(df.columns)}."
            )
    if df[task].isna().any():
        row = int(np.argmax(df[task].isna().to_numpy()))
        raise ValueError(
            f"column {task!r} of df holds a missing id in row {row}: expected an id "
            "per row."
        )
    features = df.drop(columns=special)
    for column, dtype in zip(features.columns, features.dtypes, strict=True):
        if not is_numeric_dtype(dtype) or is_complex_dtype(dtype):
            raise TypeError(
                f"column {column!r} of df has dtype {dtype}: expected numbers; encode "
                "or drop it."
            )
    single = features.shape[1] and all(d == np.float32 for d in features.dtypes)
    dtype = np.float32 if single else np.float64
    X = features.to_numpy(dtype=dtype, na_value=np.nan)
    y = None if label is None else _labels(df[label])
    return X, column_names(features), y, df[task]


def _labels(column):
    """Return a column of labels, 0 where one is missing."""
    given = column.notna().to_numpy()
    present = column[given].infer_objects().to_numpy()
    y = np.zeros(len(column), np.int8)
    y[given] = outlier_labels(present, len(present), f"column {column.name!r} of df")
    return y
