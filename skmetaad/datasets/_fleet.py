"""A generated fleet of related tasks."""

import numpy as np

from skmetaad._checks import check_count, check_share
from skmetaad._making import generator
from skmetaad.tasks import Task, TaskCollection


def make_fleet(
    n_tasks=20,
    n_rows=200,
    n_features=8,
    *,
    outlier_fraction=0.1,
    random_state=None,
):
    r"""Generate a fleet of machines: related tasks with labelled outliers.

    The normal rows of task t are :math:`x = s \odot (m_t + A h + \epsilon)`: all
    machines share the scales s of the features and the way A in which the hidden load h
    (a third as many dimensions as features) drives them; each has its own level m_t.
    Outliers are, in turn, rows whose load drives the features in another way
    (dependency), rows with two features off by several noise levels (local), and rows
    shifted as a whole (global).

    Parameters
    ----------
    n_tasks : int, default=20
        Number of tasks.
    n_rows : int, default=200
        Rows per task.
    n_features : int, default=8
        Number of features, at least 2.
    outlier_fraction : float, default=0.1
        Share of outliers per task, in [0, 1), rounded to whole rows; at least one row
        is an inlier.
    random_state : int, RandomState, Generator or None, default=None
        Seed.

    Returns
    -------
    fleet : TaskCollection
        Tasks "machine-0", "machine-1", ..., labelled -1 and +1, rows shuffled.

    Raises
    ------
    ValueError
        When a number is out of range.
    TypeError
        When a count is not an int.

    Examples
    --------
    >>> from skmetaad.datasets import make_fleet
    >>> make_fleet(n_tasks=3, n_rows=50, random_state=0)
    TaskCollection(n_tasks=3, n_rows=150 (50 per task), n_features=8, n_outliers=15)
    """
    for name, value, low in (
        ("n_tasks", n_tasks, 1),
        ("n_rows", n_rows, 1),
        ("n_features", n_features, 2),
    ):
        check_count(name, value, low)
    check_share("outlier_fraction", outlier_fraction)
    rng = generator(random_state)
    n_hidden = max(1, n_features // 3)
    scales = np.exp(rng.normal(size=n_features))
    drive = rng.normal(size=(n_hidden, n_features))
    n_outliers = min(round(outlier_fraction * n_rows), n_rows - 1)
    tasks = []
    for t in range(n_tasks):
        level = 2.0 * rng.normal(size=n_features)
        load = rng.normal(size=(n_rows, n_hidden))
        noise = 0.2 * rng.normal(size=(n_rows, n_features))
        X = load @ drive + noise
        for i in range(n_outliers):
            kind = i % 3
            if kind == 0:
                X[i] = load[i] @ drive[:, _another_order(n_features, rng)] + noise[i]
            elif kind == 1:
                off = rng.choice(n_features, 2, replace=False)
                X[i, off] += rng.choice([-1, 1], 2) * rng.uniform(1.5, 3.0, 2)
            else:
                X[i] += rng.choice([-1, 1], n_features) * rng.uniform(0.5, 1.5)
        y = np.ones(n_rows, np.int8)
        y[:n_outliers] = -1
        order = rng.permutation(n_rows)
        tasks.append(Task(f"machine-{t}", (scales * (level + X))[order], y[order]))
    return TaskCollection(tasks)


def _another_order(n, rng):
    """Return a permutation that moves something, where there is something to move."""
    while True:
        order = rng.permutation(n)
        if n == 1 or (order != np.arange(n)).any():
            return order
