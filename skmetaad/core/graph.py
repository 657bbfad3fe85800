"""Graph network: messages among the support rows, and from them to one query row."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.metric import Metric, present
from skmetaad.core.nets import Params, init_mlp, mlp


@dataclass(frozen=True)
class Graph(Metric):
    """The pure functions of the method; all state is passed in and out.

    The edges are directed: query rows get messages from support rows and send none. So
    support nodes are updated once per task, and no query row sees another one.
    """

    message_sizes: tuple[int, ...] = (16, 16)
    edge_size: int = 16

    def _widths(self) -> list[int]:
        widths = [self.encoder.width + 2]  # label: inlier, outlier; a query has none
        for size in self.message_sizes:
            widths.append(widths[-1] + size)
        return widths

    def init_head(self, generator: torch.Generator) -> Params:
        head = {}
        for i, (width, size) in enumerate(
            zip(self._widths()[:-1], self.message_sizes, strict=True)
        ):
            edge = (width, self.edge_size, 1)
            head |= init_mlp(edge, generator, prefix=f"head.edge{i}.")
            head |= init_mlp((3 * width, size), generator, prefix=f"head.node{i}.")
        return head | init_mlp((self._widths()[-1], 1), generator, prefix="head.out.")

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        label = torch.stack([state["inlier"], state["outlier"]], dim=2)
        nodes = torch.cat([embedded, label.to(embedded.dtype)], dim=2)
        found = {"nodes0": nodes}
        there = present(state)
        for i in range(len(self.message_sizes) - 1):
            nodes = self._updated(params, i, nodes, nodes, there)
            found[f"nodes{i + 1}"] = nodes
        return found

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        there = present(state)
        query = torch.cat([embedded, embedded.new_zeros(*embedded.shape[:2], 2)], dim=2)
        for i in range(len(self.message_sizes)):
            query = self._updated(params, i, query, state[f"nodes{i}"], there)
        return mlp(params, query, 1, prefix="head.out.").squeeze(2)

    def _updated(
        self, params: Params, i: int, nodes: Tensor, support: Tensor, there: Tensor
    ) -> Tensor:
        """Append to nodes (T, R, w) the messages they get from support (T, K, w)."""
        difference = (nodes.unsqueeze(2) - support.unsqueeze(1)).abs()
        flat = difference.flatten(1, 2)
        edge = mlp(params, flat, 2, prefix=f"head.edge{i}.")
        edge = edge.reshape(difference.shape[:3])
        edge = edge.masked_fill(~there.unsqueeze(1), float("-inf")).softmax(dim=2)
        got = edge @ support
        both = torch.cat([nodes, got, (nodes - got).abs()], dim=2)
        message = torch.relu(mlp(params, both, 1, prefix=f"head.node{i}."))
        return torch.cat([nodes, message], dim=2)
