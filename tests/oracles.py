"""Slow, obvious versions to compare with."""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from visionlib.summary.positive_twin import run_with_positive_weights


def field_by_gradient(model: nn.Module, input_size: tuple[int, ...], around: int = 4) -> list[tuple[int, ...] | None]:
    """Measure the largest field of every module call by gradients, at positions in the middle of a large image.

    Args:
        model: any module that takes one image.
        input_size: large enough that no field leaves the border.
        around: how many positions next to each other are tried, on the diagonal and beside it, so that all phases are
            among them.
    Returns:
        Pixels per axis, or None for an output that has no positions of its own.
    """
    log, image = run_with_positive_weights(model, input_size)
    axes = len(input_size) - 1
    fields: list[tuple[int, ...] | None] = []
    for call in log.calls:
        output = call.output
        if output is None or output.ndim != axes + 2 or not output.requires_grad:
            fields.append(None)
            continue
        largest = [0] * axes
        for step, aside in itertools.product(range(around), range(2)):
            offsets = [step, *[step + aside] * (axes - 1)]
            places = [min(size // 2 + offset, size - 1) for size, offset in zip(output.shape[2:], offsets, strict=True)]
            unit = output[(slice(None), slice(None), *places)]
            weights = torch.linspace(0.5, 1.5, unit.numel(), dtype=torch.float64).view(unit.shape)
            (gradient,) = torch.autograd.grad((unit * weights).sum(), image, retain_graph=True)
            for axis in range(axes):
                others = [dim for dim in range(image.ndim) if dim != axis + 2]
                lines = gradient.abs().amax(others).nonzero().flatten().tolist()
                largest[axis] = max(largest[axis], lines[-1] - lines[0] + 1 if lines else 0)
        fields.append(tuple(largest))
    return fields


@dataclass(frozen=True)
class Spans:
    """First and last pixel along every image axis on which each position of an output depends.

    Attributes:
        low: of shape (image axes, *positions); the side of the image where a position depends on no pixel.
        high: likewise; -1 where a position depends on no pixel.
    """

    low: Tensor
    high: Tensor

    @property
    def sizes(self) -> Tensor:
        """Pixels from the first to the last; 0 where a position depends on no pixel."""
        return (self.high - self.low + 1).clamp(min=0)


@torch.no_grad()
def spans_by_changing_pixels(
    run: Callable[[Tensor], list[Tensor]], image_size: tuple[int, ...], *, by_lines: bool = False, chunk: int = 64
) -> list[Spans]:
    """Change all pixels of an image, one at a time, and look which positions of the outputs change.

    A small change shows what saturates, large ones of both signs show what is compared, as by a maximum. A position
    depends on a pixel if any of them shows it.

    Args:
        run: a network in double precision; maps images (n, c, *sides) to outputs (n, channels, *positions).
        image_size: channels and sides.
        by_lines: change all pixels of a row, a column or a plane at once, which takes fewer runs.
        chunk: images in one run.
    Returns:
        The spans of each output, over its channels.
    """
    channels, *sides = image_size
    axes = len(sides)
    pixels: list[tuple[int | slice, ...]] = list(itertools.product(*map(range, sides)))
    if by_lines:
        pixels = [
            tuple(at if other == axis else slice(None) for other in range(axes))
            for axis, side in enumerate(sides)
            for at in range(side)
        ]
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, channels, *sides, generator=generator, dtype=torch.float64)
    direction = torch.randn(channels, *sides, generator=generator, dtype=torch.float64)
    changed: list[Tensor] | None = None
    for scale in (1.0, 1000.0, -1000.0):
        parts = []
        for start in range(0, len(pixels), chunk):
            some = pixels[start : start + chunk]
            images = image.repeat(len(some) + 1, *[1] * (axes + 1))
            for number, pixel in enumerate(some):
                images[(number + 1, slice(None), *pixel)] += scale * direction[(slice(None), *pixel)]
            parts.append([_differs_from_first(output) for output in run(images)])
        found = [torch.cat(chunks) for chunks in zip(*parts, strict=True)]
        changed = found if changed is None else [a | b for a, b in zip(changed, found, strict=True)]
    assert changed is not None
    if by_lines:
        return [_spans(torch.split(part, sides)) for part in changed]
    others = [[other for other in range(axes) if other != axis] for axis in range(axes)]
    grids = [part.view(*sides, *part.shape[1:]) for part in changed]
    return [_spans([grid.any(dims) if dims else grid for dims in others]) for grid in grids]


def _differs_from_first(output: Tensor) -> Tensor:
    """Which positions of all images but the first differ from it, in any channel, by more than rounding."""
    positions = output if output.ndim > 2 else output[..., None]  # features without positions are those of one
    difference = (positions[1:] - positions[:1]).abs().amax(1)
    return difference > 1e-9 * output[:1].abs().amax().clamp(min=1e-3)


def _spans(lines: Sequence[Tensor]) -> Spans:
    """Spans of positions; per axis of the image the lines that change them, of shape (side, *positions)."""
    lows, highs = [], []
    for changed in lines:
        side = len(changed)
        is_empty = ~changed.any(0)
        lows.append(changed.long().argmax(0).masked_fill(is_empty, side))
        highs.append((side - 1 - changed.flip(0).long().argmax(0)).masked_fill(is_empty, -1))
    return Spans(torch.stack(lows), torch.stack(highs))


def gini_index(values: Sequence[float]) -> float:
    """The Gini index of Chalasani et al. 2020, arXiv:1810.06583, section 3.1, term by term."""
    ordered = sorted(abs(value) for value in values)
    total, d = sum(ordered), len(ordered)
    return 1 - 2 * sum(value / total * (d - k + 0.5) / d for k, value in enumerate(ordered, 1))


def evidence_entropy(values: Sequence[float]) -> float:
    """The complexity of Bhatt et al. 2020, arXiv:2005.00631, definition 3, feature by feature."""
    total = sum(abs(value) for value in values)
    return -sum(abs(value) / total * math.log(abs(value) / total) for value in values if value)


def max_sensitivity(explain: Callable[[Tensor], Tensor], image: Tensor, noises: Iterable[Tensor]) -> float:
    """The maximum sensitivity of Yeh et al. 2019, arXiv:1901.09392, for one image and given noises, relative."""
    before = explain(image).flatten().tolist()
    largest = 0.0
    for noise in noises:
        after = explain(image + noise).flatten().tolist()
        largest = max(largest, math.sqrt(sum((a - b) ** 2 for a, b in zip(after, before, strict=True))))
    return largest / math.sqrt(sum(value**2 for value in before))


def path_integral(model: nn.Module, image: Tensor, label: int, steps: int) -> Tensor:
    """Integrated gradients of Sundararajan et al. 2017, arXiv:1703.01365, of one image, from 0, at midpoints."""
    total = torch.zeros_like(image)
    for step in range(steps):
        point = (image * ((step + 0.5) / steps)).detach().requires_grad_()
        total += torch.autograd.grad(model(point[None])[0, label], point)[0]
    return image * total / steps
