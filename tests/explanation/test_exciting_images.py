import json

import numpy as np
import pytest
import torch
from torch import nn

from tests.drawing.test_image_grid import HOSTILE, assert_tidy, render, texts
from tests.explanation.detectors import SpotDetector, on_pixels, spotted_split
from visionlib.data import ImageSplit
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.explanation import extract_feature_maps, find_exciting_images
from visionlib.explanation.exciting_picture import describe_exciting_images, draw_exciting_images
from visionlib.inference.trained_model import TrainedModel


@pytest.mark.parametrize("batch_size", [1, 4, 23, 250])
def test_the_brightest_spots_are_found_with_their_places(batch_size: int) -> None:
    split, spots = spotted_split()
    found = find_exciting_images(on_pixels(SpotDetector()), split, "relu", k=5, batch_size=batch_size)
    order = sorted(range(len(spots)), key=lambda number: -spots[number][2])[:5]
    assert found.channels == (0, 1, 2)
    assert found.positions[0].tolist() == order
    assert found.index[0].tolist() == [100 + number for number in order]
    assert found.labels[0].tolist() == [number % 2 for number in order]
    assert found.places[0].tolist() == [[spots[number][0], spots[number][1]] for number in order]
    assert found.values[0].tolist() == pytest.approx([spots[number][2] for number in order], rel=1e-5)
    # A padded 3 x 3 convolution sees the pixel and its neighbours, as far as there are any.
    row, column = found.places[0, 0].tolist()
    assert found.fields[0][0] == ((row - 1, row + 1), (column - 1, column + 1))
    peaks = [brightness for _, _, brightness in spots]
    assert float(found.means[0]) == pytest.approx(np.mean(peaks), rel=1e-5)
    assert float(found.stds[0]) == pytest.approx(np.std(peaks), rel=1e-4)
    above = (max(peaks) - np.mean(peaks)) / np.std(peaks)
    assert float(found.stands_out[0]) == pytest.approx(above, rel=1e-4)


def test_a_channel_without_activation_is_constant() -> None:
    split, _ = spotted_split()
    found = find_exciting_images(on_pixels(SpotDetector()), split, "relu", k=3)
    assert found.is_constant.tolist() == [False, True, True]
    assert found.stands_out.tolist()[1:] == [0.0, 0.0]
    assert found.positions[2].tolist() == [0, 1, 2]  # of equal ones the first
    assert "channel 2: 0 for every image, so none excites it" in describe_exciting_images(found)
    assert found.take(1).channels == (0,)
    assert found.take(1).fields == found.fields[:1]


