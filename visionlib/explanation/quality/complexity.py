"""Complexity of maps: how few cells hold the evidence."""

import torch
from jaxtyping import Float32
from torch import Tensor


def measure_gini(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Return the Gini index of each map's evidence: its sparseness.

    It is 0 if all cells are equal, and 1 - 1 / d if one of d cells holds all evidence. Negative values count by their
    magnitude.

    Returns:
        NaN for a map without evidence.
    Source: Chalasani et al. 2020, arXiv:1810.06583, section 3.1.
    """
    values = maps.flatten(1).double().abs().sort(dim=1).values
    cells = values.shape[1]
    ranks = torch.arange(1, cells + 1, dtype=torch.float64, device=maps.device)
    fractions = values / values.sum(1, keepdim=True)
    return (1 - 2 * (fractions * (cells - ranks + 0.5) / cells).sum(1)).float()


def measure_entropy(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n"]:
    """Return the entropy of each map's evidence as a distribution over its cells: its complexity, in nats.

    It is 0 if one cell holds all evidence, and log d if all d cells are equal. Negative values count by their
    magnitude.

    Returns:
        NaN for a map without evidence.
    Source: Bhatt et al. 2020, arXiv:2005.00631, definition 3.
    """
    values = maps.flatten(1).double().abs()
    fractions = values / values.sum(1, keepdim=True)
    entropies: Tensor = torch.special.entr(fractions).sum(1)
    return entropies.float()
