"""The receptive field of every element of a tensor: bounds in pixels along each image axis, in max-plus arithmetic.

Requirements:
- exact at every position and at any image size, through branches, strides, dilation, up-sampling and attention;
- two fields per element: on an image without border, and within this image;
- one forward pass, without weights and activations.

An output depends on all pixels that its inputs depend on. So its upper bound is the maximum of their upper bounds, and
its negated lower bound the maximum of theirs: a forward pass with maxima in the place of sums. Beyond the border the
bounds continue periodically (`Periodicity`), which gives the field on an image without border.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from visionlib.summary.periodicity import Periodicity, find_periodicity
from visionlib.summary.windows import NO_ELEMENT, Windows

NOTHING = -math.inf
"""Bound of an element that depends on no pixel: neutral to the maximum."""
FIELD_LOW, FIELD_HIGH, SEEN_LOW, SEEN_HIGH, LINES = range(5)
"""Rows of the bounds of an axis. FIELD: on an image without border; SEEN: within this image. Low bounds are negated.
From `LINES` on, if lines are traced, one row per pixel of the axis: 0 if it is seen, -inf if not."""


@dataclass(frozen=True)
class Dimension:
    """How the receptive fields change along one dimension of a tensor.

    Whether a dimension holds positions or channels cannot be read from the bounds: the channels of a concatenation
    differ as well. So every rule says from which input dimensions its output dimensions come.

    Attributes:
        axes: image axes along which the fields move with the index; empty for batch and channels.
        periodicity: how the bounds repeat; None if unknown, or without axes.
        parts: size and axes of every dimension that was merged into this one, outermost first; empty if not merged.
        dropped: axes of dimensions of size 1 that were dropped beside this one.
    """

    axes: frozenset[int] = frozenset()
    periodicity: Periodicity | None = None
    parts: tuple[tuple[int, frozenset[int]], ...] = ()
    dropped: frozenset[int] = frozenset()


INVARIANT = Dimension()
"""A dimension along which no field moves."""


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """The receptive field of every element of a tensor.

    Attributes:
        image: size of the image along each axis, in pixels.
        bounds: per image axis a tensor of shape (rows, *shape), rows as in `FIELD_LOW` and following. A dimension along
            which no bound changes has size 1, whatever the tensor's own size.
        dims: one entry per dimension of the tensor.
        global_axes: axes that were reduced over entirely, as by a mean, a linear layer or attention.
        is_clipped: whether the field ends at a border because its periodicity is unknown.
    """

    image: tuple[int, ...]
    bounds: tuple[Tensor, ...]
    dims: tuple[Dimension, ...]
    global_axes: frozenset[int] = frozenset()
    is_clipped: bool = False

    @property
    def ndim(self) -> int:
        """Number of dimensions of the tensor."""
        return len(self.dims)

    def is_invariant(self, dim: int) -> bool:
        """Whether neither bounds nor fields change along a dimension."""
        return all(bound.shape[dim + 1] == 1 for bound in self.bounds) and self.dims[dim] == INVARIANT

    def permute(self, order: Sequence[int]) -> "ReceptiveFields":
        """Reorder the dimensions."""
        bounds = tuple(bound.permute(0, *(dim + 1 for dim in order)) for bound in self.bounds)
        return replace(self, bounds=bounds, dims=tuple(self.dims[dim] for dim in order))

    def insert(self, dim: int) -> "ReceptiveFields":
        """Insert a dimension of size 1."""
        bounds = tuple(bound.unsqueeze(dim + 1) for bound in self.bounds)
        return replace(self, bounds=bounds, dims=(*self.dims[:dim], INVARIANT, *self.dims[dim:]))

    def align(self, ndim: int) -> "ReceptiveFields":
        """Insert dimensions of size 1 in front, up to `ndim`."""
        return self if self.ndim >= ndim else self.insert(0).align(ndim)

    def set_dimension(self, dim: int, dimension: Dimension) -> "ReceptiveFields":
        """Replace the properties of a dimension."""
        return replace(self, dims=(*self.dims[:dim], dimension, *self.dims[dim + 1 :]))

    def drop(self, dim: int) -> "ReceptiveFields":
        """Drop a dimension of size 1."""
        bounds = tuple(bound.squeeze(dim + 1) for bound in self.bounds)
        return replace(self, bounds=bounds, dims=(*self.dims[:dim], *self.dims[dim + 1 :]))

    def reduce(self, dims: Sequence[int]) -> "ReceptiveFields":
        """Merge the fields of all elements along some dimensions, which keep size 1."""
        if not dims:
            return self
        bounds = tuple(bound.amax([dim + 1 for dim in dims], keepdim=True) for bound in self.bounds)
        moving_axes = frozenset[int]().union(*(self.dims[dim].axes | self.dims[dim].dropped for dim in dims))
        is_global = {axis for axis in moving_axes if _covers(bounds[axis], self.image[axis])}
        remaining = tuple(INVARIANT if dim in dims else dimension for dim, dimension in enumerate(self.dims))
        return replace(self, bounds=bounds, dims=remaining, global_axes=self.global_axes | is_global)

    def apply_windows(self, dim: int, windows: Windows) -> "ReceptiveFields":
        """Give every output element along a dimension the merged fields of the input elements in its window."""
        dimension = self.dims[dim]
        if windows.is_identity:
            return self
        is_clipped = self.is_clipped
        if dimension.periodicity is not None and windows.n < dimension.periodicity.period:
            # Fewer elements than one period: the rest of it is unknown.
            dimension = replace(dimension, periodicity=None)
        if dimension.axes and dimension.periodicity is None and windows.crosses_border:
            is_clipped = True
        bounds = tuple(
            _apply_windows(bound, dim + 1, axis, windows, dimension) for axis, bound in enumerate(self.bounds)
        )
        periodicity = (
            None if dimension.periodicity is None else dimension.periodicity.after(windows.period, windows.shift)
        )
        applied = replace(self, bounds=bounds, is_clipped=is_clipped)
        return applied.set_dimension(dim, replace(dimension, periodicity=periodicity, parts=()))

    def expand_dim(self, dim: int, size: int) -> "ReceptiveFields":
        """Expand a dimension of size 1 in the bounds to the tensor's own size."""
        sizes = [size if other == dim else -1 for other in range(self.ndim)]
        return replace(self, bounds=tuple(bound.expand(-1, *sizes) for bound in self.bounds))

    def find_periodicities(self, shape: Sequence[int]) -> "ReceptiveFields":
        """Search the bounds for the periodicity of every dimension where it is unknown."""
        dims = tuple(
            replace(dimension, periodicity=find_periodicity([bound[:SEEN_LOW] for bound in self.bounds], dim + 1))
            if dimension.axes and dimension.periodicity is None and size > 1
            else dimension
            for dim, (dimension, size) in enumerate(zip(self.dims, shape, strict=True))
        )
        return replace(self, dims=dims)


