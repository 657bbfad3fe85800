"""Isolation trees of many tables at once."""

import torch
from torch import Tensor

from skmetaad.core.evidence import State, compact, first_ones, sampled, scramble

N_TREES, TREE_ROWS, DEPTH = 64, 128, 7


def forest_state(X: Tensor, n: Tensor, alive: Tensor) -> State:
    """Grow isolation trees on half of each support, at most `TREE_ROWS` rows."""
    T, K, _ = X.shape
    size = ((n + 1) // 2).clamp_max(TREE_ROWS)
    width = int(size.max())
    chosen = sampled(n, K, N_TREES, width, 2)
    counts = (torch.arange(width) < size[:, None])[:, None]
    column = pick_columns(scramble(N_TREES, 2**DEPTH, 3), alive)
    place = scramble(N_TREES, 2**DEPTH, 4)
    threshold = torch.zeros_like(column, dtype=X.dtype)
    node = torch.ones_like(chosen)
    each = torch.arange(T)[:, None, None]
    for level in range(DEPTH):
        value = X[each, chosen, column.gather(2, node)]
        n_nodes = 2 ** (level + 1)
        low = torch.full((T, N_TREES, n_nodes), torch.inf, dtype=X.dtype)
        high = -low
        low = low.scatter_reduce(2, node, torch.where(counts, value, torch.inf), "amin")
        high = high.scatter_reduce(
            2, node, torch.where(counts, value, -torch.inf), "amax"
        )
        part = slice(n_nodes // 2, n_nodes)
        cut = low + (high - low) * place[:, :n_nodes]
        threshold[..., part] = torch.where(cut.isfinite(), cut, 0.0)[..., part]
        node = 2 * node + (value > threshold.gather(2, node)).long()
    leaf = torch.zeros(T, N_TREES, 2 ** (DEPTH + 1), dtype=X.dtype)
    leaf = leaf.scatter_add(2, node, counts.to(X.dtype).expand_as(node).contiguous())
    member = torch.zeros(T, N_TREES, K, dtype=torch.int8)
    member = member.scatter_reduce(
        2, chosen, counts.to(torch.int8).expand_as(chosen).contiguous(), "amax"
    )
    return {
        "tree.column": compact(column, X.shape[2]),
        "tree.threshold": threshold,
        "tree.leaf": compact(leaf[..., 2**DEPTH :], TREE_ROWS),
        "tree.size": size,
        "tree.member": member.bool().mT,
    }


def pick_columns(chance: Tensor, alive: Tensor) -> Tensor:
    """Turn numbers in [0, 1) into columns (T, ...) that have any spread."""
    T = len(alive)
    count = alive.sum(1).clamp_min(1).view(T, *[1] * chance.ndim)
    place = (chance * count).long().flatten(1)
    return first_ones(alive).gather(1, place).view(T, *chance.shape)


def forest_score(X: Tensor, own: Tensor, state: State) -> Tensor:
    """Return minus the mean log mass of the leaves that rows (T, R, d) fall into."""
    T, R, _ = X.shape
    node = torch.ones(T, N_TREES, R, dtype=torch.long)
    rows = X[:, None].expand(-1, N_TREES, -1, -1)
    for _ in range(DEPTH):
        column = state["tree.column"].gather(2, node).long()
        value = rows.gather(3, column[..., None])[..., 0]
        node = 2 * node + (value > state["tree.threshold"].gather(2, node)).long()
    mass = state["tree.leaf"].gather(2, node - 2**DEPTH).to(X.dtype)
    mass = mass / state["tree.size"][:, None, None]
    score = -(mass + 1 / (4 * TREE_ROWS)).log()
    place = own.clamp_min(0)[..., None].expand(-1, -1, N_TREES)
    inside = state["tree.member"].gather(1, place) & (own >= 0)[..., None]
    valid = ~inside.mT
    return (score * valid).sum(1) / valid.sum(1).clamp_min(1)
