"""Matching network for one class: attention over the support against a null class."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.metric import Metric, by_shots, log_sum, present
from skmetaad.core.nets import Params, directions


@dataclass(frozen=True)
class Matching(Metric):
    """The pure functions of the method; all state is passed in and out."""

    full_context: bool = False

    def init_head(self, generator: torch.Generator) -> Params:
        head = {
            "head.temperature": torch.tensor(10.0).log(),
            "head.null": torch.tensor([5.0, 1.0]),
            "head.constant": 0.5 * torch.tensor(float(self.encoder.width)).log() - 1.0,
        }
        if self.full_context:
            e = self.encoder.width
            for name in ("support", "query"):
                draw = torch.randn(e, e, generator=generator)
                head[f"head.{name}"] = 0.1 * draw / e**0.5
        return head

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        if self.full_context:
            read = self._read(embedded, embedded, present(state))
            embedded = embedded + read @ params["head.support"]
        return {"support": embedded}

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        support = state["support"]
        if self.full_context:
            read = self._read(embedded, support, present(state))
            embedded = embedded + read @ params["head.query"]
        scale = params["head.temperature"].exp()
        constant = params["head.constant"].exp()
        cosine = directions(embedded, constant) @ directions(support, constant).mT
        attention = scale * cosine
        null = by_shots(params["head.null"], state, embedded.shape[1])
        against = torch.logaddexp(null, log_sum(attention, state["outlier"]))
        return log_sum(attention, state["inlier"]) - against

    @staticmethod
    def _read(query: Tensor, support: Tensor, there: Tensor) -> Tensor:
        """Return the mean of the support as attended to by each query row."""
        likeness = query @ support.transpose(1, 2) / query.shape[2] ** 0.5
        likeness = likeness.masked_fill(~there.unsqueeze(1), float("-inf"))
        return likeness.softmax(dim=2) @ support