def fields_of_image(shape: Sequence[int], *, with_lines: bool = False) -> ReceptiveFields:
    """Receptive fields of the image itself, of shape (n, c, *image): every pixel depends on itself alone."""
    image = tuple(shape[2:])
    bounds = []
    for axis, size in enumerate(image):
        pixels = torch.arange(size, dtype=torch.float32)
        rows = torch.stack([-pixels, pixels, -pixels, pixels])
        if with_lines:
            seen = torch.full((size, size), NOTHING).fill_diagonal_(0)
            rows = torch.cat([rows, seen])
        bounds.append(rows.view(-1, *(size if dim == axis + 2 else 1 for dim in range(len(shape)))))
    positions = (Dimension(frozenset({axis}), Periodicity(axis, 1, 1)) for axis in range(len(image)))
    return ReceptiveFields(image, tuple(bounds), (INVARIANT, INVARIANT, *positions))


def join(operands: Sequence[ReceptiveFields], ndim: int) -> ReceptiveFields:
    """Merge the fields of several tensors that are broadcast against each other to `ndim` dimensions."""
    return reduce(_join, (fields.align(ndim) for fields in operands))


def concatenate(parts: Sequence[tuple[ReceptiveFields | None, int]], dim: int) -> ReceptiveFields:
    """Concatenate tensors along a dimension.

    Args:
        parts: for each tensor its fields, None if it does not depend on the image, and its size along `dim`.
        dim: the dimension.
    """
    dependent = [fields for fields, _ in parts if fields is not None]
    first = dependent[0]
    bounds = []
    for axis, template in enumerate(first.bounds):
        around = np.broadcast_shapes(*(fields.bounds[axis].select(dim + 1, 0).shape for fields in dependent))
        pieces = []
        for fields, size in parts:
            shape = (*around[: dim + 1], size, *around[dim + 1 :])
            bound = torch.full((), NOTHING) if fields is None else fields.bounds[axis]
            pieces.append(bound.to(template).expand(shape))
        bounds.append(torch.cat(pieces, dim + 1))
    dims = tuple(reduce(_join_dimensions, same) for same in zip(*(fields.dims for fields in dependent), strict=True))
    global_axes = frozenset[int]().union(*(fields.global_axes for fields in dependent))
    is_clipped = any(fields.is_clipped for fields in dependent)
    joined = ReceptiveFields(first.image, tuple(bounds), dims, global_axes, is_clipped)
    return compact(joined.set_dimension(dim, Dimension(dims[dim].axes)))


