"""`find_clusters`: images that are alike to the network in what its prediction does not already tell."""

import torch
from jaxtyping import Bool, Float16, Float32, Int64
from torch import Tensor

_IMAGES_PER_CLUSTER, _MOST_CLUSTERS = 50, 20
_COMPONENTS = 16
_LEAST_REST = 0.01
"""Fraction of the embedding's variance below which the logits tell all of it."""
_IMAGES_PER_LOGIT = 4


def find_clusters(
    embeddings: Float16[Tensor, "n d"],
    logits: Float32[Tensor, "n k"],
    is_proposing: Bool[Tensor, "n"],
    *,
    seed: int,
) -> Int64[Tensor, "n"] | None:
    """Cluster embeddings without the part that the logits tell; everything is fitted on the proposing half.

    The last layer reads the embedding along as many directions as there are classes. Clusters along these are the
    predictions: images labelled cat in the cluster of the dogs are wrong by definition, in every network. So the
    embedding is first regressed on the logits, and the residuals are clustered: k-means of their first 16 principal
    components.

    Args:
        embeddings: inputs of the last linear layer.
        logits: of the same images.
        is_proposing: which images the regression and the centres come from.
        seed: of the centres.
    Returns:
        The cluster of each image. None if there is nothing to cluster: too few images; embeddings that are not finite;
        or less than 1 % of the variance left by the regression, as with more classes than embedding dimensions.
    """
    n, count = int(is_proposing.sum()), logits.shape[1] + 1
    if n < max(2 * _IMAGES_PER_CLUSTER, _IMAGES_PER_LOGIT * count) or not bool(embeddings.isfinite().all()):
        return None
    # scikit-learn takes a second to import.
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    known = torch.cat([torch.ones(len(logits), 1), logits], 1).double()
    values = embeddings.double()
    # Rounding of matrix products depends on the number of threads, so they get one.
    with threadpool_limits(1):
        # The logits may be dependent of each other: of two classes one tells the other.
        coefficients = torch.linalg.pinv(known[is_proposing]) @ values[is_proposing]
        rest = values - known @ coefficients
        total = float(values[is_proposing].var(0, correction=0).sum())
        if float(rest[is_proposing].var(0, correction=0).sum()) <= _LEAST_REST * total:
            return None
        pca = PCA(min(_COMPONENTS, rest.shape[1]), svd_solver="full").fit(rest[is_proposing].numpy())
        reduced = pca.transform(rest.numpy())
        clusters = min(_MOST_CLUSTERS, n // _IMAGES_PER_CLUSTER)
        means = KMeans(clusters, n_init=4, random_state=seed % 2**32).fit(reduced[is_proposing.numpy()])
        return torch.from_numpy(means.predict(reduced)).long()
