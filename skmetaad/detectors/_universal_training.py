"""Meta-training of the network behind `UniversalDetector`, and its weights' file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.utils import check_random_state

from skmetaad.core import ranking, universal
from skmetaad.core.state import to_tensor
from skmetaad.tasks import as_collection
from skmetaad.thresholds import SHOTS, fleet_offsets, own_quantile

# Columns and rows of a draw, at most.
N_COLUMNS, N_ROWS, N_QUERY = 40, 2000, 100
# Shares of rows for which thresholds are kept with the weights.
LEVELS = np.array([0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
PRIOR = ("level", "center", "slope", "spread")


@dataclass(frozen=True)
class Draw:
    """A support, its labels, and query rows with 1 for outliers."""

    support: np.ndarray
    support_y: np.ndarray
    query: np.ndarray
    outlier: np.ndarray


def meta_train(tasks, random_state, *, n_iter, n_draws, n_members):
    """Return new weights, trained on tables."""
    tables = _tables(tasks)
    seed = check_random_state(random_state).randint(2**31 - 1)
    rng = np.random.default_rng(seed)
    seen = [
        ranking.observed(*_tensors(draw))
        for table in tables
        for draw in _draws(table, n_draws, rng)
    ]
    members = [
        ranking.train(seen, seed=int(rng.integers(2**31)), n_iter=n_iter)
        for _ in range(n_members)
    ]
    weights = {
        name: np.stack([member[name].numpy() for member in members])
        for name in members[0]
    }
    return {**weights, **_prior(tables, members, rng)}


def _tables(tasks):
    collection = as_collection(tasks)
    if collection is None:
        raise TypeError(
            f"tasks is a {type(tasks).__name__}: expected a TaskCollection or a list "
            "of Task."
        )
    tables = []
    for task in collection:
        if task.y is not None and (task.y == -1).sum() > 1 and (task.y != -1).sum() > 9:
            X = np.asarray(task.X, np.float64).reshape(len(task), -1)
            tables.append((X[task.y != -1], X[task.y == -1]))
    if len(tables) < 2:
        raise ValueError(
            f"tasks holds {len(tables)} tasks with at least 10 inliers and 2 outliers: "
            "expected at least 2."
        )
    return tables


def _tensors(draw):
    support = to_tensor(draw.support)[None]
    outlier = torch.from_numpy(draw.support_y == -1)[None]
    return support, outlier, to_tensor(draw.query)[None], torch.from_numpy(draw.outlier)


def _draws(table, n_draws, rng):
    for i in range(n_draws):
        made = rare_values(table[0], rng) if i % 2 else None
        yield draw_episode(*(made or table), rng)


def rare_values(X, rng):
    """Make a task of inliers: rows with rare values of a column, which is removed.

    Returns None where no column has such values.
    """
    if X.shape[1] < 4:
        return None
    for j in rng.permutation(X.shape[1]):
        inlier, outlier = _split(X[:, j], rng)
        if inlier.sum() >= 60 and 15 <= outlier.sum() <= 0.4 * len(X):
            rest = np.delete(X, j, axis=1)
            return rest[inlier], rest[outlier]
    return None


def _split(value, rng):
    """Return masks of inliers and outliers by the values of one column."""
    levels, code, counts = np.unique(value, return_inverse=True, return_counts=True)
    if len(levels) > 20:
        q = rng.uniform(0.03, 0.25)
        high = rng.random() < 0.5
        cut = np.nanquantile(value, 1 - q if high else q)
        outlier = value > cut if high else value < cut
        return ~outlier, outlier
    order = np.argsort(counts)
    order = order[counts[order] >= 15]
    none = np.zeros(len(value), bool)
    if len(order) < 2:
        return none, none
    rare = order[: rng.integers(1, len(order))]
    if counts[rare].sum() > 0.4 * len(value):
        rare = order[:1]
    outlier = np.isin(code, rare)
    return (~outlier if rng.random() < 0.5 else code == order[-1]), outlier


def draw_episode(inliers, outliers, rng):
    """Draw a support and a query: clean, contaminated, or with labelled outliers."""
    d = inliers.shape[1]
    if d > N_COLUMNS or (d >= 6 and rng.random() < 0.4):
        n = min(N_COLUMNS, int(rng.integers(max(3, d // 3), d + 1)))
        kept = rng.permutation(d)[:n]
        inliers, outliers = inliers[:, kept], outliers[:, kept]
    most = max(1, min(N_ROWS, int(len(inliers) * 0.6)))
    kind = rng.choice(["clean", "unlabelled", "labelled"], p=[0.5, 0.3, 0.2])
    least = min(most, 50 if kind == "unlabelled" else 5)
    K = int(np.exp(rng.uniform(np.log(least), np.log(most))))
    if kind != "unlabelled" and rng.random() < 0.4:
        K = most
    inliers, outliers = rng.permutation(inliers), rng.permutation(outliers)
    support, query = inliers[:K], inliers[K : K + N_QUERY]
    y = np.ones(K, np.int8)
    n = 0
    if kind == "labelled":
        n = int(min(rng.integers(1, 11), len(outliers) // 2))
        y = np.r_[y, -np.ones(n, np.int8)]
        against = outliers[n : n + N_QUERY]
    elif kind == "unlabelled":
        n = int(np.clip(rng.uniform(0.01, 0.25) * K, 1, len(outliers)))
        y = np.r_[y, np.ones(n, np.int8)]
        query, against = rng.permutation(support)[:N_QUERY], outliers[:n][:N_QUERY]
    else:
        against = outliers[:N_QUERY]
    support = np.concatenate([support, outliers[:n]])
    outlier = np.r_[np.zeros(len(query), bool), np.ones(len(against), bool)]
    return Draw(support, y, np.concatenate([query, against]), outlier)


@torch.no_grad()
def _prior(tables, members, rng):
    """Return how thresholds follow from a support's own scores, by shots and share."""
    found = np.zeros((len(PRIOR), len(SHOTS), len(LEVELS)))
    tables = [table for table in tables if len(table[0]) > 2 * SHOTS[-1]][:200]
    for i, n_support in enumerate(SHOTS):
        own, fresh = [], []
        for inliers, _ in tables:
            rows = rng.permutation(inliers)[: n_support + 64]
            state, seen = universal.adapt(
                to_tensor(rows[None, :n_support]),
                torch.ones(1, n_support, dtype=torch.bool),
                torch.zeros(1, n_support, dtype=torch.bool),
            )
            query = universal.inputs(to_tensor(rows[None, n_support:]), state)
            for part, to in ((seen, own), (query, fresh)):
                scores = [universal.anomaly(_double(m), part)[0] for m in members]
                to.append(-torch.stack(scores).mean(0).numpy())
        if n_support == 1:
            own = np.full((len(own), 1), np.nan)
        for j, share in enumerate(LEVELS):
            each = own_quantile(np.stack(own), share)
            found[:, i, j] = fleet_offsets(each, np.stack(fresh), share)
    return {f"prior.{name}": part for name, part in zip(PRIOR, found, strict=True)}


