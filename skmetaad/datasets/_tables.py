"""Generated tables of many kinds, each one task."""

import numpy as np

from skmetaad._checks import check_count
from skmetaad._task import Task
from skmetaad.tasks import TaskCollection

__all__ = ["make_tables"]


def make_tables(
    n_tasks=10, *, n_rows=(300, 3000), n_features=(3, 60), random_state=None
):
    """Make tables whose columns, dependencies and outliers all differ.

    Each table is a sample of a random structural causal model: nodes are noisy
    functions of earlier nodes, some of them rounded, categorical, heavy-tailed or
    mostly zero. In two tables of three the outliers are the rare values of a node that
    is then removed, as in one-class benchmarks made of classification tables. In the
    others they are departures from the model as ADBench [1]_ names them: local (noise
    added), global (from 1.1 times the range), dependency (columns drawn alone), or
    clustered (moved together).

    Parameters
    ----------
    n_tasks : int, default=10
        Number of tables.
    n_rows : tuple of (int, int), default=(300, 3000)
        Range of the number of rows, drawn log-uniformly. Outliers of some kinds come on
        top. Where outliers are rare values fewer inliers may be left, but at least 40;
        of fewer rows there are only departures.
    n_features : tuple of (int, int), default=(3, 60)
        Range of the number of columns, drawn log-uniformly.
    random_state : int, Generator or None, default=None
        Seed.

    Returns
    -------
    tasks : TaskCollection
        Tables with ids ``table-0``, ``table-1``, ..., of different widths, labelled -1
        and +1.

    Raises
    ------
    ValueError
        When `n_tasks` is less than 1, rows less than 20, or columns less than 2.
    TypeError
        When a number is not an int, or a range no pair of them.

    References
    ----------
    .. [1] Han et al. (2022). ADBench: Anomaly Detection Benchmark. NeurIPS.
       :arxiv:`2206.09426`

    Examples
    --------
    >>> from skmetaad.datasets import make_tables
    >>> tables = make_tables(3, random_state=0)
    >>> tables.ids
    ('table-0', 'table-1', 'table-2')
    """
    check_count("n_tasks", n_tasks)
    _check_limits("n_rows", n_rows, 20)
    _check_limits("n_features", n_features, 2)
    rng = np.random.default_rng(random_state)
    made = []
    for i in range(n_tasks):
        X = None
        while X is None:
            n, d = _between(rng, n_rows), _between(rng, n_features)
            X, y = (_rare_class if rng.random() < 0.67 else _departure)(rng, n, d)
        made.append(Task(f"table-{i}", X, y))
    return TaskCollection(made)


def _check_limits(name, limits, least):
    expected = f"{name}={limits!r}: expected (low, high), ints of at least {least}."
    if not isinstance(limits, tuple | list) or len(limits) != 2:
        raise TypeError(expected)
    for limit in limits:
        check_count(name, limit, least)
    if limits[0] > limits[1]:
        raise ValueError(expected)


def _between(rng, limits):
    low, high = np.log(limits)
    return int(np.exp(rng.uniform(low, high)).round())


