"""A dataset that is learned in seconds, and wrong labels planted in a split."""

import dataclasses

import torch

from visionlib.data import Dataset, ImageSplit

CLASSES = ("rows", "columns", "board", "flat")


def draw_stripes(n: int, seed: int) -> ImageSplit:
    """Draw grayscale noise with stripes along rows, along columns, both or none; indices do not begin at 0."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % len(CLASSES)
    noise = torch.randint(0, 120, (n, 1, 16, 16), generator=generator, dtype=torch.uint8)
    rows, columns = torch.meshgrid(torch.arange(16) % 2, torch.arange(16) % 2, indexing="ij")
    signs = torch.stack([rows, columns, rows ^ columns, torch.zeros_like(rows)]).to(torch.uint8)
    return ImageSplit(noise + 90 * signs[labels][:, None], labels, CLASSES, index=torch.arange(n) + 1000)


def striped_dataset(n_train: int = 240, n_test: int = 120) -> Dataset:
    return Dataset("stripes", {"train": draw_stripes(n_train, 0), "test": draw_stripes(n_test, 1)}, CLASSES)


def plant_wrong_labels(split: ImageSplit, fraction: float, seed: int = 0) -> tuple[ImageSplit, set[int]]:
    """Give a fraction of the images another class, chosen by seed; give their indices as well."""
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(split), generator=generator)[: round(fraction * len(split))]
    k = len(split.classes)
    labels = split.labels.clone()
    labels[chosen] = (labels[chosen] + torch.randint(1, k, (len(chosen),), generator=generator)) % k
    return dataclasses.replace(split, labels=labels), set(split.index[chosen].tolist())