def _double(weights):
    return {name: value.double() for name, value in weights.items()}


def offsets_at(weights, contamination):
    """Return the fleet of `thresholds.task_offsets` for one share of rows."""
    fleet = {"shots": np.array(SHOTS, np.float64)}
    for name in PRIOR:
        table = np.asarray(weights["prior." + name], np.float64)
        fleet[name] = np.array([np.interp(contamination, LEVELS, row) for row in table])
    return fleet


def expected():
    """Return the shapes of the arrays that weights hold, the members' axis left out."""
    return {
        name: tuple(value.shape)
        for name, value in universal.init(torch.Generator()).items()
    }


def checked(weights):
    """Return weights whose names and shapes are those of the network."""
    shapes = expected()
    wanted = {*shapes, *(f"prior.{name}" for name in PRIOR)}
    if set(weights) != wanted:
        odd = sorted(wanted.symmetric_difference(weights))
        raise ValueError(
            f"weights lack or add {odd}: expected the arrays that meta_fit returns."
        )
    for name, shape in shapes.items():
        if weights[name].shape[1:] != shape:
            raise ValueError(
                f"weights[{name!r}] has shape {weights[name].shape}: expected "
                f"(n_members, {', '.join(map(str, shape))})."
            )
    return dict(weights)


def load(path):
    """Read weights from a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            weights = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise ValueError(
            f"weights={str(path)!r} cannot be read ({error}): expected 'default' or an "
            ".npz file written by save_weights."
        ) from error
    return checked(weights)


def save(path, weights):
    """Write weights to a file, which is replaced only by a whole one."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **checked(weights))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
