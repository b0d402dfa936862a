"""A property that was made equal is the same in all images, by hand and as it is measured."""

import pytest
import torch

from visionlib.data import ImageSplit, draw_shapes
from visionlib.evaluation.groups.properties import measure_properties
from visionlib.evaluation.shortcuts.probes import REGIONS
from visionlib.explanation.reliance.equalize import equalize, mark_replaced

IMAGES = draw_shapes(20, seed=3, image_size=16).images


def measured(images: torch.Tensor, name: str) -> torch.Tensor:
    split = ImageSplit(images, torch.zeros(len(images), dtype=torch.int64), ("only",), torch.arange(len(images)))
    return next(entry.values for entry in measure_properties(split) if entry.name == name)


def test_brightness_and_colour_by_hand() -> None:
    images = torch.tensor([[10, 30], [60, 100]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert equalize(images, "brightness").flatten().tolist() == [40, 60, 30, 70]
    coloured = torch.cat([images, images, images // 10], 1)
    # The means of the third channel are 2 and 8.
    assert equalize(coloured, "colour")[:, 2].flatten().tolist() == [4, 6, 3, 7]


def test_contrast_by_hand() -> None:
    images = torch.tensor([[10, 30], [60, 120]], dtype=torch.uint8).view(2, 1, 1, 2)
    assert equalize(images, "contrast").flatten().tolist() == [0, 40, 70, 110]  # stds of 10 and 30 become 20


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation"])
def test_what_is_measured_becomes_the_same(name: str) -> None:
    calm = (90 + 0.4 * (IMAGES.float() - 100)).byte()  # so that hardly anything is clamped
    before, after = measured(calm, name), measured(equalize(calm, name), name)
    assert float(after.std()) < 0.2 * float(before.std())


@pytest.mark.parametrize("name", REGIONS)
def test_a_region_is_that_of_the_mean_and_the_rest_stays(name: str) -> None:
    region = mark_replaced(name, 16, 16)
    assert region is not None
    changed = equalize(IMAGES, name)
    mean = IMAGES.float().mean(0).round().byte()
    assert changed[:, :, ~region].equal(IMAGES[:, :, ~region])
    assert all(image[:, region].equal(mean[:, region]) for image in changed)


def test_other_properties_are_refused() -> None:
    with pytest.raises(ValueError, match="sharpness is none of brightness"):
        equalize(IMAGES, "sharpness")
    with pytest.raises(ValueError, match="saturation is none of"):
        equalize(IMAGES[:, :1], "saturation")
