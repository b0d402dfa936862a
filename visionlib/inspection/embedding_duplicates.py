"""`compare_embeddings`: what a run's network says of the duplicates that are known, and those that it alone finds."""

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
from visionlib.inspection.likeness import correlate_pixels
from visionlib.inspection.nearest import find_nearest
from visionlib.inspection.split_embeddings import embed_split
from visionlib.progress import progress_bar
from visionlib.runs import Run

NEIGHBOURS = 5
"""Of an image, of which the last says how dense it is around it. A limit to the distance itself would say little: a
network brings all images of a class close together, and some classes closer than others."""
_ROUNDING = 1e-6
"""A distance below which rows are as good as equal."""
_AT_ONCE = 4096


def compare_embeddings(duplicates: Duplicates, dataset: Dataset, run: Run, *, device: str = "auto") -> Duplicates:
    """Give duplicates with the cosines of their embeddings, and apart those that the network of a run alone finds.

    The network's are pairs of which one image is so near to the other that it stands out from what else is near, and
    whose pixels have something in common, too: pictures cut or shifted otherwise, or with other colours. They are less
    sure than the others.

    Args:
        duplicates: near ones, of `dataset`.
        dataset: that the run was trained with.
        run: a finished run.
        device: what to predict the embeddings on that the run does not keep yet, as in `TrainConfig.device`.
    Raises:
        ConfigError: if exact duplicates alone were looked for.
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings.
    """
    if not duplicates.is_near:
        raise ConfigError("run", "has nothing to say of exact duplicates", "look for near ones as well")
    return match_embeddings(duplicates, dataset, embed_dataset(run, dataset, device=device))


def embed_dataset(run: Run, dataset: Dataset, *, device: str = "auto") -> dict[str, Float16[Tensor, "_ d"]]:
    """Give the embeddings of every split that has images, and see to it that the run is of this dataset.

    Raises:
        RunError: if the run is unfinished or damaged, was trained on other data, or has no embeddings.
    """
    source = load_run_data(run, dataset)
    return {name: embed_split(run, name, dataset=source, device=device).embeddings for name in _take_filled(source)}


def match_embeddings(
    duplicates: Duplicates, dataset: Dataset, embeddings: Mapping[str, Float[Tensor, "_ d"]]
) -> Duplicates:
    """Do what `compare_embeddings` does, with the embeddings of each split that has images, a row per image."""
    splits = _take_filled(dataset)
    owners = [(name, position) for name, split in splits.items() for position in range(len(split))]
    places = {owner: place for place, owner in enumerate(owners)}
    rows = torch.cat([embeddings[name] for name in splits]) if splits else torch.zeros(0, 1)
    known = [
        (places[pair.splits[0], pair.positions[0]], places[pair.splits[1], pair.positions[1]])
        for pair in duplicates.pairs
    ]
    cosines = _measure_cosines(rows, torch.tensor(known, dtype=torch.int64).view(-1, 2)).tolist()
    pairs = tuple(replace(pair, cosine=cosine) for pair, cosine in zip(duplicates.pairs, cosines, strict=True))

    seen = {tuple(sorted(pair)) for pair in known}
    near = find_standing_out(rows)
    is_new = torch.tensor([tuple(pair) not in seen for pair in near.tolist()], dtype=torch.bool)
    found = _confirm(splits, owners, rows, near[is_new])
    return replace(duplicates, pairs=pairs, by_embeddings=tuple(sorted(found, key=lambda pair: -pair.whole)))


def find_standing_out(embeddings: Float[Tensor, "n d"]) -> Int64[Tensor, "m 2"]:
    """Find pairs i < j of which one is at most half as far from the other as this one's fifth nearest is.

    Distances are 1 less the cosine. Of five images or fewer none stands out.
    """
    n = len(embeddings)
    if n <= NEIGHBOURS:
        return torch.zeros(0, 2, dtype=torch.int64)
    parts = []
    with progress_bar("comparing embeddings", n, "images") as show:
        for start in range(0, n, _AT_ONCE):
            parts.append(find_nearest(embeddings[start : start + _AT_ONCE], embeddings, NEIGHBOURS + 1))
            show(min(start + _AT_ONCE, n))
    positions, distances = (torch.cat(part) for part in zip(*parts, strict=True))
    is_self = positions == torch.arange(n)[:, None]
    # An image with more than five equals may not be among its own nearest; then the last of these is left out.
    is_self[~is_self.any(1), -1] = True
    positions, distances = positions[~is_self].view(n, -1), distances[~is_self].view(n, -1)
    limits = (EMBEDDING_LIMITS["nearness"] * distances[:, -1:]).clamp(min=_ROUNDING)
    first, place = (distances[:, :-1] <= limits).nonzero(as_tuple=True)
    pairs = torch.stack([first, positions[first, place]], 1).sort(1).values
    return torch.tensor(sorted({(i, j) for i, j in pairs.tolist()}), dtype=torch.int64).view(-1, 2)


def _take_filled(dataset: Dataset) -> dict[str, ImageSplit]:
    return {name: split for name, split in dataset.splits.items() if len(split)}


def _measure_cosines(rows: Float[Tensor, "n d"], pairs: Int64[Tensor, "m 2"]) -> Float32[Tensor, "m"]:
    first, second = (F.normalize(rows[pairs[:, side]].double(), dim=1) for side in (0, 1))
    return (first * second).sum(1).clamp(-1, 1).float()


def _confirm(
    splits: dict[str, ImageSplit],
    owners: list[tuple[str, int]],
    rows: Float[Tensor, "n d"],
    pairs: Int64[Tensor, "m 2"],
) -> list[DuplicatePair]:
    if not len(pairs):
        return []
    images = torch.cat([split.images.cpu() for split in splits.values()])
    plain, mirrored = (correlate_pixels(images, pairs, is_mirrored=is_mirrored) for is_mirrored in (False, True))
    is_turned = mirrored[0] > plain[0]
    whole, detail = (torch.where(is_turned, turned, straight) for straight, turned in zip(plain, mirrored, strict=True))
    cosines = _measure_cosines(rows, pairs)
    kept = ((whole >= EMBEDDING_LIMITS["pixels"]) & (detail >= EMBEDDING_LIMITS["detail"])).nonzero().flatten().tolist()
    return [
        make_pair(
            "embedding",
            splits,
            owners[int(pairs[place, 0])],
            owners[int(pairs[place, 1])],
            float(whole[place]),
            float(detail[place]),
            float(cosines[place]),
        )
        for place in kept
    ]
