"""The resampling is Pillow's, byte for byte, in torch and in the ONNX file."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from visionlib.data.decode import Resize
from visionlib.export.onnx_graph import trace_module
from visionlib.export.resampling import PillowResample, make_coefficients
from visionlib.export.runtime import open_session

Pixels = NDArray[np.uint8]
STRUCTURED = [(24, 24), (36, 36), (48, 64), (64, 48), (56, 56), (96, 48), (1, 1), (1, 50), (50, 1), (32, 32), (33, 32)]
"""Sizes that share factors with 32, for which many coefficients lie close to each other's roundings."""


def resize_by_pillow(pixels: Pixels, size: tuple[int, int], resize: Resize) -> Pixels:
    image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    width_height = (size[1], size[0])
    if resize == "whole":
        image = image.resize(width_height, Image.Resampling.LANCZOS)
    else:
        image = ImageOps.fit(image, width_height, Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(*size, -1)


def draw(generator: np.random.Generator, height: int, width: int, channels: int = 3) -> Pixels:
    """Noise of all contrasts; that of black and white runs into both ends of a byte."""
    noise = generator.integers(0, 256, (height, width, channels), dtype=np.uint8)
    kind = generator.integers(3)
    if kind == 0:
        return noise
    return (noise > 127).astype(np.uint8) * 255 if kind == 1 else noise // 16 + np.uint8(100)


def resize_by_module(pixels: Pixels, size: tuple[int, int], resize: Resize) -> Pixels:
    resized = PillowResample(size, resize)(torch.from_numpy(pixels)[None])[0].permute(1, 2, 0)
    assert torch.equal(resized, resized.round())
    pixels_again: Pixels = resized.numpy().astype(np.uint8)
    return pixels_again


@pytest.mark.parametrize("resize", ["crop", "whole"])
@pytest.mark.parametrize("largest", [12, 90, 300, 700])
def test_every_byte_is_pillows(resize: Resize, largest: int) -> None:
    generator = np.random.default_rng(largest)
    for at in range(50):
        height, width = map(int, generator.integers(1, largest + 1, 2))
        sides = generator.integers(1, 65, 2) if at % 2 else (32, 32)
        size = (int(sides[0]), int(sides[1]))
        pixels = draw(generator, height, width, channels=1 if at % 5 == 0 else 3)
        expected = resize_by_pillow(pixels, size, resize)
        assert np.array_equal(resize_by_module(pixels, size, resize), expected), (height, width, size)


@pytest.mark.parametrize(("resize", "size"), [("crop", (20, 31)), ("whole", (32, 32))])
def test_every_byte_of_the_traced_graph_is_pillows(resize: Resize, size: tuple[int, int]) -> None:
    """Only the runtime shows a constant that the trace has rounded to float32."""
    pytest.importorskip("onnxscript")
    session = open_session(trace_module(PillowResample(size, resize).eval(), 3, ["resized"]))
    generator = np.random.default_rng(1)
    random = [tuple(map(int, generator.integers(1, 400, 2))) for _ in range(60)]
    for height, width in [*STRUCTURED, *random]:
        pixels = draw(generator, height, width)
        found: Any = session.run(None, {"images": pixels[None]})[0]
        expected = resize_by_pillow(pixels, size, resize)
        assert np.array_equal(found[0].transpose(1, 2, 0), expected), (height, width)


def test_coefficients_of_half_the_size_are_those_of_the_formula() -> None:
    """Solved by hand for the middle of a long axis: the filter at (i - 0.5) / 2, over the sum."""
    rows = make_coefficients(40, torch.tensor(0.0).double(), torch.tensor(40.0).double(), 20)
    at = (np.arange(12) - 5.5) / 2
    weights = np.sinc(at) * np.sinc(at / 3)
    assert rows[10, 15:27].tolist() == (weights / weights.sum() * 2**22).round().tolist()
    assert rows[10].count_nonzero() == 12


def test_a_picture_of_the_size_is_left_as_it_is() -> None:
    pixels = draw(np.random.default_rng(0), 32, 32)
    assert np.array_equal(resize_by_module(pixels, (32, 32), "crop"), pixels)
