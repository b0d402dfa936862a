"""`shapes`: ten classes of small objects in clutter, drawn by code, with the object's mask for every image."""

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.data.random import Stream, random_uniform
from visionlib.data.shapes.draws import Draws, draw_band
from visionlib.data.shapes.outlines import OUTLINES
from visionlib.data.shapes.scenery import Columns, Rows, draw_background, draw_distractors, draw_stroke, paint

_CHUNK = 125
"""Images drawn at a time, so that a plane of them stays in the CPU's cache."""


def load_shapes(*, image_size: int = 32, n_train: int = 10_000, n_test: int = 2_000, seed: int = 0) -> Dataset:
    """Draw the whole set: an independent training and test split.

    Args:
        image_size: side in pixels, at least 16.
        n_train: training images, at least 1.
        n_test: test images, at least 1.
        seed: each seed gives another set.
    Raises:
        ValueError: if an argument is too small.
    """
    splits = {
        name: draw_shapes(n, seed=seed, image_size=image_size, part=part)
        for part, (name, n) in enumerate((("train", n_train), ("test", n_test)))
    }
    return Dataset("shapes", splits, tuple(OUTLINES))


def draw_shapes(n: int, *, seed: int = 0, image_size: int = 32, part: int = 0) -> ImageSplit:
    """Draw `n` images; each is a pure function of (seed, part, its index, image_size), so fewer are the first of more.

    Classes are balanced: each appears once among ten images from a multiple of ten on, in random order.

    Args:
        n: number of images, at least 1.
        seed: each seed gives another set.
        image_size: side in pixels, at least 16; all lengths scale with it.
        part: images of different parts are independent: 0 is training, 1 is test.
    Raises:
        ValueError: if `n` or `image_size` is too small.
    """
    if n < 1 or image_size < 16:
        raise ValueError(f"n must be at least 1 and image_size at least 16: got {n} and {image_size}")
    index = torch.arange(n)
    labels = _draw_labels(n, seed, part)
    band = draw_band(seed, part, image_size)
    drawn = [
        _draw_chunk(Draws(seed, part, some, band), chosen, image_size)
        for some, chosen in zip(torch.split(index, _CHUNK), torch.split(labels, _CHUNK), strict=True)
    ]
    images, masks = (torch.cat(pieces) for pieces in zip(*drawn, strict=True))
    return ImageSplit(images, labels, tuple(OUTLINES), index, masks)


def _draw_labels(n: int, seed: int, part: int) -> Int64[Tensor, "n"]:
    """Shuffle the classes anew for every ten images."""
    rounds = -(-n // len(OUTLINES))
    keys = random_uniform(seed, part, torch.arange(rounds * len(OUTLINES)), Stream.SHAPES_LABELS)
    return keys.view(rounds, -1).argsort(dim=1, stable=True).flatten()[:n]


def _draw_chunk(
    draws: Draws, labels: Int64[Tensor, "n"], size: int
) -> tuple[UInt8[Tensor, "n 3 s s"], Bool[Tensor, "n s s"]]:
    """Draw background, distractors and object, in that order, a stroke across some objects, and noise."""
    centres = torch.arange(size) + 0.5
    x, y = centres[None, None, :], centres[None, :, None]
    canvas = draw_background(draws, x, y, size)
    canvas = draw_distractors(canvas, draws, x, y, size)
    distance_px = _object_distance(draws, labels, x, y, size)
    coverage = (0.5 - distance_px).clamp(0, 1)
    canvas = paint(canvas, coverage, _object_colour(draws, canvas, coverage))
    canvas = draw_stroke(canvas, draws, x, y, size, presence=0.3)
    canvas = canvas + draws.grain(size) * draws.uniform(0.02, 0.1)[:, None]
    return (canvas.clamp(0, 1) * 255).round().to(torch.uint8), coverage >= 0.5


def _object_distance(
    draws: Draws, labels: Int64[Tensor, "n"], x: Columns, y: Rows, size: int
) -> Float32[Tensor, "n s s"]:
    """Place and rotate every object within the image; return the distance of each pixel from its outline, in pixels."""
    radius = draws.uniform(0.155, 0.31) * size
    shift_x, shift_y = (x - radius - draws.uniform(0, 1) * (size - 2 * radius) for x in (x, y))
    angle = draws.uniform(0, 2 * torch.pi)
    across = (shift_x * torch.cos(angle) + shift_y * torch.sin(angle)) / radius
    down = (shift_y * torch.cos(angle) - shift_x * torch.sin(angle)) / radius
    distance = torch.empty_like(across)
    for label, outline in enumerate(OUTLINES.values()):
        chosen = labels == label
        distance[chosen] = outline(across[chosen], down[chosen])
    return distance * radius


def _object_colour(
    draws: Draws, canvas: Float32[Tensor, "n 3 s s"], coverage: Float32[Tensor, "n s s"]
) -> Float32[Tensor, "n 3 1 1"]:
    """Choose a colour at a random distance from the covered background: objects differ in contrast."""
    weights = coverage[:, None]
    beneath = (canvas * weights).sum((2, 3), keepdim=True) / weights.sum((2, 3), keepdim=True)
    away = draws.colour() - beneath
    away = away / away.norm(dim=1, keepdim=True).clamp(min=1e-3)
    colour: Tensor = beneath + away * draws.uniform(0.27, 0.95)[:, None]
    return colour.clamp(0, 1)