def compact(fields: ReceptiveFields) -> ReceptiveFields:
    """Shrink every dimension along which no bound changes to size 1."""
    bounds = []
    for bound in fields.bounds:
        for dim in range(1, bound.ndim):
            if bound.shape[dim] > 1 and bool((bound == bound.narrow(dim, 0, 1)).all()):
                bound = bound.narrow(dim, 0, 1)
        bounds.append(bound)
    return replace(fields, bounds=tuple(bounds))


def infer_dimensions(fields: ReceptiveFields, shape: Sequence[int], possible: Sequence[Dimension]) -> ReceptiveFields:
    """Find along which axes the fields move, and how they repeat, from the bounds.

    Args:
        fields: their bounds, for a tensor of this shape; the dimensions are ignored.
        shape: of the tensor.
        possible: per dimension, the axes along which its fields may move.
    """
    fields = compact(replace(fields, dims=(INVARIANT,) * len(shape)))
    dims = []
    for dim, (dimension, size) in enumerate(zip(possible, shape, strict=True)):
        axes = frozenset(axis for axis in dimension.axes if fields.bounds[axis].shape[dim + 1] > 1)
        is_whole = axes and math.prod(part for part, _ in dimension.parts) == size
        dims.append(Dimension(axes, parts=dimension.parts if is_whole else ()))
    return replace(fields, dims=tuple(dims)).find_periodicities(shape)


def unite(first: Dimension, *others: Dimension) -> Dimension:
    """Axes of all dimensions; how they repeat is left open."""
    moving = [dimension for dimension in (first, *others) if dimension.axes]
    axes = frozenset[int]().union(*(dimension.axes for dimension in moving))
    is_same = moving and all(dimension.parts == moving[0].parts for dimension in moving)
    return Dimension(axes, parts=moving[0].parts if is_same else ())


def infer_steps(fields: ReceptiveFields, dim: int, shape: Sequence[int]) -> ReceptiveFields:
    """Let a dimension of tensors that were put side by side hold positions, if none of them has any.

    The steps of a recurrent layer are such tensors. Branches with different fields are not: their own positions move.
    """
    carried = frozenset[int]().union(*(dimension.axes for dimension in fields.dims))
    axes = {axis for axis, bound in enumerate(fields.bounds) if axis not in carried and bound.shape[dim + 1] > 1}
    return fields.set_dimension(dim, Dimension(frozenset(axes))).find_periodicities(shape) if axes else fields


def _join(a: ReceptiveFields, b: ReceptiveFields) -> ReceptiveFields:
    bounds, dims = tuple(map(torch.maximum, a.bounds, b.bounds)), tuple(map(_join_dimensions, a.dims, b.dims))
    joined = ReceptiveFields(a.image, bounds, dims, a.global_axes | b.global_axes, a.is_clipped or b.is_clipped)
    if a.dims == b.dims:
        return joined
    # One operand may move along a dimension where the other does not. If the other has an empty field, the result moves
    # like the first; if it sees the whole image, the result does not move.
    return _resolve_dimensions(joined, a, b)


