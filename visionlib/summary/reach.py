"""What every position of a tensor sees of the image: per axis the lowest and highest pixel, in max-plus arithmetic.

A convolution sees what its window saw, an addition what its terms saw: the reach of an output is the maximum over the
reach of what it reads, if the lowest pixel is kept as its negative. So a network can be followed once, forward, with
maxima in the place of sums, and every position of every layer then knows exactly what it sees.

Two figures are kept side by side. The *seen* part is what a position sees of this image: beyond the border there is
nothing. The *field* is what it would see of an image without border: positions beyond the border go on as those inside
do, by so many pixels every so many positions (`Course`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from visionlib.summary.windows import NEVER, Windows

NOTHING = -math.inf
FIELD_LOW, FIELD_HIGH, SEEN_LOW, SEEN_HIGH, LINES = range(5)
"""The planes of an axis; the low ones hold negatives. From `LINES` on, if they are followed, one plane per pixel: 0 if
it is seen, and -inf if not."""

_LONGEST_PERIOD = 64


@dataclass(frozen=True)
class Course:
    """How the reach goes on along one dimension of a tensor.

    Attributes:
        axis: axis of the image along which it moves.
        period: so many entries further it is the same,
        shift: moved by so many pixels.
    """

    axis: int
    period: int
    shift: int

    @property
    def jump(self) -> Fraction:
        """Pixels per entry."""
        return Fraction(self.shift, self.period)


@dataclass(frozen=True)
class Along:
    """What is known of one dimension of a tensor.

    Attributes:
        axes: axes of the image along which the reach moves when one goes along this dimension; none for channels.
        course: how it goes on, if that is known.
    """

    axes: frozenset[int] = frozenset()
    course: Course | None = None


STILL = Along()


@dataclass(frozen=True, eq=False)
class Reach:
    """What every position of a tensor sees.

    Attributes:
        image: size of the image along each axis, in pixels.
        planes: for each axis of the image a tensor of shape (planes, *dims), where a dimension along which nothing
            changes has size 1 instead of the tensor's own; see `FIELD_LOW` and the following.
        dims: what is known of each dimension of the tensor.
        global_axes: axes that were reduced over whole, by a mean, a linear layer, an attention or the like.
        is_clipped: whether the field had to end at a border, because how it goes on is not known.
    """

    image: tuple[int, ...]
    planes: tuple[Tensor, ...]
    dims: tuple[Along, ...]
    global_axes: frozenset[int] = frozenset()
    is_clipped: bool = False

    @property
    def ndim(self) -> int:
        """Number of dimensions of the tensor."""
        return len(self.dims)

    def is_still(self, dim: int) -> bool:
        """Tell whether nothing changes along a dimension."""
        return all(plane.shape[dim + 1] == 1 for plane in self.planes) and self.dims[dim] == STILL

    def permute(self, order: Sequence[int]) -> "Reach":
        """Reorder the dimensions."""
        planes = tuple(plane.permute(0, *(dim + 1 for dim in order)) for plane in self.planes)
        return replace(self, planes=planes, dims=tuple(self.dims[dim] for dim in order))

    def insert(self, dim: int) -> "Reach":
        """Insert a dimension of size 1."""
        planes = tuple(plane.unsqueeze(dim + 1) for plane in self.planes)
        return replace(self, planes=planes, dims=(*self.dims[:dim], STILL, *self.dims[dim:]))

    def drop(self, dim: int) -> "Reach":
        """Drop a dimension of size 1."""
        planes = tuple(plane.squeeze(dim + 1) for plane in self.planes)
        return replace(self, planes=planes, dims=(*self.dims[:dim], *self.dims[dim + 1 :]))

    def reduce(self, dims: Sequence[int]) -> "Reach":
        """See together what all entries along some dimensions see; they keep size 1."""
        if not dims:
            return self
        planes = tuple(plane.amax([dim + 1 for dim in dims], keepdim=True) for plane in self.planes)
        passed = frozenset[int]().union(*(self.dims[dim].axes for dim in dims))
        is_global = {axis for axis in passed if _covers(planes[axis], self.image[axis])}
        kept = tuple(STILL if dim in dims else along for dim, along in enumerate(self.dims))
        return replace(self, planes=planes, dims=kept, global_axes=self.global_axes | is_global)

    def look(self, dim: int, windows: Windows) -> "Reach":
        """Let every entry along a dimension see what the entries in its window saw."""
        along = self.dims[dim]
        if windows.is_identity:
            return self
        is_clipped = self.is_clipped
        if along.course is not None and windows.n < along.course.period:
            along = Along(along.axes)  # too few positions to tell how it goes on
        if along.axes and along.course is None and windows.leaves_the_border:
            is_clipped = True
        planes = tuple(_look(plane, dim + 1, axis, windows, along) for axis, plane in enumerate(self.planes))
        dims = list(self.dims)
        dims[dim] = Along(along.axes, None if along.course is None else _advance(along.course, windows))
        return replace(self, planes=planes, dims=tuple(dims), is_clipped=is_clipped)

    def expand_dim(self, dim: int, size: int) -> "Reach":
        """Write out a dimension along which nothing changes."""
        planes = tuple(
            plane.expand([size if at == dim + 1 else -1 for at in range(plane.ndim)])
            if plane.shape[dim + 1] == 1
            else plane
            for plane in self.planes
        )
        return replace(self, planes=planes)

    def find_courses(self, shape: Sequence[int]) -> "Reach":
        """Find out from the entries how the reach goes on along dimensions of which it is not known."""
        dims = tuple(
            Along(along.axes, _find_course(self, dim)) if along.axes and along.course is None and size > 1 else along
            for dim, (along, size) in enumerate(zip(self.dims, shape, strict=True))
        )
        return replace(self, dims=dims)


def image_reach(shape: Sequence[int], *, with_lines: bool = False) -> Reach:
    """Give the reach of the image itself, of shape (n, c, *image): every pixel sees itself."""
    image = tuple(shape[2:])
    planes = []
    for axis, size in enumerate(image):
        pixels = torch.arange(size, dtype=torch.float32)
        rows = torch.stack([-pixels, pixels, -pixels, pixels])
        if with_lines:
            seen = torch.full((size, size), NOTHING).fill_diagonal_(0)
            rows = torch.cat([rows, seen])
        planes.append(rows.view(-1, *(size if dim == axis + 2 else 1 for dim in range(len(shape)))))
    positions = (Along(frozenset({axis}), Course(axis, 1, 1)) for axis in range(len(image)))
    return Reach(image, tuple(planes), (STILL, STILL, *positions))


def join(reaches: Sequence[Reach], ndim: int) -> Reach:
    """See together what several tensors see, broadcast against each other to `ndim` dimensions."""
    return reduce(_join, (_align(reach, ndim) for reach in reaches))


def concatenate(parts: Sequence[tuple[Reach | None, int]], dim: int) -> Reach:
    """Lay tensors one after the other along a dimension.

    Args:
        parts: for each tensor its reach, if it sees anything, and its size along `dim`.
        dim: the dimension.
    """
    seeing = [reach for reach, _ in parts if reach is not None]
    first = seeing[0]
    planes = []
    for axis, template in enumerate(first.planes):
        around = np.broadcast_shapes(*(reach.planes[axis].select(dim + 1, 0).shape for reach in seeing))
        pieces = []
        for reach, size in parts:
            shape = (*around[: dim + 1], size, *around[dim + 1 :])
            plane = torch.full((), NOTHING) if reach is None else reach.planes[axis]
            pieces.append(plane.to(template).expand(shape))
        planes.append(torch.cat(pieces, dim + 1))
    dims = list(first.dims)
    for reach in seeing[1:]:
        dims = [_join_along(a, b) for a, b in zip(dims, reach.dims, strict=True)]
    dims[dim] = Along(dims[dim].axes)
    global_axes = frozenset[int]().union(*(reach.global_axes for reach in seeing))
    joined = Reach(first.image, tuple(planes), tuple(dims), global_axes, any(reach.is_clipped for reach in seeing))
    return compact(joined)


def compact(reach: Reach) -> Reach:
    """Keep one entry of every dimension along which nothing changes."""
    planes = []
    for plane in reach.planes:
        for dim in range(1, plane.ndim):
            if plane.shape[dim] > 1 and bool((plane == plane.narrow(dim, 0, 1)).all()):
                plane = plane.narrow(dim, 0, 1)
        planes.append(plane)
    return replace(reach, planes=tuple(planes))


def _join(a: Reach, b: Reach) -> Reach:
    planes = tuple(torch.maximum(p, q) for p, q in zip(a.planes, b.planes, strict=True))
    joined = Reach(
        a.image,
        planes,
        tuple(_join_along(x, y) for x, y in zip(a.dims, b.dims, strict=True)),
        a.global_axes | b.global_axes,
        a.is_clipped or b.is_clipped,
    )
    if a.dims == b.dims:
        return joined
    # Something that does not move was joined to something that does. If it saw nothing, the other goes on as it did;
    # if it saw everything, nothing moves any more.
    return _settle(joined, a, b)


def _settle(joined: Reach, a: Reach, b: Reach) -> Reach:
    joined = compact(joined)
    dims = []
    for dim, (along, x, y) in enumerate(zip(joined.dims, a.dims, b.dims, strict=True)):
        moving = x if x.axes else y
        if all(plane.shape[dim + 1] == 1 for plane in joined.planes) and not (x.axes and y.axes):
            is_alone = all(
                plane.shape[dim + 1] == 1 for reach in (a, b) for plane in reach.planes
            )  # a single position moves by its course alone, which must not be lost
            along = moving if is_alone and not joined.global_axes & moving.axes else STILL
        elif x != y and STILL in (x, y):
            is_as_before = any(
                all(torch.equal(p, q.expand_as(p)) for p, q in zip(joined.planes, compact(reach).planes, strict=True))
                for reach in (a, b)
                if reach.dims[dim] == moving
            )
            along = moving if is_as_before else Along(moving.axes)
        dims.append(along)
    return replace(joined, dims=tuple(dims))


def _join_along(a: Along, b: Along) -> Along:
    if a == b:
        return a
    if STILL in (a, b):
        return b if a == STILL else a
    p, q = a.course, b.course
    if p is None or q is None or p.axis != q.axis or p.jump != q.jump:
        return Along(a.axes | b.axes)
    period = math.lcm(p.period, q.period)
    return Along(a.axes | b.axes, Course(p.axis, period, int(p.jump * period)))


def _align(reach: Reach, ndim: int) -> Reach:
    while reach.ndim < ndim:
        reach = reach.insert(0)
    return reach


def _covers(plane: Tensor, size: int) -> bool:
    """Tell whether every position sees the whole axis."""
    lowest, highest = plane[SEEN_LOW], plane[SEEN_HIGH]
    return bool((lowest >= 0).all()) and bool((highest >= size - 1).all())


def _advance(course: Course, windows: Windows) -> Course:
    times = course.period // math.gcd(course.period, windows.step_in)
    shift = course.shift * windows.step_in * times // course.period
    return Course(course.axis, windows.step_out * times, shift)


def _look(plane: Tensor, dim: int, axis: int, windows: Windows, along: Along) -> Tensor:
    field, seen = plane[:SEEN_LOW], plane[SEEN_LOW:]
    course = along.course
    # Beyond the border of what moves along the image it goes on; beyond the last channel there is nothing.
    is_there = windows.field != NEVER if along.axes else windows.is_field_inside
    if plane.shape[dim] == 1 and windows.n > 1:
        if bool(is_there.any(1).all()) and bool(windows.is_inside.any(1).all()):
            return plane
        shape = [1] * plane.ndim
        shape[dim] = len(is_there)
        return torch.cat(
            [
                part.masked_fill(~is_valid.any(1).view(shape), NOTHING)
                for part, is_valid in ((field, is_there), (seen, windows.is_inside))
            ]
        )
    seen = _gather(seen, dim, windows.seen.clamp(0, windows.n - 1), windows.is_inside)
    if course is None:
        index = windows.field.clamp(0, windows.n - 1)
        return torch.cat([_gather(field, dim, index, windows.is_field_inside), seen])
    turns = windows.field.div(course.period, rounding_mode="floor")
    index = windows.field - turns * course.period
    moved = turns * course.shift if course.axis == axis else None
    return torch.cat([_gather(field, dim, index, is_there, moved), seen])


def _gather(plane: Tensor, dim: int, index: Tensor, is_valid: Tensor, moved: Tensor | None = None) -> Tensor:
    """Take the maximum over windows: `index` of shape (out, k) along `dim`, of which some entries count."""
    taken = plane.index_select(dim, index.flatten())
    taken = taken.reshape(*plane.shape[:dim], *index.shape, *plane.shape[dim + 1 :])
    shape = [1] * taken.ndim
    shape[dim], shape[dim + 1] = index.shape
    if moved is not None:
        signs = torch.tensor([-1.0, 1.0]).view(2, *[1] * (taken.ndim - 1))
        taken = taken + signs * moved.view(shape)
    if not bool(is_valid.all()):
        taken = taken.masked_fill(~is_valid.view(shape), NOTHING)
    return taken.amax(dim + 1)


def _find_course(reach: Reach, dim: int) -> Course | None:
    """Find the shortest period after which the field is the same, moved along one axis."""
    sizes = [plane.shape[dim + 1] for plane in reach.planes]
    n = max(sizes)
    for period in range(1, min(n // 2, _LONGEST_PERIOD) + 1):
        shifts = [_shift_after(plane[:SEEN_LOW], dim + 1, period) for plane in reach.planes]
        if None in shifts:
            continue
        moving = [(axis, shift) for axis, shift in enumerate(shifts) if shift]
        if len(moving) == 1:
            ((axis, shift),) = moving
            return Course(axis, period, int(shift))
        return None
    return None


def _shift_after(field: Tensor, dim: int, period: int) -> int | None:
    """Give by how many pixels the field moves over a period, if it is the same everywhere."""
    n = field.shape[dim]
    if n == 1:
        return 0
    before, after = field.narrow(dim, 0, n - period), field.narrow(dim, period, n - period)
    is_blind = before.isneginf()
    if not torch.equal(is_blind, after.isneginf()):
        return None
    change = torch.where(is_blind, 0, after - before)
    if bool(is_blind.all()):
        return 0
    steps = change[1][~is_blind[1]]
    shift = float(steps[0]) if len(steps) else 0.0
    fits = torch.where(is_blind[1], True, change[1] == shift) & torch.where(is_blind[0], True, change[0] == -shift)
    return int(shift) if bool(fits.all()) else None