def _nodes(rng, n, n_nodes):
    """Sample a structural causal model (n, n_nodes), every node of unit spread."""
    roots = int(rng.integers(1, max(2, n_nodes // 2 + 1)))
    noise = np.exp(rng.uniform(np.log(0.01), np.log(1.0)))
    clusters = rng.integers(2, 9) if rng.random() < 0.5 else 0
    part = rng.integers(clusters, size=n) if clusters else None
    nodes = np.empty((n, n_nodes))
    for j in range(n_nodes):
        if j < roots:
            value = _root(rng, n)
            if clusters:
                value = value * rng.uniform(0.1, 0.7) + rng.normal(size=clusters)[part]
        else:
            parents = rng.choice(j, min(j, int(rng.integers(1, 5))), replace=False)
            value = _function(rng, nodes[:, parents])
            value = value / (value.std() + 1e-9) + noise * _root(rng, n)
        nodes[:, j] = (value - value.mean()) / (value.std() + 1e-9)
    return nodes


def _root(rng, n):
    kind = rng.integers(5)
    if kind == 0:
        return rng.uniform(-1.7, 1.7, n)
    if kind == 1:
        return rng.standard_t(3, n)
    if kind == 2:
        return rng.exponential(size=n)
    return rng.normal(size=n)


def _function(rng, X):
    """Return a random function (n,) of the columns of X."""
    kind = rng.integers(6)
    weights = rng.normal(size=X.shape[1])
    line = X @ weights
    if kind == 0:
        return line
    if kind == 1:
        width = 8
        hidden = np.tanh(
            X @ rng.normal(size=(X.shape[1], width)) * 1.5 + rng.normal(size=width)
        )
        return hidden @ rng.normal(size=width)
    if kind == 2:
        return np.sin(line * rng.uniform(0.5, 3))
    if kind == 3:
        value = np.zeros(len(X))
        for _ in range(int(rng.integers(2, 7))):
            j = rng.integers(X.shape[1])
            value += rng.normal() * (X[:, j] > rng.normal())
        return value
    if kind == 4:
        return np.prod(X[:, :2], axis=1) + 0.3 * line
    return np.abs(line) ** rng.uniform(0.5, 2)


def _columns(rng, nodes):
    """Turn nodes into columns as tables have them."""
    X = nodes.copy()
    discrete = rng.beta(0.7, 1.0)
    for j in range(X.shape[1]):
        value = X[:, j]
        if rng.random() < discrete:
            n_levels = int(np.exp(rng.uniform(np.log(2), np.log(30))))
            cuts = np.sort(rng.normal(size=n_levels - 1))
            code = np.searchsorted(cuts, value)
            if rng.random() < 0.5:
                code = rng.permutation(n_levels)[code]
            value = code.astype(float)
        else:
            kind = rng.integers(6)
            if kind == 0:
                value = np.exp(value * rng.uniform(0.5, 2))
            elif kind == 1:
                value = np.round(value * np.exp(rng.uniform(0, 4)))
            elif kind == 2:
                value = np.where(value > rng.normal(), value, 0.0)
            elif kind == 3:
                value = np.sign(value) * np.abs(value) ** rng.uniform(0.5, 3)
        X[:, j] = value * np.exp(rng.normal()) + rng.normal()
    return X


def _rare_class(rng, n, d):
    """Return a table whose outliers are rare values of a removed node."""
    share = rng.uniform(0.02, 0.3)
    total = 2 * n
    nodes = _nodes(rng, total, d + int(rng.integers(1, 6)))
    target = int(rng.integers(nodes.shape[1]))
    value = nodes[:, target] + rng.choice([0.0, 0.2]) * rng.normal(size=total)
    if rng.random() < 0.5:
        near = rng.choice(nodes.shape[1], min(4, nodes.shape[1]), replace=False)
        centres = rng.normal(size=(int(rng.integers(2, 9)), len(near)))
        away = ((nodes[:, near][:, None] - centres) ** 2).sum(-1)
        classes = away.argmin(1)
    else:
        n_classes = int(rng.integers(2, 9))
        cuts = np.quantile(value, np.sort(rng.random(n_classes - 1)))
        classes = np.searchsorted(cuts, value)
    counts = np.bincount(classes)
    order = np.argsort(counts)
    order = order[counts[order] >= 10]
    if len(order) < 2:
        return None, None
    rare = order[: int(rng.integers(1, len(order)))]
    if rng.random() < 0.5:
        common = order[len(order) - 1 :]
        rare = rare[rare != common[0]]
    else:
        common = order[~np.isin(order, rare)]
    inlier = np.flatnonzero(np.isin(classes, common))
    outlier = np.flatnonzero(np.isin(classes, rare))
    keep = rng.permutation(np.delete(np.arange(nodes.shape[1]), target))[:d]
    X = _columns(rng, nodes[:, np.sort(keep)])
    inlier = inlier[:n]
    outlier = rng.permutation(outlier)[: max(10, int(share * len(inlier)))]
    if len(inlier) < 40 or len(outlier) < 5:
        return None, None
    rows = np.r_[inlier, outlier]
    return X[rows], np.r_[np.ones(len(inlier)), -np.ones(len(outlier))].astype(np.int8)


def _departure(rng, n, d):
    """Return a table whose outliers depart from the model of its inliers."""
    n_out = max(10, int(rng.uniform(0.02, 0.2) * n))
    nodes = _nodes(rng, n + n_out, d)
    out = slice(n, None)
    kind = rng.choice(["local", "global", "dependency", "cluster"])
    some = rng.random(d) < rng.choice([0.2, 0.5, 1.0])
    some[rng.integers(d)] = True
    if kind == "local":
        added = rng.normal(size=(n_out, d)) * rng.uniform(0.5, 3)
        nodes[out] += np.where(some, added, 0.0)
    elif kind == "global":
        low, high = nodes[:n].min(0), nodes[:n].max(0)
        drawn = rng.uniform(1.1 * low, 1.1 * high, (n_out, d))
        nodes[out] = np.where(some, drawn, nodes[out])
    elif kind == "dependency":
        drawn = rng.permuted(nodes[:n], axis=0)[rng.integers(n, size=n_out)]
        nodes[out] = np.where(some, drawn, nodes[out])
    else:
        shift = rng.normal(size=d) * rng.uniform(0.5, 3)
        nodes[out] = nodes[out] * rng.uniform(0.3, 1.0) + np.where(some, shift, 0.0)
    X = _columns(rng, nodes)
    return X, np.r_[np.ones(n), -np.ones(n_out)].astype(np.int8)
