"""Cluttered backgrounds, and distractors that belong to no class."""

import torch
from jaxtyping import Float32
from torch import Tensor

from visionlib.data.shapes.draws import Draws

Columns = Float32[Tensor, "1 1 s"]
Rows = Float32[Tensor, "1 s 1"]
Plane = Float32[Tensor, "n s s"]
Canvas = Float32[Tensor, "n 3 s s"]


def paint(canvas: Canvas, coverage: Plane, colour: Float32[Tensor, "n 3 1 1"]) -> Canvas:
    """Blend a colour over the canvas by its coverage."""
    return torch.lerp(canvas, colour.expand_as(canvas), coverage[:, None].expand_as(canvas))


def draw_background(draws: Draws, x: Columns, y: Rows, size: int) -> Canvas:
    """Draw a gradient between two colours, with soft blobs of others on it.

    Args:
        draws: the images' numbers.
        x: column of every pixel's centre, in pixels.
        y: row of every pixel's centre, in pixels.
        size: side of the images, in pixels.
    """
    angle = draws.uniform(0, 2 * torch.pi)
    slope = ((x - size / 2) * torch.cos(angle) + (y - size / 2) * torch.sin(angle)) / size + 0.5
    first, second = draws.colour(), draws.colour()
    canvas = paint(first.expand(-1, -1, size, size), slope.clamp(0, 1), second)
    for _ in range(3):
        radius = draws.uniform(0.15, 0.4) * size
        distance = torch.hypot(x - draws.uniform(0, size), y - draws.uniform(0, size))
        softness = (1.5 - distance / radius).clamp(0, 1) * draws.uniform(0.2, 0.8)
        canvas = paint(canvas, softness, draws.colour())
    return canvas


def draw_distractors(canvas: Canvas, draws: Draws, x: Columns, y: Rows, size: int) -> Canvas:
    """Draw strokes, arcs and dots over the canvas, each in some of the images; arguments as above."""
    for _ in range(2):
        canvas = draw_stroke(canvas, draws, x, y, size, presence=0.7)
    for _ in range(2):
        canvas = _draw_arc(canvas, draws, x, y, size)
    for _ in range(3):
        distance = torch.hypot(x - draws.uniform(0, size), y - draws.uniform(0, size))
        radius = draws.uniform(0.02, 0.05) * size
        canvas = paint(canvas, _cover(distance - radius) * _present(draws, 0.7), draws.colour())
    return canvas


def draw_stroke(canvas: Canvas, draws: Draws, x: Columns, y: Rows, size: int, presence: float) -> Canvas:
    """Draw a straight stroke with round ends in a fraction `presence` of the images."""
    start_x, start_y = draws.uniform(0, size), draws.uniform(0, size)
    angle, length = draws.uniform(0, 2 * torch.pi), draws.uniform(0.2, 0.7) * size
    along_x, along_y = torch.cos(angle), torch.sin(angle)
    along = ((x - start_x) * along_x + (y - start_y) * along_y).clamp(min=0)
    along = torch.minimum(along, length)
    distance = torch.hypot(x - start_x - along * along_x, y - start_y - along * along_y)
    width = draws.uniform(0.01, 0.03) * size
    return paint(canvas, _cover(distance - width) * _present(draws, presence), draws.colour())


def _draw_arc(canvas: Canvas, draws: Draws, x: Columns, y: Rows, size: int) -> Canvas:
    """Draw less than half of a thin circle, which belongs to no class."""
    from_x, from_y = x - draws.uniform(0, size), y - draws.uniform(0, size)
    angle = draws.uniform(0, 2 * torch.pi)
    radius, width = draws.uniform(0.1, 0.3) * size, draws.uniform(0.01, 0.03) * size
    distance = (torch.hypot(from_x, from_y) - radius).abs() - width
    beyond = 0.2 * radius - (from_x * torch.cos(angle) + from_y * torch.sin(angle))
    coverage = _cover(torch.maximum(distance, beyond)) * _present(draws, 0.7)
    return paint(canvas, coverage, draws.colour())


def _cover(distance_px: Plane) -> Plane:
    """Fraction of each pixel that is inside: an antialiased edge of one pixel."""
    return (0.5 - distance_px).clamp(0, 1)


def _present(draws: Draws, fraction: float) -> Float32[Tensor, "n 1 1"]:
    """1 in a fraction of the images, 0 in the others."""
    return (draws.uniform(0, 1) < fraction).to(torch.float32)
