"""Exact search for the nearest rows, block by block, so that any number of them fits in memory."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

_BLOCK_BYTES = 128 * 2**20
"""Similarities that are held at a time."""
_MOST_ROWS = 1024
_SPARE = 8
"""Rows found beyond those asked for: float32 cannot tell which of two almost equally near ones is nearer."""


def find_nearest(
    queries: Float[Tensor, "n d"], references: Float[Tensor, "m d"], k: int
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Find the k references nearest to every query by cosine distance, which is 1 less the cosine of the angle.

    They are looked for in float32 and put in order in float64; of equally near ones the first comes first. A row of
    zeros is at distance 1 from everything.

    Args:
        queries: a row per query.
        references: what is looked through.
        k: how many to find.
    Returns:
        Positions in `references`, nearest first, and their distances, 0 to 2.
    Raises:
        ValueError: if k is not from 1 to m.
    """
    m = len(references)
    if not 1 <= k <= m:
        raise ValueError(f"k must be from 1 to {m}, and it is {k}")
    directions = F.normalize(references.float())
    rows = min(max(1, _BLOCK_BYTES // (4 * m)), _MOST_ROWS)
    positions, distances = [], []
    for block in torch.split(queries, rows):
        near = (F.normalize(block.float()) @ directions.T).topk(min(k + _SPARE, m)).indices.sort(1).values
        exact = F.normalize(block.double())[:, None]
        angles = 1 - (F.normalize(references[near].double(), dim=2) * exact).sum(2)
        order = angles.argsort(dim=1, stable=True)[:, :k]
        positions.append(near.gather(1, order))
        distances.append(angles.gather(1, order).clamp(0, 2).float())
    return torch.cat(positions), torch.cat(distances)
