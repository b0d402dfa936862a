"""Sampling at fixed points (`grid_sample` with a constant grid): every output reads the pixels around its own point.

The points need not lie in rows and columns, as after a rotation. So the windows are not separable: each output has its
own list of pixels, with the weights of the interpolation.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import NOTHING, SEEN_LOW, Dimension, ReceptiveFields, compact
from visionlib.summary.rules.reductions import depend_on_all

_BILINEAR, _NEAREST, _BICUBIC = range(3)
_ZEROS, _BORDER, _REFLECTION = range(3)
_LONGEST_PERIOD = 64
_ROUNDING = 1e-4
"""In pixels: grids are in single precision, and a point this close to a pixel lies on it."""


@dataclass(frozen=True, eq=False)
class _Taps:
    """The pixels that the points read along one dimension, each tensor of shape (n, points, k).

    Attributes:
        field: indices, beyond the border as well.
        seen: indices of the pixels that are read there; any where `is_seen` is false.
        is_field: whether a pixel has a weight other than zero.
        is_seen: whether it lies within the input as well.
    """

    field: Tensor
    seen: Tensor
    is_field: Tensor
    is_seen: Tensor


def grid_sample(op: Operation) -> RuleResult:
    """Interpolate at the points of a grid of shape (n, *output, axes); points from the image may lie anywhere."""
    inputs, grid = op["input"], op.constant(op["grid"])
    if grid is None or op.fields(inputs) is None:
        return depend_on_all(op)
    fields, sides, shape = op.input_fields, inputs.shape[2:], op.outputs[0].shape
    settings = op["interpolation_mode"], op["padding_mode"], bool(op["align_corners"])
    # The last axis of a grid holds x, y (and z): the last dimension first.
    places = [
        _places(points, size, is_aligned=settings[2])
        for points, size in zip(grid.detach().cpu().unbind(-1)[::-1], sides, strict=True)
    ]
    taps = [_taps(place.flatten(1), size, *settings) for place, size in zip(places, sides, strict=True)]
    sampled = [_sample(fields, axis, taps, sides) for axis in range(len(fields.bounds))]
    bounds = tuple(bound.reshape(*bound.shape[:3], *shape[2:]) for bound in sampled)
    dims = (*fields.dims[:2], *(_dimension(fields, places, dim) for dim in range(len(sides))))
    is_clipped = fields.is_clipped or any(
        fields.dims[dim + 2].periodicity is None and bool((_is_beyond(tap.field, size) & tap.is_field).any())
        for dim, (tap, size) in enumerate(zip(taps, sides, strict=True))
    )
    return compact(replace(fields, bounds=bounds, dims=dims, is_clipped=is_clipped))


def _places(points: Tensor, size: int, *, is_aligned: bool) -> Tensor:
    """Map points in -1 ... 1 to a dimension of some size, as PyTorch does, in the same precision."""
    return (points + 1) / 2 * (size - 1) if is_aligned else ((points + 1) * size - 1) / 2


def _dimension(fields: ReceptiveFields, places: Sequence[Tensor], dim: int) -> Dimension:
    """How the fields change along one output dimension: regularly if its points move along one input dimension."""
    moving = [
        number
        for number, place in enumerate(places)
        if float((place - place.narrow(dim + 1, 0, 1)).abs().max()) > _ROUNDING
    ]
    axes = frozenset[int]().union(*(fields.dims[number + 2].axes for number in moving))
    periodicity = fields.dims[moving[0] + 2].periodicity if len(moving) == 1 else None
    if periodicity is None:
        return Dimension(axes)
    steps = places[moving[0]].double().diff(dim=dim + 1)
    step = Fraction(float(steps.mean())).limit_denominator(_LONGEST_PERIOD)
    is_regular = float((steps - float(step)).abs().max()) < _ROUNDING
    return Dimension(axes, periodicity.after(step.denominator, step.numerator) if is_regular and step else None)


def _taps(place: Tensor, size: int, interpolation: int, padding: int, is_aligned: bool) -> _Taps:
    """The pixels that the interpolation reads around places, of shape (n, points)."""
    span = (0.0, size - 1.0) if is_aligned else (-0.5, size - 0.5)
    within = place
    if interpolation != _BICUBIC:
        # The point itself is moved into the image; a bicubic filter moves each pixel that it reads.
        within = _into_image(place, size, padding, span)
    field, is_field = _around(place, interpolation)
    seen, is_seen = _around(within, interpolation)
    if interpolation == _BICUBIC and padding != _ZEROS:
        seen = _into_image(seen.double(), size, padding, span).round().long()
    is_seen = is_seen & ~_is_beyond(seen, size)
    return _Taps(field, seen.clamp(0, size - 1), is_field, is_seen)


def _around(place: Tensor, interpolation: int) -> tuple[Tensor, Tensor]:
    """Indices of the pixels around places, and whether their weights are other than zero."""
    nearest = place.round()
    if interpolation == _NEAREST:
        return nearest.long()[..., None], torch.ones_like(nearest, dtype=torch.bool)[..., None]
    place = torch.where((place - nearest).abs() < _ROUNDING, nearest, place)
    reach = torch.arange(2) if interpolation == _BILINEAR else torch.arange(-1, 3)
    index = place.floor().long()[..., None] + reach
    return index, (place == nearest).logical_not()[..., None] | (index == nearest.long()[..., None])


def _into_image(place: Tensor, size: int, padding: int, span: tuple[float, float]) -> Tensor:
    """Move places into the image, as a padding mode does."""
    if padding == _ZEROS:
        return place
    if padding == _REFLECTION:
        low, length = span[0], span[1] - span[0]
        if length == 0:
            return torch.zeros_like(place)
        away = (place - low).abs()
        flips, rest = away.div(length, rounding_mode="floor"), away % length
        place = torch.where(flips % 2 == 0, rest + low, span[1] - rest)
    return place.clamp(0, size - 1)


def _is_beyond(index: Tensor, size: int) -> Tensor:
    return (index < 0) | (index >= size)


def _sample(fields: ReceptiveFields, axis: int, taps: Sequence[_Taps], sides: Sequence[int]) -> Tensor:
    """Merge the bounds of one image axis over the pixels of every point: (rows, n, channels, points)."""
    bound = fields.bounds[axis].expand(-1, -1, -1, *sides).flatten(3)
    bound = bound.expand(-1, len(taps[0].field), -1, -1)
    merged = torch.full((*bound.shape[:3], taps[0].field.shape[1]), NOTHING)
    for numbers in itertools.product(*(range(tap.field.shape[2]) for tap in taps)):
        seen = _flat_index([tap.seen[..., k] for tap, k in zip(taps, numbers, strict=True)], sides)
        is_seen = torch.stack([tap.is_seen[..., k] for tap, k in zip(taps, numbers, strict=True)]).all(0)
        is_field = torch.stack([tap.is_field[..., k] for tap, k in zip(taps, numbers, strict=True)]).all(0)
        inner, shift = [], torch.zeros(is_field.shape)
        for dim, (tap, k) in enumerate(zip(taps, numbers, strict=True)):
            index, moved = _continue(fields, axis, dim + 2, tap.field[..., k], sides[dim])
            inner.append(index)
            shift = shift + moved
        field = _flat_index(inner, sides)
        signs = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
        rows = [
            _read(bound[:SEEN_LOW], field, is_field) + signs * shift[:, None],
            _read(bound[SEEN_LOW:], seen, is_seen),
        ]
        merged = torch.maximum(merged, torch.cat(rows))
    return merged


def _continue(fields: ReceptiveFields, axis: int, dim: int, index: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Move indices beyond the border into the input, by whole periods: the index there and the pixels to add."""
    periodicity = fields.dims[dim].periodicity
    if periodicity is None or periodicity.period > size:
        return index.clamp(0, size - 1), torch.zeros(index.shape)
    # Only those beyond: the bounds within the input are known one by one.
    first = torch.where(index < 0, index.div(periodicity.period, rounding_mode="floor"), 0)
    periods = torch.where(index >= size, (index - size).div(periodicity.period, rounding_mode="floor") + 1, first)
    moved = periods * periodicity.shift if periodicity.axis == axis else torch.zeros(index.shape)
    return index - periods * periodicity.period, moved.float()


def _flat_index(indices: Sequence[Tensor], sides: Sequence[int]) -> Tensor:
    flat = torch.zeros_like(indices[0])
    for index, size in zip(indices, sides, strict=True):
        flat = flat * size + index
    return flat


def _read(bound: Tensor, index: Tensor, is_valid: Tensor) -> Tensor:
    """Take elements of the last dimension: `bound` (rows, n, c, pixels), `index` and `is_valid` (n, points)."""
    at = index[None, :, None].expand(*bound.shape[:3], index.shape[1])
    return bound.gather(3, at).masked_fill(~is_valid[:, None], NOTHING)
