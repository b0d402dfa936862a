from dataclasses import replace

import numpy as np
import pytest
import torch

from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.errors import DataError


def make_split(n: int = 20, channels: int = 3) -> ImageSplit:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (n, channels, 6, 5), dtype=torch.uint8, generator=generator)
    return ImageSplit(images, torch.arange(n) % 3, ("a", "b", "c"), torch.arange(n) + 100, images[:, 0] > 90)


@pytest.mark.parametrize("channels", [1, 3])
def test_mean_and_std_equal_numpy(channels: int) -> None:
    split = make_split(4100 if channels == 1 else 20, channels)
    pixels = split.images.numpy().astype(np.float64) / 255
    assert split.mean == pytest.approx(pixels.mean((0, 2, 3)), abs=1e-12)
    assert split.std == pytest.approx(pixels.std((0, 2, 3)), abs=1e-12)


def test_mean_and_std_by_hand() -> None:
    images = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    split = ImageSplit(images, torch.tensor([0, 0]), ("a",), torch.arange(2))
    assert (split.mean, split.std) == ((0.5,), (0.5,))


def test_hash_does_not_depend_on_layout_names_masks_or_index() -> None:
    split = make_split()
    layout = split.images.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    assert not layout.is_contiguous()
    same = ImageSplit(layout, split.labels, ("x", "y", "z"), split.index + 1)
    assert same.content_hash == split.content_hash


def test_hash_is_the_stated_one_for_good() -> None:
    images = torch.arange(12, dtype=torch.uint8).view(1, 3, 2, 2)
    split = ImageSplit(images, torch.tensor([1]), ("a", "b"), torch.tensor([0]))
    # sha256 of b"visionlib-split-1 (1, 3, 2, 2)", label 1 as little-endian int64, bytes 0..11.
    assert split.content_hash == "3fd33434886aca2798a52be82bd64182271e6df5fa0c0ceb5f5852e98e4b35a3"


def test_hash_changes_with_one_pixel_one_label_the_order_and_the_shape() -> None:
    split = make_split()
    pixel, label = split.images.clone(), split.labels.clone()
    pixel[19, 2, 5, 4] ^= 1
    label[19] = 0
    others = [
        replace(split, images=pixel),
        replace(split, labels=label),
        split.subset(torch.arange(19, -1, -1)),
        split.subset(torch.arange(19)),
        replace(split, images=split.images.reshape(20, 3, 5, 6), masks=None),
    ]
    hashes = {split.content_hash, *(other.content_hash for other in others)}
    assert len(hashes) == 6


def test_subset_keeps_indices_labels_and_masks() -> None:
    split = make_split()
    positions = torch.tensor([7, 3, 7])
    some = split.subset(positions)
    assert some.index.tolist() == [107, 103, 107]
    assert some.labels.tolist() == [1, 0, 1]
    assert torch.equal(some.images, split.images[positions])
    assert split.masks is not None
    assert some.masks is not None
    assert torch.equal(some.masks, split.masks[positions])


def test_counts_name_absent_classes() -> None:
    assert make_split(1).per_class == {"a": 1, "b": 0, "c": 0}


@pytest.mark.parametrize(("label", "found"), [(3, "0..3"), (-1, "-1..0")])
def test_label_without_a_class_is_refused(label: int, found: str) -> None:
    images = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    with pytest.raises(DataError, match=rf"labels: found {found} with 3 class names; labels must be 0\.\.2"):
        ImageSplit(images, torch.tensor([0, label]), ("a", "b", "c"), torch.arange(2))


def test_unknown_split_is_refused_with_those_there_are() -> None:
    dataset = Dataset("mine", {"train": make_split(), "test": make_split(5)}, ("a", "b", "c"))
    assert (len(dataset.train), len(dataset.test)) == (20, 5)
    with pytest.raises(DataError, match="mine: has no split 'extra'; it has: train, test"):
        dataset.split("extra")


def test_dataset_hash_depends_on_the_names_and_not_the_order_of_its_splits() -> None:
    train, test = make_split(), make_split(5)
    first = Dataset("x", {"train": train, "test": test}, train.classes)
    turned = Dataset("y", {"test": test, "train": train}, train.classes)
    swapped = Dataset("x", {"train": test, "test": train}, train.classes)
    assert first.content_hash == turned.content_hash != swapped.content_hash
