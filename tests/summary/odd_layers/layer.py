"""Odd layers: small modules of every kind, to compare what the table says of them with what changing pixels shows.

Every layer takes four channels, of which two see a single pixel and two a window, and keeps the batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tests.summary.networks import Wired


@dataclass(frozen=True)
class OddLayer:
    """A layer, and how the truth about it is found.

    Attributes:
        build: makes the layer.
        size: channels and sides of the image.
        margin: for the field on an image without border: pixels by which the image grows on every side, a multiple of
            all jumps. 0 for layers that belong to an image size, such as a permutation of pixels: then the first
            convolution reads beyond the border, and of the convolution after the layer only what it sees is compared.
            None for layers that belong to an image size and read beyond the border: only what they see is compared.
        as_if: the layer that it counts as by the documentation, if not as itself.
        convention: that statement.
    """

    build: Callable[[], nn.Module]
    size: tuple[int, ...] = (2, 10, 12)
    margin: int | None = 6
    as_if: Callable[[], nn.Module] | None = None
    convention: str = ""


def odd(
    function: Callable[..., Any], *, size: tuple[int, ...] = (2, 10, 12), margin: int | None = 6, **parts: Any
) -> OddLayer:
    """A layer of a function and the modules that it uses, given as functions that make them."""
    return OddLayer(lambda: Wired(function, **{name: make() for name, make in parts.items()}), size, margin)


def module(build: Callable[[], nn.Module], *, size: tuple[int, ...] = (2, 10, 12), margin: int | None = 6) -> OddLayer:
    return OddLayer(build, size, margin)


def treated_as(layer: OddLayer, as_if: Callable[..., Any], convention: str, **parts: Any) -> OddLayer:
    return OddLayer(
        layer.build,
        layer.size,
        layer.margin,
        lambda: Wired(as_if, **{name: make() for name, make in parts.items()}),
        convention,
    )


class Weight(nn.Module):
    """A parameter; called for its value."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))

    def forward(self) -> Tensor:
        return self.weight


def weight(*shape: int) -> Callable[[], nn.Module]:
    return lambda: Weight(*shape)


def conv(in_width: int = 4, width: int = 4, kernel: Any = 3, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv2d(in_width, width, kernel, **settings)


def conv1d(in_width: int = 4, width: int = 4, kernel: int = 3, **settings: Any) -> Callable[[], nn.Module]:
    return lambda: nn.Conv1d(in_width, width, kernel, **settings)


def linear(in_width: int = 4, width: int = 4) -> Callable[[], nn.Module]:
    return lambda: nn.Linear(in_width, width)


def tent(x: Tensor, channels: int) -> Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=x.dtype)
    return (row[:, None] * row).expand(channels, 1, 4, 4) / 64


def by_windows(x: Tensor, mix: Callable[[Tensor], Tensor], side: int = 4) -> Tensor:
    """Apply a function to windows as sequences (windows, side * side, channels)."""
    n, c, h, w = x.shape
    cut = x.view(n, c, h // side, side, w // side, side).permute(0, 2, 4, 3, 5, 1).reshape(-1, side * side, c)
    return mix(cut).view(n, h // side, w // side, side, side, -1).permute(0, 5, 1, 3, 2, 4).reshape(n, -1, h, w)
