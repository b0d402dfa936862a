"""`NeighbourIndex`: approximate nearest neighbours by a graph of faiss, for sets too large to compare all pairs.

- The same rows give the same index and the same answers on one machine, with any number of threads. So the graph is
  built by one thread: with several, faiss links rows in the order in which the threads come.
- Equal rows are one node. Otherwise more of them than a node has links are an island, and a search ends there.
- Memory is that of the rows in float16, and of the links; no float32 copy of all rows is made.

Source: Malkov and Yashunin 2016, arXiv:1603.09320.
"""

import importlib.util
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from visionlib.errors import VisionlibWarning
from visionlib.progress import Progress

MOST_PAIRS = 2**32
"""Pairs up to which a search is exhaustive: about a minute on two cores, for rows of 512."""
_LINKS = 32
"""Links of a node, twice as many on the lowest level."""
_BUILD_WIDTH, _SEARCH_WIDTH = 64, 128
"""Nodes that are kept in sight while a row is inserted and searched."""
_ROWS_AT_ONCE = 16_384
_FLOP_PER_SECOND = 3e10
"""Of a core; for the estimate of an exhaustive search's time."""
_HASH_SEED = 0


def is_searched_exactly(pairs: int) -> bool:
    """Return whether all pairs are compared: if there are few enough, or faiss is not installed."""
    return pairs <= MOST_PAIRS or importlib.util.find_spec("faiss") is None


def tell_of_slow_search(pairs: int, width: int) -> None:
    """Warn, before all of so many pairs are compared that an index would be faster.

    Args:
        pairs: of a query and a row.
        width: numbers in a row.
    """
    if pairs > MOST_PAIRS:
        minutes = 2 * pairs * width / (_FLOP_PER_SECOND * torch.get_num_threads()) / 60
        warnings.warn(
            f"{pairs:,} pairs of images are compared, in about {minutes:,.0f} minutes; an index takes a fraction of "
            "that: pip install 'visionlib-torch[index]'",
            VisionlibWarning,
            stacklevel=3,
        )


class NeighbourIndex:
    """The rows of a matrix, to be searched by cosine similarity.

    Args:
        rows: to be found; they need not be normalized.
        advance: called with the number of rows that are in the index.
    """

    def __init__(self, rows: Float[Tensor, "m d"], advance: Progress = lambda done, note="": None) -> None:
        # faiss takes a second to import, and brings its own BLAS and OpenMP.
        import faiss

        self._faiss: Any = faiss
        self._group_equal(rows)
        self._index = self._faiss.IndexHNSWSQ(
            rows.shape[1], self._faiss.ScalarQuantizer.QT_fp16, _LINKS, self._faiss.METRIC_INNER_PRODUCT
        )
        self._index.hnsw.efConstruction = _BUILD_WIDTH
        self._index.is_trained = True  # float16 needs no training
        with self._threads(1):
            for part in torch.split(self._members[self._starts], _ROWS_AT_ONCE):
                self._index.add(_normalize(rows[part]))
                advance(self._index.ntotal * len(rows) // len(self._starts))

    def search(self, queries: Float[Tensor, "n d"], count: int) -> Int64[Tensor, "n count"]:
        """Return positions of about the most similar rows, in no certain order; -1 where fewer were reached."""
        settings = self._faiss.SearchParametersHNSW(efSearch=max(_SEARCH_WIDTH, 4 * count))
        with self._threads(torch.get_num_threads()):
            found = torch.from_numpy(self._index.search(_normalize(queries), count, params=settings)[1])
        sizes = torch.where(found < 0, 0, self._sizes[found])
        ends = sizes.cumsum(1)
        slots = torch.arange(count).expand(len(queries), count).contiguous()
        # The group that fills each slot, and the place of the slot within it.
        place = torch.searchsorted(ends, slots, right=True).clamp(max=count - 1)
        within = slots - (ends - sizes).gather(1, place)
        positions = self._members[(self._starts[found.gather(1, place)] + within).clamp(0, len(self._members) - 1)]
        return torch.where(slots < ends[:, -1:], positions, -1)

    def _group_equal(self, rows: Float[Tensor, "m d"]) -> None:
        """Group equal rows by a hash of 64 bits: positions by group, and each group's start and size."""
        factors = np.random.default_rng(_HASH_SEED).integers(-(2**63), 2**63 - 1, rows.shape[1])
        parts = [
            (part.float().contiguous().view(torch.int32).long() * torch.from_numpy(factors)).sum(1)
            for part in torch.split(rows, _ROWS_AT_ONCE)
        ]
        hashes, self._members = torch.sort(torch.cat(parts), stable=True)
        self._sizes = torch.unique_consecutive(hashes, return_counts=True)[1]
        self._starts = self._sizes.cumsum(0) - self._sizes

    @contextmanager
    def _threads(self, count: int) -> Iterator[None]:
        before = self._faiss.omp_get_max_threads()
        self._faiss.omp_set_num_threads(count)
        try:
            yield
        finally:
            self._faiss.omp_set_num_threads(before)


def _normalize(rows: Float[Tensor, "n d"]) -> Any:
    return F.normalize(rows.float()).numpy()
