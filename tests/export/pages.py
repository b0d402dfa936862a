"""Networks whose answers depend on the picture, without a training; and pages that classify."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import nn

from visionlib.inference.trained_model import TrainedModel
from visionlib.models import build_model

if TYPE_CHECKING:
    from playwright.sync_api import Page

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def enliven(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw statistics and weights of the normalizations, so that folding them wrongly shows, and spread the logits."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn(module.num_features, generator=generator) * 0.1
            module.running_var = 0.5 + torch.rand(module.num_features, generator=generator)
            module.weight.data = 0.6 + 0.8 * torch.rand(module.num_features, generator=generator)
            module.bias.data = 0.1 * torch.randn(module.num_features, generator=generator)
    return network.eval()


def make_model(name: str = "resnet20", *, channels: int = 3, **fields: Any) -> TrainedModel:
    """Make a model of the registry whose answers depend on the picture."""
    network = enliven(build_model(name, classes=len(CLASSES), channels=channels))
    own: dict[str, Any] = {"classes": CLASSES, "image_size": (32, 32), "temperature": 1.7, **fields}
    return spread(TrainedModel(network, (0.49, 0.48, 0.44)[:channels], (0.25, 0.24, 0.26)[:channels], **own))


def spread(model: TrainedModel) -> TrainedModel:
    """Choose the temperature that gives the logits a deviation of 2, as those of a trained network."""
    assert model.image_size is not None
    pixels = torch.randint(0, 256, (16, model.channels, *model.image_size), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        logits = model.network(model.prepare(pixels.to(torch.uint8)))
    return replace(model, temperature=float(logits.std() / 2))


def draw_picture(width: int, height: int, seed: int, mode: str = "RGB") -> Image.Image:
    """Draw soft shapes and noise, which together are hard to resize."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (4, 5, 3), dtype=np.uint8)).resize((width, height))
    noise = Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))
    picture = Image.blend(coarse.filter(ImageFilter.GaussianBlur(1)), noise, float(random.uniform(0.05, 0.5)))
    return picture.convert(mode)


def open_page(page: "Page", path: Path) -> None:
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html[data-is-ready]", state="attached")


def classify(page: "Page", picture: Path) -> dict[str, Any]:
    """Give a picture to an open page, and return its answer."""
    before = int(page.evaluate("document.documentElement.dataset.answers || 0"))
    page.set_input_files("#file", picture)
    page.wait_for_selector(f"html[data-answers='{before + 1}']", state="attached")
    return read_answer(page)


def read_answer(page: "Page") -> dict[str, Any]:
    width, height, values = page.locator("#pixels").evaluate(
        "c => [c.width, c.height, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    stored = page.locator("#stage").get_attribute("data-map")
    return {
        "probabilities": json.loads(page.locator("#answer").get_attribute("data-probabilities") or "null"),
        "pixels": np.array(values, dtype=np.uint8).reshape(height, width, 4)[:, :, :3],
        "map": None if stored is None else np.array(json.loads(stored)),
        "label": page.locator("#stage").get_attribute("data-label"),
    }