@pytest.mark.parametrize("by", ["peak", "mean"])
def test_any_channels_equal_a_search_through_all_maps_at_once(by: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 7, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randint(0, 256, (61, 3, 12, 10), dtype=torch.uint8)
    split = ImageSplit(images, torch.zeros(61, dtype=torch.int64), ("only",), torch.arange(61))
    trained = TrainedModel.from_network(model, (0.5,) * 3, (0.25,) * 3)
    found = find_exciting_images(trained, split, "1", (5, 2), k=6, by=by, batch_size=8)  # type: ignore[arg-type]
    maps = extract_feature_maps(trained, images, "1").maps
    for place, channel in enumerate((5, 2)):
        values = [float(m.max() if by == "peak" else m.mean()) for m in maps[:, channel]]
        order = sorted(range(61), key=lambda number: (-values[number], number))[:6]
        assert found.positions[place].tolist() == order
        assert found.values[place].tolist() == pytest.approx([values[number] for number in order])
        for number, (row, column) in zip(order, found.places[place].tolist(), strict=True):
            assert float(maps[number, channel, row, column]) == float(maps[number, channel].max())
    row, column = found.places[1, 0].tolist()
    assert found.fields[1][0] == ((2 * row, 2 * row + 2), (2 * column, 2 * column + 2))


def test_receptive_fields_are_in_pixels_as_stored() -> None:
    images = torch.zeros(1, 1, 18, 18, dtype=torch.uint8)
    images[0, 0, 6:12, 6:12] = 255
    split = ImageSplit(images, torch.tensor([0]), ("only",), torch.tensor([0]))
    found = find_exciting_images(on_pixels(SpotDetector(), side_px=9), split, "conv", (0,))
    assert found.places[0, 0].tolist() == [4, 4]
    assert found.fields[0][0] == ((6, 11), (6, 11))


def test_a_network_that_cannot_be_interpreted_has_no_receptive_fields() -> None:
    class Odd(SpotDetector):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            assert float(inputs.sum()) < 1e30  # needs a value, which does not exist without arithmetic
            return super().forward(inputs)

    split, spots = spotted_split()
    found = find_exciting_images(on_pixels(Odd()), split, "conv", (0,), k=2)
    assert found.values[0, 0] == pytest.approx(max(brightness for _, _, brightness in spots))
    draw_exciting_images(found, split.images)
    if found.fields[0][0] is not None:
        row, column = found.places[0, 0].tolist()
        assert found.fields[0][0] == ((row - 1, row + 1), (column - 1, column + 1))


def test_json_holds_the_images() -> None:
    split, spots = spotted_split()
    found = find_exciting_images(on_pixels(SpotDetector()), split, "conv", (0, 2), k=40)
    assert found.k == 23
    told = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (told["layer"], told["n"], told["by"], told["channels"]) == ("conv", 23, "peak", 3)
    first = told["exciting"][0]["images"][0]
    brightest = max(range(23), key=lambda number: spots[number][2])
    assert (first["index"], first["class"]) == (100 + brightest, ("even", "odd")[brightest % 2])
    assert first["place"] == list(spots[brightest][:2])
    assert [entry["channel"] for entry in told["exciting"]] == [0, 2]


def test_what_cannot_be_searched_is_refused() -> None:
    split, _ = spotted_split()
    with pytest.raises(ConfigError, match=r"channels: 3 is out of range; conv has channels 0\.\.2"):
        find_exciting_images(on_pixels(SpotDetector()), split, "conv", (0, 3))
    with pytest.raises(ConfigError, match="channels: there are none"):
        find_exciting_images(on_pixels(SpotDetector()), split, "conv", ())
    with pytest.raises(ConfigError, match="k: 0 is out of range"):
        find_exciting_images(on_pixels(SpotDetector()), split, "conv", k=0)
    empty = ImageSplit(split.images[:0], split.labels[:0], split.classes, split.index[:0])
    with pytest.raises(DataError, match="split: has no images"):
        find_exciting_images(on_pixels(SpotDetector()), empty, "conv")


def test_the_picture_boxes_the_receptive_field() -> None:
    split, _ = spotted_split()
    found = find_exciting_images(on_pixels(SpotDetector()), split, "conv", (0, 1), k=3)
    figure = draw_exciting_images(found, split.images)
    assert_tidy(figure)
    axes = figure.axes[0]
    assert len(axes.images) == len(axes.patches) == 6
    for rank in range(3):
        image, box = axes.images[rank], axes.patches[rank]
        position = int(found.positions[0, rank])
        assert np.array_equal(np.asarray(image.get_array())[..., 0], split.images[position, 0].numpy())
        left, _, _, top = image.get_extent()
        (rows, columns), scale = found.fields[0][rank] or ((0, 0), (0, 0)), (image.get_extent()[1] - left) / 9
        corner, size = box.get_xy(), (box.get_width(), box.get_height())  # type: ignore[attr-defined]
        assert corner == pytest.approx((left + scale * columns[0], top + scale * rows[0]))
        assert size == pytest.approx((scale * (columns[1] - columns[0] + 1), scale * (rows[1] - rows[0] + 1)))
    assert "channel 0: up to" in "\n".join(text.get_text() for text in texts(figure))
    with pytest.raises(RunError, match="images: there are 2 for 23 that were searched"):
        draw_exciting_images(found, split.images[:2])


def test_hostile_class_names_stay_in_their_places() -> None:
    n = len(HOSTILE)
    images = torch.randint(0, 256, (n, 3, 32, 32), dtype=torch.uint8)
    split = ImageSplit(images, torch.arange(n), tuple(HOSTILE), torch.arange(n))
    model = nn.Sequential(nn.Conv2d(3, 50, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = find_exciting_images(TrainedModel.from_network(model, (0.5,) * 3, (0.2,) * 3), split, "0", k=n)
    figure = draw_exciting_images(found.take(4), images)
    assert_tidy(figure)
    assert render(figure).shape[1] <= 900
    with pytest.raises(RunError, match="channels: 50 are too many for a picture; choose at most 40"):
        draw_exciting_images(found, images)
