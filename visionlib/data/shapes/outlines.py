"""Signed distances to the ten outlines, in units of the object's radius: below 0 inside, above 0 outside.

Every function takes coordinates in the object's own frame, where its outline fits into the unit circle. Distances are
exact, or close enough near the outline for an antialiased edge of one pixel.
Source: the constructions of Quilez, "2D distance functions", re-derived.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float32
from torch import Tensor

Plane = Float32[Tensor, "n h w"]
Outline = Callable[[Plane, Plane], Plane]


def circle(x: Plane, y: Plane) -> Plane:
    """The unit circle."""
    return torch.hypot(x, y) - 1


def ellipse(x: Plane, y: Plane) -> Plane:
    """Half-axes 1 and 0.62; the distance is first-order, exact on the outline."""
    a, b = 1.0, 0.62
    level = torch.hypot(x / a, y / b)
    slope = torch.hypot(x / a**2, y / b**2)
    return level * (level - 1) / slope.clamp(min=1e-6)


def ring(x: Plane, y: Plane) -> Plane:
    """Between the unit circle and one of radius 0.56."""
    return (torch.hypot(x, y) - 0.78).abs() - 0.22


def crescent(x: Plane, y: Plane) -> Plane:
    """The unit circle without a circle of radius 0.8 that lies to the right."""
    return torch.maximum(torch.hypot(x, y) - 1, 0.8 - torch.hypot(x - 0.5, y))


def polygon(corners: int) -> Outline:
    """A regular polygon with its corners on the unit circle."""
    half = math.pi / corners

    def outline(x: Plane, y: Plane) -> Plane:
        angle = torch.atan2(y, x)
        # Fold the plane into the wedge around one side.
        folded = torch.remainder(angle + half, 2 * half) - half
        radius = torch.hypot(x, y)
        return radius * torch.cos(folded) - math.cos(half)

    return outline


def star(x: Plane, y: Plane) -> Plane:
    """Five points on the unit circle, five notches at 0.45 of it."""
    half = math.pi / 5
    radius = torch.hypot(x, y)
    folded = (torch.remainder(torch.atan2(y, x) + half, 2 * half) - half).abs()
    u, v = radius * torch.cos(folded), radius * torch.sin(folded)
    # The line from the point (1, 0) to the notch, and its outer normal.
    notch_u, notch_v = 0.45 * math.cos(half), 0.45 * math.sin(half)
    length = math.hypot(1 - notch_u, notch_v)
    return ((u - 1) * notch_v + v * (1 - notch_u)) / length


def cross(x: Plane, y: Plane) -> Plane:
    """Two bars of half-width 0.28 across each other."""
    long, short = torch.maximum(x.abs(), y.abs()), torch.minimum(x.abs(), y.abs())
    return torch.maximum(long - 0.95, short - 0.28)


OUTLINES: Mapping[str, Outline] = MappingProxyType(
    {
        "circle": circle,
        "crescent": crescent,
        "cross": cross,
        "ellipse": ellipse,
        "hexagon": polygon(6),
        "pentagon": polygon(5),
        "ring": ring,
        "square": polygon(4),
        "star": star,
        "triangle": polygon(3),
    }
)
"""The classes, in alphabetical order, as every container sorts them."""
