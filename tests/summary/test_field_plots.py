"""Plots show the numbers of the records, for any network."""

from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError, ModelError
from visionlib.models import build_model
from visionlib.summary import summarize
from visionlib.summary.effective import effective_field
from visionlib.summary.field_plots import draw_block, draw_effective, draw_growth


def texts(figure: Figure) -> str:
    figure.draw_without_rendering()
    in_axes = [text.get_text() for axes in figure.axes for text in [*axes.texts, axes.title, axes._left_title]]  # type: ignore[attr-defined]
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join([*in_axes, *labels])


def test_growing_fields_are_those_of_the_table() -> None:
    table = summarize(build_model("resnet18"), name="resnet18")
    figure = draw_growth(table, torch.zeros(3, 32, 32, dtype=torch.uint8))
    assert "conv1: 3 x 3" in texts(figure)
    assert "layer4.1.conv2: 109 x 109" in texts(figure)
    boxes = [patch for patch in figure.axes[0].patches if str(patch.get_label()).startswith("layer4.1")]
    # Around the middle of the image, whose pixels reach from -0.5 to 31.5.
    assert boxes[0].get_bbox().bounds == (-39.0, -39.0, 109.0, 109.0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [(1, 20, 31), (3, 40, 24)])
def test_images_of_any_shape(size: tuple[int, int, int]) -> None:
    table = summarize(nn.Sequential(nn.Conv2d(size[0], 2, (3, 5)), nn.Conv2d(2, 2, 3)), size)
    assert "1: 5 x 7" in texts(draw_growth(table))
    assert "1: 5 x 7" in texts(draw_growth(table, torch.zeros(size, dtype=torch.uint8)))


def test_a_network_without_local_fields_is_an_error() -> None:
    table = summarize(nn.Sequential(nn.Flatten(), nn.Linear(27, 2)), (3, 3, 3))
    with pytest.raises(ModelError, match="has no layer with a local receptive field"):
        draw_growth(table)


def test_a_block_with_its_shortcut() -> None:
    shown = texts(draw_block(summarize(build_model("resnet18"), name="resnet18"), "layer2.0"))
    assert "conv1 (Conv2d)\n128 x 16 x 16, sees 13 x 13" in shown
    assert "shortcut.0 (Conv2d)\n128 x 16 x 16, sees 11 x 11" in shown
    assert "relu2 (ReLU)\n128 x 16 x 16, sees 17 x 17" in shown
    assert "identity" in texts(draw_block(summarize(build_model("resnet18")), "layer1.0"))
    with pytest.raises(ModelError, match="stem: is no block of this model"):
        draw_block(summarize(build_model("resnet18")), "stem")


def test_effective_fields_side_by_side() -> None:
    field = effective_field(nn.Sequential(nn.Conv2d(3, 2, 3, padding=1)), torch.rand(2, 3, 12, 12))
    figure = draw_effective([("before", field), ("after", field)], torch.zeros(3, 12, 12, dtype=torch.uint8))
    assert len(figure.axes) == 2
    assert "50%" in texts(figure)
    assert "before" in texts(figure)


@pytest.mark.parametrize("name", ["a.png", "a.SVG"])
def test_the_same_picture_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    table = summarize(build_model("resnet20"))
    contents = []
    for _ in range(2):
        save_picture(draw_growth(table), tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert contents[0].startswith(b"\x89PNG" if name.endswith("png") else b"<?xml")


def test_what_a_picture_cannot_be_saved_as_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"a\.gif: is no picture by its name; end it in \.png or \.svg"):
        check_picture_path(tmp_path / "a.gif")
    with pytest.raises(ConfigError, match="there is no folder"):
        check_picture_path(tmp_path / "absent" / "a.png")
