"""Rank correlation of maps, which does not depend on their scale."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float32
from scipy.stats import rankdata
from torch import Tensor


def correlate_ranks(a: Float32[Tensor, "n ah aw"], b: Float32[Tensor, "n bh bw"]) -> Float32[Tensor, "n"]:
    """Return Spearman's correlation of each pair of maps; NaN where one of them is constant.

    Along each side, the finer maps are averaged to the resolution of the coarser ones.
    """
    size = (min(a.shape[1], b.shape[1]), min(a.shape[2], b.shape[2]))
    first, second = (_rank_cells(F.adaptive_avg_pool2d(maps[:, None], size).flatten(1)) for maps in (a, b))
    products = (first * second).sum(1)
    norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    values = np.divide(products, norms, out=np.full(len(products), np.nan), where=norms > 0)
    return torch.from_numpy(values).float()


def _rank_cells(values: Float32[Tensor, "n p"]) -> np.ndarray:
    """Rank the cells of each map, centred at 0."""
    if not values.numel():
        return np.zeros(tuple(values.shape))
    ranks: np.ndarray = rankdata(values.double().numpy(), axis=1)
    return np.asarray(ranks - ranks.mean(1, keepdims=True))
