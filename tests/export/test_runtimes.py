"""Python, Node and a browser give the answers of the network, from the same pixels."""

import runpy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.export.test_resampling import Pixels
from visionlib.inference import TrainedModel

pytest.importorskip("onnxruntime")

SIZES = [(24, 24), (1, 1), (36, 36), (48, 64), (64, 48), (180, 320), (333, 500), (640, 427), (20, 300), (300, 20)]
SIZES += [(37, 90), (481, 640)]


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(Path(__file__).parents[2] / "bench/export_runtimes.py"))


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Drawn pictures with edges, of a dozen sizes, and noise on half of them."""
    generator = np.random.default_rng(0)
    pictures = []
    for at, (height, width) in enumerate(SIZES):
        image = Image.new("RGB", (width, height), tuple(map(int, generator.integers(0, 256, 3))))
        pen = ImageDraw.Draw(image)
        for _ in range(6):
            ends = [float(value) for value in generator.random(4) * [width, height, width, height]]
            pen.line(ends, fill=tuple(map(int, generator.integers(0, 256, 3))), width=1 + width // 30)
        pixels = np.asarray(image)
        noise = generator.integers(0, 60, pixels.shape) if at % 2 else 0
        pictures.append((pixels // 2 + noise).astype(np.uint8))
    return pictures


def check(script: dict[str, Any], name: str, exported: Path, model: TrainedModel, pictures: list[Pixels]) -> None:
    if name != "Python":
        try:
            script["find_packages"]()
        except FileNotFoundError as error:
            pytest.skip(str(error))
    same, difference = script["compare"](
        script["RUNTIMES"][name](exported, pictures), script["answer_run"](model, pictures)
    )
    assert same == len(SIZES)
    assert difference < 1e-5


@pytest.mark.parametrize("name", ["Python", "Node"])
def test_a_runtime_answers_as_the_network(
    name: str, script: dict[str, Any], exported: Path, shrunk_model: TrainedModel, pictures: list[Pixels]
) -> None:
    check(script, name, exported, shrunk_model, pictures)


@pytest.mark.browser
def test_a_browser_answers_as_the_network(
    script: dict[str, Any], exported: Path, shrunk_model: TrainedModel, pictures: list[Pixels]
) -> None:
    # In a thread of its own: other tests keep a browser open, whose event loop runs in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(check, script, "Chromium", exported, shrunk_model, pictures).result()


def test_other_answers_are_counted(
    script: dict[str, Any], exported: Path, shrunk_model: TrainedModel, pictures: list[Pixels]
) -> None:
    """A picture that is resized in one step less, as by another filter, shows in the comparison."""
    expected = script["answer_run"](shrunk_model, pictures)
    other = [pixels[::2, ::2] if min(pixels.shape[:2]) > 100 else pixels for pixels in pictures]
    found = script["answer_python"](exported, [np.ascontiguousarray(pixels) for pixels in other])
    assert script["compare"](found, expected)[1] > 1e-4
    assert script["compare"](1 - expected, expected)[0] == 0
