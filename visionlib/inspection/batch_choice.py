"""`choose_batch`: of unsure pictures those that stand for most of the others, by k-means weighted by the uncertainty.

The most unsure pictures alone are a bad choice: they are alike, and of many copies all are unsure. k-means with a
cluster for each picture to choose spreads the choice over the embedding; the weights draw the centres to where the
network is unsure.

Source: Zhdanov 2019, "Diverse mini-batch Active Learning", arXiv:1901.05954, with the cosine instead of the Euclidean
distance. Other methods were measured, see docs/inspection.md.
"""

import warnings
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

_LEAST_WEIGHT = 1e-6
"""Of a picture that the network is sure of: k-means needs weights above 0."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Chosen pictures, the one that stands for most uncertainty first.

    Attributes:
        positions: of the pictures.
        sizes: number of pictures that each stands for, itself among them.
        scores: sum of the uncertainty of these.
    """

    positions: Int64[Tensor, "m"]
    sizes: Int64[Tensor, "m"]
    scores: Float64[Tensor, "m"]


def choose_batch(
    embeddings: Float[Tensor, "n d"], uncertainty: Float64[Tensor, "n"], count: int, *, seed: int = 0
) -> Choice:
    """Cluster the pictures into `count` groups, and choose of each group the picture nearest to its centre.

    Of equally good pictures the first is chosen. Where there are fewer different embeddings than groups, the most
    unsure of the other pictures complete the choice, and stand for themselves alone.

    Args:
        embeddings: of the pictures; only their directions count, and rows of zeros are all alike.
        uncertainty: of the pictures, at least 0.
        count: pictures to choose; all if there are fewer.
        seed: of the first centres.
    """
    n = len(uncertainty)
    groups = torch.arange(n)
    positions = groups
    if n > count:
        groups, centres, directions = _cluster(embeddings, uncertainty, count, seed)
        distances = (directions - centres[groups]).square().sum(1)
        nearest = [
            int(torch.where(groups == group, distances, torch.inf).argmin()) for group in sorted(set(groups.tolist()))
        ]
        positions = torch.tensor(nearest, dtype=torch.int64)
    sizes = torch.bincount(groups, minlength=count)[groups[positions]]
    scores = torch.zeros(max(n, count), dtype=torch.float64).index_add(0, groups, uncertainty)[groups[positions]]
    others = torch.ones(n, dtype=torch.bool).index_fill(0, positions, False).nonzero().flatten()
    further = others[uncertainty[others].argsort(descending=True, stable=True)][: count - len(positions)]
    positions = torch.cat([positions, further])
    sizes = torch.cat([sizes, torch.ones_like(further)])
    scores = torch.cat([scores, uncertainty[further]])
    order = scores.argsort(descending=True, stable=True)
    return Choice(positions[order], sizes[order], scores[order])


def _cluster(
    embeddings: Float[Tensor, "n d"], uncertainty: Float64[Tensor, "n"], count: int, seed: int
) -> tuple[Int64[Tensor, "n"], Float64[Tensor, "{count} d"], Float64[Tensor, "n d"]]:
    """Return the cluster of each picture, the centres, and the directions of the embeddings."""
    # scikit-learn takes a second to import.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    directions = F.normalize(embeddings.double())
    weights = uncertainty.clamp(min=_LEAST_WEIGHT).numpy()
    # Rounding of matrix products depends on the number of threads, so they get one.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different embeddings than clusters
        means = KMeans(count, n_init=1, max_iter=20, random_state=seed % 2**32)
        groups = means.fit_predict(directions.numpy(), sample_weight=weights)
    return torch.from_numpy(groups).long(), torch.from_numpy(means.cluster_centers_).double(), directions
