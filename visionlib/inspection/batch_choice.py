"""`choose_batch`: of unsure pictures those that stand for most of the others, by k-means weighted by the uncertainty.

The most unsure pictures alone are a bad choice: they are alike, and of many copies all are unsure. k-means with a
cluster for each picture to choose spreads the choice over the embedding; the weights draw the centres to where the
network is unsure.

Source: Zhdanov 2019, "Diverse mini-batch Active Learning", arXiv:1901.05954, with the cosine instead of the Euclidean
distance. Other methods were measured, see docs/inspection.md.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, Int64
from torch import Tensor

_LEAST_WEIGHT = 1e-6
"""Of a picture that the network is sure of: k-means needs weights above 0."""


@dataclass(frozen=True)
class Choice:
    """Chosen pictures, the one that stands for most uncertainty first.

    Attributes:
        positions: of the pictures.
        sizes: number of pictures that each stands for, itself among them.
        scores: sum of the uncertainty of these.
    """

    positions: tuple[int, ...]
    sizes: tuple[int, ...]
    scores: tuple[float, ...]


def choose_batch(
    embeddings: Float[Tensor, "n d"],
    uncertainty: Float64[Tensor, "n"],
    count: int,
    *,
    seed: int = 0,
    is_copy: Callable[[int, Sequence[int]], bool] = lambda position, chosen: False,
) -> Choice:
    """Cluster the pictures into `count` groups, and choose of each group the picture nearest to its centre.

    Of equally good pictures the first is chosen. Where a group is empty, or all of it are copies, the most unsure of
    the other pictures complete the choice, and stand for themselves alone.

    Args:
        embeddings: of the pictures; only their directions count, and rows of zeros are all alike.
        uncertainty: of the pictures, at least 0.
        count: pictures to choose; all if there are fewer.
        seed: of the first centres.
        is_copy: whether the picture at a position is a copy of one of those that were chosen, which is not chosen then.
    """
    n = len(uncertainty)
    groups, distances = torch.arange(n), torch.zeros(n, dtype=torch.float64)
    if n > count:
        groups, distances = _cluster(embeddings, uncertainty, count, seed)
    sizes = torch.bincount(groups)
    scores = torch.zeros(len(sizes), dtype=torch.float64).index_add(0, groups, uncertainty)
    chosen: dict[int, tuple[int, float]] = {}
    for group in scores.argsort(descending=True, stable=True).tolist():
        members = (groups == group).nonzero().flatten()
        for position in members[distances[members].argsort(stable=True)].tolist():
            if not is_copy(position, list(chosen)):
                chosen[position] = (int(sizes[group]), float(scores[group]))
                break
    for position in uncertainty.argsort(descending=True, stable=True).tolist():
        if len(chosen) < count and position not in chosen and not is_copy(position, list(chosen)):
            chosen[position] = (1, float(uncertainty[position]))
    order = sorted(chosen, key=lambda position: -chosen[position][1])
    return Choice(
        tuple(order),
        tuple(chosen[position][0] for position in order),
        tuple(chosen[position][1] for position in order),
    )


def _cluster(
    embeddings: Float[Tensor, "n d"], uncertainty: Float64[Tensor, "n"], count: int, seed: int
) -> tuple[Int64[Tensor, "n"], Float64[Tensor, "n"]]:
    """Return the cluster of each picture, and its squared distance from the centre of that."""
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
    clusters = torch.from_numpy(groups).long()
    centres = torch.from_numpy(means.cluster_centers_).double()
    return clusters, (directions - centres[clusters]).square().sum(1)
