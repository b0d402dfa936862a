"""Exact nearest-neighbour search by cosine distance, block by block, within a fixed memory."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

_BLOCK_BYTES = 128 * 2**20
"""Memory of the similarities of one block."""
_MAX_ROWS = 1024
_SPARE = 8
"""Extra candidates for the ranking in float64: float32 cannot rank almost equal distances."""


def find_nearest(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], k: int
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Find the k nearest references of every query by cosine distance, 1 minus the cosine.

    The search runs in float32, the ranking in float64; ties go to the first reference. A row of zeros is at distance 1
    from every other row.

    Returns:
        Positions in `references`, nearest first, and their distances, 0 to 2.
    Raises:
        ValueError: if k is not from 1 to m.
    """
    m = len(references)
    if not 1 <= k <= m:
        raise ValueError(f"k must be from 1 to {m}, and it is {k}")
    directions = F.normalize(references.float())
    rows = min(max(1, _BLOCK_BYTES // (4 * m)), _MAX_ROWS)
    positions, distances = [], []
    for block in torch.split(queries, rows):
        candidates = (F.normalize(block.float()) @ directions.T).topk(min(k + _SPARE, m)).indices.sort(1).values
        exact = F.normalize(block.double())[:, None]
        exact_distances = 1 - (F.normalize(references[candidates].double(), dim=2) * exact).sum(2)
        order = exact_distances.argsort(dim=1, stable=True)[:, :k]
        positions.append(candidates.gather(1, order))
        distances.append(exact_distances.gather(1, order).clamp(0, 2).float())
    return torch.cat(positions), torch.cat(distances)
