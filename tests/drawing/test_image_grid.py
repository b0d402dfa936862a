"""Pictures of images: every pixel is there, nothing overlaps, whatever the images and their names."""

import io
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from visionlib.drawing.image_grid import draw_images
from visionlib.errors import ConfigError

HOSTILE = [
    "W" * 255,
    "שלום עולם " * 20,
    "$x^2$ \\frac{",
    'a "quoted" $name',
    "two\nlines\x07",
    "猫" * 60,
    "<b>&amp;",
    "\u202edrawkcab",
]


def render(figure: Figure) -> NDArray[np.uint8]:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi)
    return np.asarray(Image.open(file).convert("RGB"))


def texts(figure: Figure) -> list[Text]:
    return [text for axes in figure.axes for text in axes.texts if text.get_text()]


def boxes(figure: Figure) -> list[Any]:
    figure.draw_without_rendering()
    return [text.get_window_extent() for text in texts(figure)]


def assert_tidy(figure: Figure) -> None:
    """No writing over other writing, over an image, or beyond the picture."""
    written = boxes(figure)
    pictures = [image.get_window_extent() for axes in figure.axes for image in axes.images]
    width, height = figure.get_size_inches() * figure.dpi
    for box in [*written, *pictures]:
        assert box.x0 >= 0
        assert box.y0 >= -0.5
        assert box.x1 <= width + 0.5
        assert box.y1 <= height + 0.5
    for one, other in itertools.combinations(written, 2):
        assert not (one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1)
    for one, other in itertools.product(written, pictures):
        assert not (
            one.x0 < other.x1 - 0.5 and other.x0 < one.x1 - 0.5 and one.y0 < other.y1 - 0.5 and other.y0 < one.y1 - 0.5
        )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width"), [(28, 28), (32, 32), (48, 40), (64, 64), (96, 96)])
def test_every_pixel_is_a_square_of_the_picture(height: int, width: int, channels: int) -> None:
    images = torch.randint(0, 256, (7, channels, height, width), dtype=torch.uint8)
    figure = draw_images(images, [f"image {n}" for n in range(7)], title="seven images", headings={0: "five", 5: "two"})
    picture = render(figure)
    assert picture.shape[1] <= 900
    found = 0
    for shown, image in zip(figure.axes[0].images, images, strict=True):
        left, right, low, up = shown.get_extent()
        block = picture[round(up) : round(low), round(left) : round(right)]
        scale = block.shape[0] // height
        assert block.shape[:2] == (scale * height, scale * width)
        raw = image.expand(3, -1, -1).permute(1, 2, 0).numpy()
        assert np.array_equal(block, raw.repeat(scale, 0).repeat(scale, 1))
        found += 1
    assert found == 7
    assert_tidy(figure)


def test_nothing_to_show_is_said() -> None:
    figure = draw_images(torch.zeros(0, 3, 32, 32, dtype=torch.uint8), [])
    assert [text.get_text() for text in texts(figure)] == ["No images."]
    assert render(figure).shape[0] > 10


def test_captions_stand_below_their_images_in_order() -> None:
    figure = draw_images(torch.zeros(8, 1, 28, 28, dtype=torch.uint8), [f"number {n}" for n in range(8)], columns=3)
    figure.draw_without_rendering()
    captions = {text.get_text(): text.get_window_extent() for text in texts(figure)}
    for number, image in enumerate(figure.axes[0].images):
        box, caption = image.get_window_extent(), captions[f"number {number}"]
        assert caption.y1 <= box.y0
        assert box.y0 - caption.y1 < 20
        assert abs(caption.x0 - box.x0) < 3
    rows = {round(image.get_window_extent().y0) for image in figure.axes[0].images}
    assert len(rows) == 3


def test_a_heading_begins_a_row() -> None:
    figure = draw_images(torch.zeros(5, 3, 32, 32, dtype=torch.uint8), [""] * 5, headings={0: "first", 2: "second"})
    tops = [image.get_extent()[3] for image in figure.axes[0].images]
    assert tops[0] == tops[1] < tops[2] == tops[3] == tops[4]
    assert figure.axes[0].images[2].get_extent()[0] == figure.axes[0].images[0].get_extent()[0]
    assert [text.get_text() for text in texts(figure)] == ["first", "second"]


@pytest.mark.parametrize("size", [28, 96])
def test_hostile_captions_stay_in_their_places(size: int) -> None:
    images = torch.zeros(len(HOSTILE), 3, size, size, dtype=torch.uint8)
    captions = [f"said {' '.join(name.split())} 97.1%\nis cat" for name in HOSTILE]
    figure = draw_images(images, captions, title=" ".join(HOSTILE), headings={0: HOSTILE[0], 3: HOSTILE[2]})
    assert_tidy(figure)
    for line in (text.get_text() for text in texts(figure) if text.get_text().startswith("said")):
        assert line.endswith("97.1%")


def test_what_is_no_picture_is_refused() -> None:
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="captions: there are 1 for 2 images; give one for each"):
        draw_images(images, ["one"])
    with pytest.raises(ConfigError, match="images: 1,001 are too many for a picture; draw at most 1,000"):
        draw_images(torch.zeros(1001, 1, 1, 1, dtype=torch.uint8), [""] * 1001)
    with pytest.raises(ConfigError, match="columns: 0 is out of range"):
        draw_images(images, ["", ""], columns=0)
    with pytest.raises(ValueError, match="one or three channels: these have 2"):
        draw_images(images[:, :2], ["", ""])
    with pytest.raises(TypeError):
        draw_images(images.float(), ["", ""])  # a normalized image is no picture
