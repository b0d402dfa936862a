"""Pairs of duplicates side by side, from the stored images."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from visionlib.data import Dataset
from visionlib.data.class_names import CAPTION_PATH_LENGTH, embed_name, tidy_path
from visionlib.drawing.image_grid import draw_images
from visionlib.inspection.duplicates import DuplicatePair, Duplicates

_PAIRS_IN_A_ROW = 3


def draw_duplicates(duplicates: Duplicates, dataset: Dataset, *, count: int = 12) -> Figure:
    """Draw pairs of duplicates side by side: those with two labels first, then those between splits.

    Pairs by a run's embeddings alone follow under a heading, at most half as many.

    Args:
        duplicates: of the dataset.
        dataset: the images.
        count: most pairs to draw.
    """
    by_pixels = choose_pairs(duplicates.pairs, count)
    by_embeddings = choose_pairs(duplicates.by_embeddings or (), count // 2)
    images, captions = [], []
    for pair in (*by_pixels, *by_embeddings):
        for split, position, index, label, source in zip(
            pair.splits, pair.positions, pair.index, pair.labels, pair.sources, strict=True
        ):
            images.append(dataset.splits[split].images[position].cpu())
            file = "" if source is None else f"\n{tidy_path(source, CAPTION_PATH_LENGTH)}"
            captions.append(f"{embed_name(split)} {index}\n{embed_name(label)}{file}")
        correlation = f"{pair.correlation:.2f}"
        special = {"exact": "exact", "embedding": correlation}
        captions[-1] += f"\n{special.get(pair.kind, f'{pair.kind}, {correlation}')}"
    channels = dataset.train.channels if "train" in dataset.splits else 3
    stacked = torch.stack(images) if images else torch.zeros(0, channels, 32, 32, dtype=torch.uint8)
    return draw_images(
        stacked,
        captions,
        title=describe_duplicates(duplicates),
        headings={2 * len(by_pixels): "found by the embeddings alone"} if by_embeddings else None,
        columns=2 * _PAIRS_IN_A_ROW,
    )


def choose_pairs(pairs: Sequence[DuplicatePair], count: int) -> list[DuplicatePair]:
    """Choose the first pairs: with two labels, then between splits, then the others, each in their order."""
    return sorted(pairs, key=lambda pair: (not pair.has_two_labels, pair.splits[0] == pair.splits[1]))[:count]


def describe_duplicates(duplicates: Duplicates) -> str:
    """Count the pairs by splits, in one or two sentences."""
    alone = duplicates.by_embeddings
    more = "" if alone is None else f" The embeddings of a run find {len(alone):,} more."
    if not duplicates.pairs:
        return f"No {'' if duplicates.is_near else 'exact '}duplicates.{more}"
    counts = [
        f"{len(pairs):,} {'within ' + first if first == second else f'between {first} and {second}'}"
        for first, second in (entry["splits"] for entry in duplicates.counts())
        if (pairs := duplicates.between(first, second))
    ]
    two = sum(pair.has_two_labels for pair in duplicates.pairs)
    kinds = "exact, near and mirrored" if duplicates.is_near else "exact"
    where = f"{len(duplicates.pairs):,} pairs of {kinds} duplicates: {', '.join(counts)}"
    return f"{where}; {two:,} of them with two labels.{more}"
