from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.drawing.test_image_grid import assert_tidy, render, texts
from tests.explanation.detectors import SpotDetector, on_pixels, spotted_split
from visionlib.errors import ConfigError
from visionlib.explanation import extract_feature_maps
from visionlib.explanation.feature_picture import describe_feature_maps, draw_feature_maps
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.trained_model import TrainedModel
from visionlib.models import build_model


@pytest.mark.parametrize("is_in_place", [False, True])
def test_maps_are_the_convolution_itself_also_before_an_activation_in_place(is_in_place: bool) -> None:
    split, spots = spotted_split()
    found = extract_feature_maps(on_pixels(SpotDetector(is_in_place=is_in_place)), split.images, "norm", batch_size=5)
    assert found.maps.shape == (len(split), 3, 9, 9)
    means = F.avg_pool2d(split.images.float(), 3, stride=1, padding=1)
    expected = torch.cat([means, -means, torch.zeros_like(means)], 1)
    assert torch.allclose(found.maps, expected, atol=1e-3)
    for number, (row, column, brightness) in enumerate(spots):
        assert float(found.maps[number, 0, row, column]) == pytest.approx(brightness, rel=1e-5)
        assert found.rank_channels(number) == (0, 1, 2)
    assert found.is_constant.tolist() == [[False, False, True]] * len(split)


def test_one_image_alone_has_the_maps_that_it_has_in_a_batch() -> None:
    model: Any = build_model("resnet20", classes=4, channels=3)
    images = torch.randint(0, 256, (9, 3, 20, 20), dtype=torch.uint8)
    settings: dict[str, Any] = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.3), "side_px": 16}
    trained = TrainedModel.from_network(model, **settings)
    whole = extract_feature_maps(trained, images, "layer2")
    alone = [extract_feature_maps(trained, image[None], "layer2").maps for image in images]
    assert torch.equal(whole.maps, torch.cat(alone))
    assert torch.equal(whole.maps, extract_feature_maps(trained, images, "layer2", batch_size=4).maps)
    model.eval()
    with torch.no_grad():
        inputs = prepare_inputs(images, **settings)
        expected = model.layer2(model.layer1(model.relu1(model.bn1(model.conv1(inputs)))))
    assert torch.allclose(whole.maps, expected, atol=1e-5)
    assert whole.layer.resolution == (8, 8)


def test_a_network_in_bfloat16_gives_maps_in_float32() -> None:
    split, _ = spotted_split()
    plain = extract_feature_maps(on_pixels(SpotDetector()), split.images, "conv").maps
    for model, precision in ((SpotDetector().to(torch.bfloat16), "fp32"), (SpotDetector(), "bf16")):
        found = extract_feature_maps(on_pixels(model, precision=precision), split.images, "conv")
        assert found.maps.dtype == torch.float32
        assert torch.allclose(found.maps, plain, rtol=0.02, atol=1)


def test_figures_are_those_of_the_maps() -> None:
    split, _ = spotted_split()
    found = extract_feature_maps(on_pixels(SpotDetector()), split.images, "conv")
    told = found.to_dict(4)
    assert [told[name] for name in ("layer", "channels", "resolution", "constant")] == ["conv", 3, [9, 9], 1]
    assert [entry["channel"] for entry in told["maps"]] == [0, 1, 2]
    bright = told["maps"][0]
    pixels = found.maps[4, 0].numpy()
    assert (bright["max"], bright["min"]) == (pixels.max(), pixels.min())
    assert bright["mean"] == pytest.approx(pixels.mean(), rel=1e-5)
    assert [entry["channel"] for entry in found.to_dict(0, (2, 0))["maps"]] == [2, 0]
    with pytest.raises(ConfigError, match=r"channels: 3 is out of range; conv has channels 0\.\.2"):
        found.to_dict(0, (3,))


def test_more_than_fits_is_refused_before_it_is_computed() -> None:
    images = torch.zeros(1, 1, 9, 9, dtype=torch.uint8).expand(3_000_000, 1, 9, 9)
    with pytest.raises(ConfigError, match="the maps of 3,000,000 do not fit in 2 GiB; give at most 2,209,345"):
        extract_feature_maps(on_pixels(SpotDetector()), images, "conv")


def test_no_image_is_no_map() -> None:
    found = extract_feature_maps(on_pixels(SpotDetector()), torch.zeros(0, 1, 9, 9, dtype=torch.uint8), "conv")
    assert found.maps.shape == (0, 3, 9, 9)
    assert len(found) == 0


def test_the_picture_shows_the_maps_position_by_position() -> None:
    split, spots = spotted_split()
    found = extract_feature_maps(on_pixels(SpotDetector()), split.images, "conv")
    figure = draw_feature_maps(found, split.images[7], position=7)
    assert_tidy(figure)
    image, bright, dark, nothing = figure.axes[0].images
    assert np.array_equal(np.asarray(image.get_array())[..., 0], split.images[7, 0].numpy())
    shown = np.asarray(bright.get_array()).sum(2)
    row, column, _ = spots[7]
    assert np.unravel_index(shown.argmax(), shown.shape) == (row, column)
    turned = np.asarray(dark.get_array()).sum(2)
    assert np.unravel_index(turned.argmin(), turned.shape) == (row, column)
    assert len(np.unique(np.asarray(nothing.get_array()))) == 1
    captions = [text.get_text() for text in texts(figure)]
    assert captions[1:] == ["the image", f"0: {spots[7][2]}", "1: 0", "2: constant 0"]
    assert render(figure).shape[1] <= 900


def test_the_common_scale_tells_strong_maps_from_weak_ones() -> None:
    split, _ = spotted_split()
    found = extract_feature_maps(on_pixels(SpotDetector()), split.images, "conv")
    own, common = (draw_feature_maps(found, split.images[0], scale=scale) for scale in ("own", "common"))
    brightest = [np.asarray(figure.axes[0].images[2].get_array()).sum(2).max() for figure in (own, common)]
    assert brightest[0] > brightest[1]


def test_many_channels_are_drawn_as_the_strongest_of_them() -> None:
    model = nn.Sequential(nn.Conv2d(1, 100, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    images = torch.randint(0, 256, (1, 1, 40, 30), dtype=torch.uint8)
    found = extract_feature_maps(on_pixels(model), images, "0")
    figure = draw_feature_maps(found, images[0], title="$x^2$ " + "W" * 255)
    assert_tidy(figure)
    assert len(figure.axes[0].images) == 48
    assert render(figure).shape[1] <= 900
    strongest = int(found.maps[0].amax((1, 2)).argmax())
    assert [text.get_text() for text in texts(figure)][2].startswith(f"{strongest}: ")
    assert describe_feature_maps(found) == (
        "47 of 100 feature maps of 0, 38 x 28 positions, those with the largest values."
    )
    chosen = draw_feature_maps(found, images[0], channels=(99, 3))
    assert [text.get_text().split(":")[0] for text in texts(chosen)][2:] == ["99", "3"]
