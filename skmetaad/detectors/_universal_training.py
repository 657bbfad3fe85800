"""Meta-training of the network behind `UniversalDetector`, and its weights' file."""

from pathlib import Path

import numpy as np
import torch
from sklearn.utils import check_random_state

from skmetaad.core import ranking, scorer, universal
from skmetaad.core.state import to_tensor
from skmetaad.tasks import as_collection
from skmetaad.thresholds import fleet_offsets, own_quantile

# Shares of rows for which thresholds are kept with the weights.
LEVELS = np.array([0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5])
PRIOR = ("level", "center", "slope", "spread")
# Numbers of support rows that they are kept for.
SHOTS = (1, 2, 5, 10, 20, 50)
# Rows that thresholds are tried on.
N_FRESH = 64


def meta_train(tasks, random_state, *, n_iter, n_draws, n_members):
    """Return new weights, trained on tables."""
    tables = _tables(tasks)
    seed = check_random_state(random_state).randint(2**31 - 1)
    rng = np.random.default_rng(seed)
    seen = ranking.observed_draws(tables, n_draws, rng)
    members = [
        ranking.train(seen, seed=int(rng.integers(2**31)), n_iter=n_iter)
        for _ in range(n_members)
    ]
    weights = {
        name: np.stack([member[name].cpu().numpy() for member in members])
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


@torch.no_grad()
def _prior(tables, members, rng):
    """Return how thresholds follow from a support's own scores, by shots and share."""
    found = np.zeros((len(PRIOR), len(SHOTS), len(LEVELS)))
    inliers = [inlier for inlier, _ in tables]
    large = [rows for rows in inliers if len(rows) >= SHOTS[-1] + N_FRESH]
    for i, n_support in enumerate(SHOTS):
        used = large or [rows for rows in inliers if len(rows) >= 2 * n_support]
        if not used:  # as for the next smaller number
            found[:, i] = found[:, i - 1]
            continue
        n_rows = min(n_support + N_FRESH, *map(len, used))
        own, fresh = [], []
        for rows in used[:200]:
            rows = rng.permutation(rows)[:n_rows]
            state, seen = universal.adapt(
                to_tensor(rows[None, :n_support]),
                torch.ones(1, n_support, dtype=torch.bool),
                torch.zeros(1, n_support, dtype=torch.bool),
            )
            query = universal.inputs(
                to_tensor(rows[None, n_support:]), universal.awake(state)
            )
            for part, to in ((seen, own), (query, fresh)):
                scores = [scorer.anomaly(_double(m), part)[0] for m in members]
                to.append(-torch.stack(scores).mean(0).cpu().numpy())
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
    fleet = {"shots": np.array(SHOTS, np.float64), "contamination": contamination}
    for name in PRIOR:
        table = np.asarray(weights["prior." + name], np.float64)
        fleet[name] = np.array([np.interp(contamination, LEVELS, row) for row in table])
    return fleet


def expected():
    """Return the shapes of the arrays that weights hold, the members' axis left out."""
    return {
        name: tuple(value.shape)
        for name, value in scorer.init(torch.Generator()).items()
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
