from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.drawing.test_image_grid import assert_tidy, render, texts
from visionlib.errors import ModelError
from visionlib.explanation import read_filters
from visionlib.explanation.filter_picture import describe_filters, draw_filters
from visionlib.models import build_model


def coloured() -> nn.Conv2d:
    conv = nn.Conv2d(3, 4, 2, bias=False)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[0, 0, 0, 0] = 2.0  # red, at the upper left
        conv.weight[1, 2, 1, 1] = -0.5  # the opposite of blue, at the lower right
        conv.weight[2] = 3.0
    return conv


def test_filters_are_a_copy_of_the_first_convolutions_weights() -> None:
    model: Any = build_model("resnet20", classes=10, channels=3)
    found = read_filters(model)
    assert found.layer == "conv1"
    assert torch.equal(found.weights, model.conv1.weight)
    found.weights.zero_()
    assert bool(model.conv1.weight.any())
    assert len(read_filters(nn.DataParallel(model), "layer2.0.conv1")) == 32


def test_figures_by_hand() -> None:
    told = read_filters(nn.Sequential(coloured())).to_dict()
    assert [told[name] for name in ("layer", "filters", "channels", "size", "groups")] == ["0", 4, 3, [2, 2], 1]
    assert [entry["norm"] for entry in told["per_filter"]] == pytest.approx([2.0, 0.5, 3 * 12**0.5, 0.0])
    assert told["per_filter"][1]["sums"] == [0.0, 0.0, -0.5]


def test_colours_are_the_weights_and_middle_grey_is_zero() -> None:
    figure = draw_filters(read_filters(nn.Sequential(coloured())))
    assert_tidy(figure)
    red, yellow, white, nothing = (np.asarray(image.get_array()) for image in figure.axes[0].images)
    assert red[0, 0].tolist() == [255, 128, 128]
    assert red[1, 1].tolist() == [128, 128, 128]
    assert yellow[1, 1].tolist() == [128, 128, 0]
    assert (white == 255).all()
    assert (nothing == 128).all()
    assert [text.get_text() for text in texts(figure)][1:3] == ["0: 2", "1: 0.5"]


@pytest.mark.parametrize(
    ("channels", "told"), [(1, "Bright is positive"), (3, "Colours are"), (8, "length of the weights")]
)
def test_filters_on_any_number_of_channels_can_be_drawn(channels: int, told: str) -> None:
    found = read_filters(nn.Sequential(nn.Conv2d(channels, 130, (3, 5))))
    figure = draw_filters(found)
    assert_tidy(figure)
    assert render(figure).shape[1] <= 900
    assert len(figure.axes[0].images) == 128
    assert told in describe_filters(found)
    assert "the first 128 of 130, 3 x 5 pixels" in describe_filters(found)
    if channels == 8:
        shown = np.asarray(figure.axes[0].images[5].get_array()).astype(int).sum(2)
        assert shown.argmax() == found.weights[5].norm(dim=0).argmax()


def test_what_has_no_filters_is_told() -> None:
    with pytest.raises(ModelError, match="Linear: has no convolution over rows and columns"):
        read_filters(nn.Linear(3, 2))
    model: Any = build_model("resnet20", classes=10, channels=3)
    with pytest.raises(ModelError, match=r"layer 'conv2': is no convolution .* such as conv1"):
        read_filters(model, "conv2")
    with pytest.raises(ModelError, match="layer 'linear': is no convolution over rows and columns"):
        read_filters(model, "linear")
    model.conv1.weight.data[0, 0, 0, 0] = torch.inf
    with pytest.raises(ModelError, match="layer 'conv1': has weights that are not finite"):
        read_filters(model)
