"""Tables made of drawn characters, for the training of UniversalDetector."""

import numpy as np

from skmetaad import Task

# Characters that `choose_negatives.py` and validation use.
N_KEPT_APART = 50
N_OTHERS = 20


def drawings(path):
    """Return pixels in [0, 1], each drawing's character, and characters, shuffled.

    `path` is Omniglot's background part (Lake, Salakhutdinov, Tenenbaum 2015, MIT
    licence): 28 x 28 pixels, 20 drawings of each character.
    """
    with np.load(path, allow_pickle=False) as file:
        X, ids = file["X"] / 255.0, file["class_id"]
    return X, ids, np.random.default_rng(0).permutation(np.unique(ids))


def picture_tables(path, n_tables):
    """Return tables of some characters among others, each a look at their drawings."""
    X, ids, characters = drawings(path)
    characters = characters[N_KEPT_APART:]
    rows = {one: np.flatnonzero(ids == one) for one in characters}
    rng = np.random.default_rng(0)
    tables = []
    for i in range(n_tables):
        n = 1 if rng.random() < 0.6 else int(rng.integers(2, 16))
        chosen = rng.permutation(characters)[: n + N_OTHERS]
        inlier = np.concatenate([rows[one] for one in chosen[:n]])
        outlier = [rng.permutation(rows[one])[:5] for one in chosen[n:]]
        place = np.concatenate([inlier, *outlier])
        y = np.where(np.arange(len(place)) < len(inlier), 1, -1)
        tables.append(Task(f"pictures {i}", look(X[place], rng), y))
    return tables


def look(X, rng):
    """Return averaged pixels, whether there is ink, or what a random network sees."""
    pixels = averaged(X, int(rng.choice([7, 14])))
    kind = rng.choice(["pixels", "ink", "features"], p=[0.5, 0.2, 0.3])
    if kind == "ink":
        return (pixels > 0.3 * pixels.max()).astype(np.float64)
    if kind == "features":
        n = int(np.exp(rng.uniform(np.log(16), np.log(200))))
        made = pixels @ rng.normal(size=(pixels.shape[1], n))
        return np.maximum(made - np.quantile(made, rng.uniform(0, 0.6)), 0.0)
    return pixels


def averaged(X, size):
    """Return size x size means of pixels as columns."""
    side = 28 // size
    return X.reshape(-1, size, side, size, side).mean((2, 4)).reshape(len(X), -1)
