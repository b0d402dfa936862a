"""`compare_embeddings`: embedding similarity of known duplicates, and further duplicates found by embeddings alone."""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float16, Float32, Int64
from torch import Tensor

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.inference.run_data import load_run_data
from visionlib.inspection.duplicates import EMBEDDING_LIMITS, DuplicatePair, Duplicates, make_pair
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.similarity import correlate_pixels
from visionlib.inspection.split_embeddings import embed_split
from visionlib.progress import progress_bar
from visionlib.runs import Run

_NEIGHBOURS = 5
"""The distance to the fifth nearest image measures the local density. An absolute limit would fail: a network
concentrates the images of a class, some classes more than others."""
_MIN_DISTANCE = 1e-6
"""Rows at a smaller distance count as equal, because of rounding."""


def compare_embeddings(duplicates: Duplicates, dataset: Dataset, run: Run, *, device: str = "auto") -> Duplicates:
    """Add the cosines of known pairs' embeddings, and the pairs by embeddings alone; store the result in the run.

    A pair is found by embeddings if one image is much closer to the other than to its other neighbours, and their
    pixels correlate: copies that are cropped, shifted or recoloured. These are less certain, and reported apart.

    Args:
        duplicates: near ones, of `dataset`.
        dataset: that the run was trained on.
        run: a finished run.
        device: of the prediction of missing embeddings, as in `TrainConfig.device`.
    Raises:
        ConfigError: if only exact duplicates were searched.
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings; or it cannot be
            written.
    """
    if not duplicates.is_near:
        raise ConfigError("run", "is only compared with near duplicates", "search them with near=True")
    result = match_embeddings(duplicates, dataset, embed_dataset(run, dataset, device=device))
    result.save(run)
    return result


def embed_dataset(run: Run, dataset: Dataset, *, device: str = "auto") -> dict[str, Float16[Tensor, "_ d"]]:
    """Return the embeddings of every split with images; check that the run was trained on this dataset.

    Raises:
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings.
    """
    source = load_run_data(run, dataset)
    return {name: embed_split(run, name, dataset=source, device=device).embeddings for name in _list_filled(source)}


def match_embeddings(
    duplicates: Duplicates, dataset: Dataset, embeddings: Mapping[str, Float[Tensor, "_ d"]]
) -> Duplicates:
    """Compare as `compare_embeddings` does, with the embeddings of each split that has images, a row per image."""
    images = JoinedSplits(_list_filled(dataset))
    embedded = torch.cat([embeddings[name] for name in images.splits]) if len(images) else torch.zeros(0, 1)
    known = [
        (images.row(pair.splits[0], pair.positions[0]), images.row(pair.splits[1], pair.positions[1]))
        for pair in duplicates.pairs
    ]
    cosines = _measure_cosines(embedded, torch.tensor(known, dtype=torch.int64).view(-1, 2)).tolist()
    pairs = tuple(replace(pair, cosine=cosine) for pair, cosine in zip(duplicates.pairs, cosines, strict=True))

    known_pairs = {tuple(sorted(pair)) for pair in known}
    close = find_close_pairs(embedded)
    is_new = torch.tensor([tuple(pair) not in known_pairs for pair in close.tolist()], dtype=torch.bool)
    confirmed = _confirm(images, embedded, close[is_new])
    by_embeddings = tuple(sorted(confirmed, key=lambda pair: -pair.correlation))
    return replace(duplicates, pairs=pairs, by_embeddings=by_embeddings)


def find_close_pairs(embeddings: Float[Tensor, "n d"]) -> Int64[Tensor, "m 2"]:
    """Find pairs i < j at no more than half the distance from one of them to its fifth nearest neighbour.

    Distances are 1 minus the cosine. Five images or fewer have no such pair.
    """
    n = len(embeddings)
    if n <= _NEIGHBOURS:
        return torch.zeros(0, 2, dtype=torch.int64)
    with progress_bar("comparing embeddings", n, "images") as show:
        positions, distances = find_nearest(embeddings, embeddings, _NEIGHBOURS + 1, show)
    is_self = positions == torch.arange(n)[:, None]
    # An image with more than five equal ones may be missing from its own neighbours; then drop the last of these.
    is_self[~is_self.any(1), -1] = True
    positions, distances = positions[~is_self].view(n, -1), distances[~is_self].view(n, -1)
    limits = (EMBEDDING_LIMITS["nearness"] * distances[:, -1:]).clamp(min=_MIN_DISTANCE)
    first, rank = (distances[:, :-1] <= limits).nonzero(as_tuple=True)
    pairs = torch.stack([first, positions[first, rank]], 1).sort(1).values
    return torch.tensor(sorted({(i, j) for i, j in pairs.tolist()}), dtype=torch.int64).view(-1, 2)


def _list_filled(dataset: Dataset) -> dict[str, ImageSplit]:
    return {name: split for name, split in dataset.splits.items() if len(split)}


def _measure_cosines(embeddings: Float[Tensor, "n d"], pairs: Int64[Tensor, "m 2"]) -> Float32[Tensor, "m"]:
    first, second = (F.normalize(embeddings[pairs[:, side]].double(), dim=1) for side in (0, 1))
    return (first * second).sum(1).clamp(-1, 1).float()


def _confirm(
    images: JoinedSplits, embeddings: Float[Tensor, "n d"], pairs: Int64[Tensor, "m 2"]
) -> list[DuplicatePair]:
    """Select the pairs whose pixels and detail correlate, with or without mirroring."""
    if not len(pairs):
        return []
    plain, mirrored = (correlate_pixels(images, pairs, is_mirrored=is_mirrored) for is_mirrored in (False, True))
    is_mirrored = mirrored[0] > plain[0]
    correlations, details = (torch.where(is_mirrored, m, p) for p, m in zip(plain, mirrored, strict=True))
    cosines = _measure_cosines(embeddings, pairs)
    is_match = (correlations >= EMBEDDING_LIMITS["pixels"]) & (details >= EMBEDDING_LIMITS["detail"])
    columns = zip(*(part[is_match].tolist() for part in (pairs, correlations, details, cosines)), strict=True)
    return [make_pair("embedding", images, (first, second), *measures) for (first, second), *measures in columns]
