"""Nearest-neighbour search by cosine distance, block by block, within a fixed memory."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from visionlib.inspection.neighbour_index import NeighbourIndex, is_searched_exactly, tell_of_slow_search
from visionlib.progress import Progress

_BLOCK_BYTES = 128 * 2**20
"""Memory of the similarities of one block."""
_MAX_ROWS = 1024
_SPARE = 8
"""Extra candidates for the ranking in float64: float32 cannot rank almost equal distances."""


def find_nearest(
    queries: Float[Tensor, "n d"],
    references: Float[Tensor, "m d"],
    k: int,
    advance: Progress = lambda done, note="": None,
) -> tuple[Int64[Tensor, "n k"], Float32[Tensor, "n k"]]:
    """Find the k nearest references of every query by cosine distance, 1 minus the cosine.

    The search runs in float32, the ranking in float64; ties go to the first reference. A row of zeros is at distance 1
    from every other row. Above 2^32 pairs (65,536 rows with themselves) candidates come from an index, and a few
    neighbours are missed: docs/scaling.md has its recall. Ranking and distances are those of float64 there, too.

    Args:
        queries: rows to find the neighbours of.
        references: rows to find.
        k: neighbours of each query.
        advance: called with the number of queries done.
    Returns:
        Positions in `references`, nearest first, and their distances, 0 to 2.
    Raises:
        ValueError: if k is not from 1 to m.
    """
    m, width = references.shape
    if not 1 <= k <= m:
        raise ValueError(f"k must be from 1 to {m}, and it is {k}")
    count = min(k + _SPARE, m)
    is_exact = is_searched_exactly(len(queries) * m)
    if is_exact:
        tell_of_slow_search(len(queries) * m, width)
    search = _make_exact_search(references, count) if is_exact else _make_index_search(references, count)
    positions, distances = [], []
    done = 0
    for block in torch.split(queries, _count_rows(m) if is_exact else _MAX_ROWS):
        candidates = search(block).sort(1).values
        exact = F.normalize(block.double())[:, None]
        exact_distances = 1 - (F.normalize(references[candidates].double(), dim=2) * exact).sum(2)
        order = exact_distances.argsort(dim=1, stable=True)[:, :k]
        positions.append(candidates.gather(1, order))
        distances.append(exact_distances.gather(1, order).clamp(0, 2).float())
        advance(done := done + len(block))
    return torch.cat(positions), torch.cat(distances)


def _count_rows(m: int) -> int:
    """Return the number of queries in a block."""
    return min(max(1, _BLOCK_BYTES // (4 * m)), _MAX_ROWS)


def _make_exact_search(references: Float[Tensor, "m d"], count: int) -> Callable[[Tensor], Tensor]:
    """Return a function that finds candidates for a block of queries among all references."""
    directions = F.normalize(references.float())
    return lambda queries: (F.normalize(queries.float()) @ directions.T).topk(count).indices


def _make_index_search(references: Float[Tensor, "m d"], count: int) -> Callable[[Tensor], Tensor]:
    """Return a function that finds candidates by an index, and among all where that reaches too few."""
    index = NeighbourIndex(references)

    def search(queries: Tensor) -> Tensor:
        candidates = index.search(queries, count)
        is_short = (candidates < 0).any(1)
        if bool(is_short.any()):
            search_all = _make_exact_search(references, count)
            parts = torch.split(queries[is_short], _count_rows(len(references)))
            candidates[is_short] = torch.cat([search_all(part) for part in parts])
        return candidates

    return search
