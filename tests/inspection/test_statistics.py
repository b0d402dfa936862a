"""Counts, means and stds are those of a slow loop, and a class without images has none."""

import dataclasses

import numpy as np
import pytest
import torch

from visionlib.data import ImageSplit
from visionlib.data.originals import Originals
from visionlib.inspection import statistics
from visionlib.inspection.statistics import measure_split

CLASSES = ("cat", "dog", "absent", "ship")


def make_split(n: int = 50, channels: int = 3) -> ImageSplit:
    generator = torch.Generator().manual_seed(channels)
    images = torch.randint(0, 256, (n, channels, 6, 5), dtype=torch.uint8, generator=generator)
    labels = torch.tensor([0, 1, 3])[torch.randint(0, 3, (n,), generator=generator)]
    return ImageSplit(images, labels, CLASSES, torch.arange(n))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("at_once", [1, 700, 2**24])
def test_figures_are_those_of_a_slow_loop(channels: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", at_once)
    split = make_split(channels=channels)
    found = measure_split(split)
    pixels, labels = split.images.numpy().astype(np.float64), split.labels.numpy()
    for label in range(4):
        members = [image for image, own in zip(pixels, labels, strict=True) if own == label]
        assert int(found.counts[label]) == len(members)
        expected = np.mean(members, axis=0) if members else np.zeros((channels, 6, 5))
        np.testing.assert_allclose(found.class_means[label].numpy(), expected, atol=1e-4)
    assert found.mean == pytest.approx(pixels.mean((0, 2, 3)) / 255)
    assert found.std == pytest.approx(pixels.std((0, 2, 3)) / 255)
    assert (found.n, found.image_size, found.channels, found.modes) == (50, (6, 5), channels, {})


def test_plain_values_tell_the_mean_colour_of_a_class_and_none_without_images() -> None:
    split = make_split()
    record = measure_split(split).to_dict()
    assert [entry["class"] for entry in record["per_class"]] == list(CLASSES)
    absent, ship = record["per_class"][2:]
    assert absent == {"class": "absent", "n": 0, "mean": None}
    of_ships = split.images[split.labels == 3].double() / 255
    assert ship["mean"] == pytest.approx(of_ships.mean((0, 2, 3)).tolist())
    assert record["image_size"] == [6, 5]


def test_no_images_are_no_error() -> None:
    none = make_split().subset(torch.tensor([], dtype=torch.int64))
    found = measure_split(none)
    assert found.counts.tolist() == [0, 0, 0, 0]
    assert found.mean == (0, 0, 0)
    assert float(found.class_means.abs().max()) == 0


def test_modes_of_the_files_are_counted() -> None:
    originals = Originals(torch.ones(3, 2, dtype=torch.int64), ("RGB", "L", "RGB"))
    split = dataclasses.replace(make_split(3), originals=originals)
    assert measure_split(split).modes == {"RGB": 2, "L": 1}