def _resolve_dimensions(joined: ReceptiveFields, a: ReceptiveFields, b: ReceptiveFields) -> ReceptiveFields:
    joined = compact(joined)
    dims = []
    for dim, (dimension, x, y) in enumerate(zip(joined.dims, a.dims, b.dims, strict=True)):
        moving = x if x.axes else y
        if all(bound.shape[dim + 1] == 1 for bound in joined.bounds) and not (x.axes and y.axes):
            # Of a single element the bounds show no motion: its periodicity must not be lost.
            is_single = all(bound.shape[dim + 1] == 1 for fields in (a, b) for bound in fields.bounds)
            dimension = moving if is_single and not joined.global_axes & moving.axes else INVARIANT
        elif x != y and INVARIANT in (x, y):
            is_unchanged = any(
                all(torch.equal(p, q.expand_as(p)) for p, q in zip(joined.bounds, compact(fields).bounds, strict=True))
                for fields in (a, b)
                if fields.dims[dim] == moving
            )
            dimension = moving if is_unchanged else replace(moving, periodicity=None)
        dims.append(dimension)
    return replace(joined, dims=tuple(dims))


def _join_dimensions(a: Dimension, b: Dimension) -> Dimension:
    if a == b:
        return a
    if INVARIANT in (a, b):
        return b if a == INVARIANT else a
    p, q = a.periodicity, b.periodicity
    return Dimension(
        a.axes | b.axes,
        None if p is None or q is None else p.join(q),
        a.parts if a.parts == b.parts else (),
        a.dropped | b.dropped,
    )


def _covers(bound: Tensor, size: int) -> bool:
    """Whether every element sees the whole axis."""
    lowest, highest = bound[SEEN_LOW], bound[SEEN_HIGH]
    return bool((lowest >= 0).all()) and bool((highest >= size - 1).all())


def _apply_windows(bound: Tensor, dim: int, axis: int, windows: Windows, dimension: Dimension) -> Tensor:
    field, seen = bound[:SEEN_LOW], bound[SEEN_LOW:]
    periodicity = dimension.periodicity
    # Along a moving dimension the input continues beyond the border; beyond the last channel there is nothing.
    is_readable = windows.field != NO_ELEMENT if dimension.axes else windows.is_field_inside
    if bound.shape[dim] == 1 and windows.n > 1:
        if bool(is_readable.any(1).all()) and bool(windows.is_inside.any(1).all()):
            return bound
        shape = [1] * bound.ndim
        shape[dim] = len(is_readable)
        parts = ((field, is_readable), (seen, windows.is_inside))
        return torch.cat([part.masked_fill(~is_read.any(1).view(shape), NOTHING) for part, is_read in parts])
    seen = _gather(seen, dim, windows.seen.clamp(0, windows.n - 1), windows.is_inside)
    if periodicity is None:
        index = windows.field.clamp(0, windows.n - 1)
        return torch.cat([_gather(field, dim, index, windows.is_field_inside), seen])
    # Move each index into the input by whole periods, and its bounds by as many shifts.
    periods = windows.field.div(periodicity.period, rounding_mode="floor")
    index = windows.field - periods * periodicity.period
    offset = periods * periodicity.shift if periodicity.axis == axis else None
    return torch.cat([_gather(field, dim, index, is_readable, offset), seen])


def _gather(bound: Tensor, dim: int, index: Tensor, is_valid: Tensor, offset: Tensor | None = None) -> Tensor:
    """Maximum over windows along `dim`: `index` and `is_valid` of shape (out, k), `offset` in pixels."""
    taken = bound.index_select(dim, index.flatten())
    taken = taken.reshape(*bound.shape[:dim], *index.shape, *bound.shape[dim + 1 :])
    shape = [1] * taken.ndim
    shape[dim], shape[dim + 1] = index.shape
    if offset is not None:
        signs = torch.tensor([-1.0, 1.0]).view(2, *[1] * (taken.ndim - 1))
        taken = taken + signs * offset.view(shape)
    if not bool(is_valid.all()):
        taken = taken.masked_fill(~is_valid.view(shape), NOTHING)
    return taken.amax(dim + 1)
