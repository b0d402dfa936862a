"""Properties of a dataset that a user should know before training, each as a sentence."""

import torch

from visionlib.data.class_names import embed_name
from visionlib.data.dataset import Dataset, ImageSplit

IMBALANCE = 5
"""Ratio of the images of two classes from which on a warning says so."""


def describe_imbalance(split: ImageSplit) -> str:
    """Warn of one class alone, or one with at least five times the images of another; empty without either."""
    present = {name: count for name, count in split.per_class.items() if count}
    if not present:
        return ""
    if len(present) == 1:
        (name,) = present
        return f"all training images are of one class, {embed_name(name)}: there is nothing to tell apart"
    smallest, largest = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
    ratio = present[largest] / present[smallest]
    if ratio < IMBALANCE:
        return ""
    return (
        f"{embed_name(largest)} has {present[largest]:,} training images, {ratio:,.1f} times as many as "
        f"{embed_name(smallest)} with {present[smallest]:,}: --balance draws every class equally often in training"
    )


def describe_sizes(dataset: Dataset) -> str:
    """Say in which size images are stored, how that follows from their files, and how to change it."""
    height, width = next(iter(dataset.splits.values())).image_size
    originals = [split.originals.sizes for split in dataset.splits.values() if split.originals is not None]
    if not originals:
        return f"images of {width} x {height} px"
    sizes = torch.cat(originals)
    if (sizes == torch.tensor([height, width])).all():
        return f"images of {width} x {height} px, stored as they are; --image-size N changes it"
    by_area = sizes[sizes.prod(1).argsort(stable=True)].tolist()
    smallest, largest = (f"{columns} x {rows}" for rows, columns in (by_area[0], by_area[-1]))
    range_px = smallest if smallest == largest else f"{smallest} to {largest}"
    is_whole = dataset.options.get("resize") == "whole"
    how = "resized whole" if is_whole else "resized from their largest centred square (--resize whole takes all)"
    return f"images of {range_px} px, stored as {width} x {height}, {how}; --image-size N changes it"
