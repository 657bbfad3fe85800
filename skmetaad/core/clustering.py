"""Deep clustering: a mixture of Student-t kernels around each task's clusters."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skmetaad.core.kmeans import assigned, k_means
from skmetaad.core.metric import Metric, by_shots, inliers
from skmetaad.core.nets import FAR, Params, init_mlp, mlp, nearest, sq_distances
from skmetaad.core.train import Batch

# Begins the names of what only meta-training needs.
DECODER = "decoder."


@dataclass(frozen=True)
class Clustering(Metric):
    """The pure functions of the method; all state is passed in and out."""

    n_clusters: int = 5
    clustering_weight: float = 0.5
    reconstruction_weight: float = 1.0
    decoder_sizes: tuple[int, ...] = ()

    def init_head(self, generator: torch.Generator) -> Params:
        # Kernels as wide as tasks would join clusters that outliers lie between.
        head = {
            "head.width": torch.tensor(0.1 * self.encoder.width).log(),
            "head.slope": torch.tensor(2.0).log(),
            "head.level": torch.tensor([1.0, 0.0]),
        }
        if not self.reconstruction_weight:
            return head
        return head | init_mlp(self.decoder_sizes, generator, prefix=DECODER, gain=0.1)

    def summarize(self, params: Params, state: Params, embedded: Tensor) -> Params:
        """Return centers (T, k, e) and their shares (T, k), 0 for those without rows.

        Shares are posterior means under a uniform prior, so that clusters of a single
        row, which may be an outlier, count for less than others, but for something.
        """
        weight = state["inlier"].to(embedded.dtype)
        centers = k_means(embedded, weight, self.n_clusters)
        count = assigned(embedded, weight, centers).sum(dim=2)
        share = torch.where(count > 0, count + 1.0, 0.0)
        share = share / share.sum(dim=1, keepdim=True).clamp_min(1.0)
        return {"centers": centers, "share": share, "support": embedded}

    def compare(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        log_kernel = self.log_kernels(params, state, embedded)
        share = state["share"].unsqueeze(1)
        inside = (share.clamp_min(1e-12).log() + log_kernel).logsumexp(dim=2)
        if state["outlier"].any():  # without, a score costs the same at any K
            odd = nearest(sq_distances(embedded, state["support"]), state["outlier"])
            closer = log_kernel_of(params, odd) - log_kernel.amax(dim=2)
            inside = inside - closer.clamp_min(0.0)
        level = by_shots(params["head.level"], state)
        return params["head.slope"].exp() * (level + inside)

    def log_kernels(self, params: Params, state: Params, embedded: Tensor) -> Tensor:
        """Return the logs of the kernels (T, R, k); next to nothing of empty ones."""
        log_kernel = log_kernel_of(params, sq_distances(embedded, state["centers"]))
        return log_kernel.masked_fill(state["share"].unsqueeze(1) == 0, -FAR)

    def loss(self, params: Params, batch: Batch) -> Tensor:
        """Return the separation, and the clustering and reconstruction of inliers."""
        state = self.adapt(params, *batch.given)
        embedded = self.embed(params, state, self.contrasted(batch))
        total = self.separation_of(params, state, embedded, batch.query_y)
        normal = inliers(batch)
        embedded = embedded[:, : normal.shape[1]]  # inliers come first
        if self.clustering_weight:
            log_kernel = self.log_kernels(params, state, embedded)
            total = total + self.clustering_weight * divergence(log_kernel)
        if self.reconstruction_weight:
            n_layers = len(self.decoder_sizes) - 1
            made = mlp(params, embedded, n_layers, prefix=DECODER)
            away = made - self.seen(params, state, normal)
            total = total + self.reconstruction_weight * away.square().mean()
        return total


def log_kernel_of(params: Params, squared: Tensor) -> Tensor:
    """Return the logs of Student-t kernels of one degree of freedom."""
    return -torch.log1p(squared / params["head.width"].exp())


def divergence(log_kernel: Tensor) -> Tensor:
    """Return KL(P || Q) per row, of soft assignments Q and their sharpened target."""
    log_q = log_kernel.log_softmax(dim=2)
    p = sharpened(log_q.detach().exp())
    return (torch.xlogy(p, p) - p * log_q).sum(dim=2).mean()


def sharpened(q: Tensor) -> Tensor:
    """Return DEC's target (T, R, k): squares over clusters' sizes, made to sum to one.

    Large clusters count for less, so that they do not distort the embedding.
    """
    p = q.square() / q.sum(dim=1, keepdim=True).clamp_min(1e-12)
    return p / p.sum(dim=2, keepdim=True).clamp_min(1e-12)
