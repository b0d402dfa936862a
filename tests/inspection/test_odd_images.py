"""Odd images that were planted are found, each with what is odd in it, and no others."""

import dataclasses

import numpy as np
import pytest
import torch

from visionlib.data import Dataset, ImageSplit
from visionlib.data.originals import Originals
from visionlib.inspection import find_odd_images, odd_images

CLASSES = ("cat", "dog")


def make_split(n: int = 12, *, seed: int = 0, channels: int = 3) -> ImageSplit:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, channels, 8, 8), dtype=torch.uint8, generator=generator)
    return ImageSplit(images, torch.arange(n) % 2, CLASSES, torch.arange(n) + 100)


def make_dataset(train: ImageSplit, test: ImageSplit | None = None) -> Dataset:
    return Dataset("planted", {"train": train, "test": test or make_split(6, seed=1)}, CLASSES)


def kinds(dataset: Dataset) -> list[tuple[str, str, int]]:
    return [(odd.oddity, odd.split, odd.position) for odd in find_odd_images(dataset)]


def test_noise_is_not_odd() -> None:
    assert find_odd_images(make_dataset(make_split())) == ()
    assert find_odd_images(make_dataset(make_split(channels=1), make_split(6, channels=1))) == ()


@pytest.mark.parametrize("at_once", [1, 2**22])
def test_what_was_planted_is_found_and_named(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(odd_images, "_VALUES_AT_ONCE", at_once)
    train, test = make_split(), make_split(6, seed=1)
    train.images[5] = torch.tensor([7, 8, 9], dtype=torch.uint8)[:, None, None]
    train.images[2] = 100 + train.images[2] % 8
    test.images[3] = test.images[3, :1] // 2 + torch.tensor([0, 3, 8], dtype=torch.uint8)[:, None, None]
    found = find_odd_images(make_dataset(train, test))
    assert [(odd.oddity, odd.split, odd.position, odd.index, odd.label) for odd in found] == [
        ("constant", "train", 5, 105, "dog"),
        ("almost constant", "train", 2, 102, "cat"),
        ("grey", "train", 2, 102, "cat"),
        ("grey", "test", 3, 103, "dog"),
    ]
    assert found[0].detail == "every pixel is 7, 8, 9"
    std = np.sqrt(train.images[2].double().flatten(1).numpy().var(1).mean())
    assert found[1].detail == f"std {std:.1f} of 255"
    assert found[0].to_dict()["oddity"] == "constant"


def test_limits_are_those_that_are_stated() -> None:
    train = make_split(4)
    train.images[0] = 100
    train.images[0, :, :4] = 108  # std 4.0
    train.images[1] = 100
    train.images[1, :, :4] = 107  # std 3.5
    train.images[2, 0] = train.images[2, 1] // 2
    train.images[2, 1], train.images[2, 2] = train.images[2, 0], train.images[2, 0] + 8
    train.images[3] = train.images[2]
    train.images[3, 2, 0, 0] += 1  # one pixel has a tint of 9
    found = kinds(make_dataset(train, make_split(20, seed=1)))
    assert ("almost constant", "train", 0) not in found
    assert ("almost constant", "train", 1) in found
    assert ("grey", "train", 2) in found
    assert ("grey", "train", 3) not in found


def test_grayscale_pictures_are_odd_among_coloured_ones_alone() -> None:
    train = make_split(8)
    train.images[:] = train.images[:, :1].clone()
    assert [odd[0] for odd in kinds(make_dataset(train, make_split(9, seed=1)))] == ["grey"] * 8
    assert kinds(make_dataset(train, make_split(8, seed=1))) == []


def with_originals(split: ImageSplit, sides: list[int], modes: list[str]) -> ImageSplit:
    sizes = torch.tensor([(side, side + 3) for side in sides])
    return dataclasses.replace(split, originals=Originals(sizes, tuple(modes)))


def test_pictures_that_were_tiny_and_modes_that_are_rare_are_named() -> None:
    train = with_originals(make_split(4), [8, 3, 4, 100], ["RGB", "RGB", "P", "RGB"])
    test = with_originals(make_split(2, seed=1), [8, 8], ["RGBA", "RGB"])
    found = find_odd_images(make_dataset(train, test))
    assert [(odd.oddity, odd.split, odd.index, odd.detail) for odd in found] == [
        ("tiny", "train", 101, "was 6 x 3 pixels"),
        ("mode", "train", 102, "is P, and most are RGB"),
        ("mode", "test", 100, "is RGBA, and most are RGB"),
    ]


def test_no_images_are_not_odd() -> None:
    none = make_split(0)
    assert find_odd_images(make_dataset(none, none)) == ()
