"""Views, permutations, selections and joins: what moves entries about and computes nothing."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from visionlib.summary.operation import Operation, Outcome, positive
from visionlib.summary.reach import NOTHING, STILL, Along, Reach, compact, concatenate, join
from visionlib.summary.rules.alignment import note_alignment
from visionlib.summary.windows import picking

_LIFT = 2.0**20
"""More than any pixel's number: lifted reaches are positive, and the zeros that an operation fills in are not."""


def reshape(op: Operation) -> Outcome:
    """Give the same entries another shape."""
    inputs = op.first
    reach = op.reach(inputs)
    return None if reach is None else reshaped(reach, inputs.shape, op.outputs[0].shape)


def permute(op: Operation) -> Outcome:
    """Reorder dimensions."""
    reach = op.reach(op["self"])
    ndim = op["self"].ndim
    return None if reach is None else reach.permute([positive(dim, ndim) for dim in op["dims"]])


def transpose(op: Operation) -> Outcome:
    """Swap two dimensions."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    order = list(range(inputs.ndim))
    if inputs.ndim > 1:
        a, b = positive(op.get("dim0", 0), inputs.ndim), positive(op.get("dim1", 1), inputs.ndim)
        order[a], order[b] = order[b], order[a]
    return reach.permute(order)


def expand(op: Operation) -> Outcome:
    """Repeat without copying."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    new = op.outputs[0].ndim - inputs.ndim
    for _ in range(new):
        reach = reach.insert(0)
    dims = list(reach.dims)
    for dim in range(inputs.ndim):
        if inputs.shape[dim] == 1 != op.outputs[0].shape[new + dim]:
            dims[new + dim] = STILL
    return replace(reach, dims=tuple(dims))


def repeat(op: Operation) -> Outcome:
    """Lay copies side by side."""
    inputs, output = op["self"], op.outputs[0]
    reach = op.reach(inputs)
    if reach is None:
        return None
    for _ in range(output.ndim - inputs.ndim):
        reach = reach.insert(0)
    for dim, times in enumerate(op["repeats"]):
        size = output.shape[dim] // max(times, 1)
        if times != 1:
            reach = _pick(reach, dim, size, [at % size for at in range(size * times)])
    return reach


def slice_(op: Operation) -> Outcome:
    """Take a part, every so many entries."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    n, step = inputs.shape[dim], op["step"]
    index = list(range(n))[slice(op["start"], op["end"], step)]
    return _pick(reach, dim, n, index, step)


def select(op: Operation) -> Outcome:
    """Take one entry and drop its dimension."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    n = inputs.shape[dim]
    return _pick(reach, dim, n, [op["index"] % n]).drop(dim)


def split(op: Operation) -> Outcome:
    """Part into pieces one after the other."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    pieces, start = [], 0
    for output in op.outputs:
        size = output.shape[dim]
        pieces.append(_pick(reach, dim, inputs.shape[dim], range(start, start + size), 1))
        start += size
    return pieces


def glu(op: Operation) -> Outcome:
    """Gate one half by the other."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    n = inputs.shape[dim]
    halves = [_pick(reach, dim, n, range(n // 2), 1), _pick(reach, dim, n, range(n // 2, n), 1)]
    return join(halves, inputs.ndim)


def unbind(op: Operation) -> Outcome:
    """Part into single entries, and drop their dimension."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    dim = positive(op["dim"], inputs.ndim)
    return [_pick(reach, dim, inputs.shape[dim], [at]).drop(dim) for at in range(inputs.shape[dim])]


def squeeze(op: Operation) -> Outcome:
    """Drop dimensions of size 1."""
    return reshape(op)


def cat(op: Operation) -> Outcome:
    """Lay tensors one after the other."""
    # Of old, empty vectors may be laid beside anything.
    tensors = [tensor for tensor in op["tensors"] if tensor.shape != (0,)]
    dim = positive(op["dim"], tensors[0].ndim)
    parts = [(op.reach(tensor), tensor.shape[dim]) for tensor in tensors]
    if all(reach is None for reach, _ in parts):
        return None
    note_alignment(op, tensors, joined_dim=dim)
    return concatenate(parts, dim).find_courses(op.outputs[0].shape)


def stack(op: Operation) -> Outcome:
    """Lay tensors beside each other in a new dimension."""
    tensors = op["tensors"]
    dim = positive(op["dim"], tensors[0].ndim + 1)
    parts = [(None if (reach := op.reach(tensor)) is None else reach.insert(dim), 1) for tensor in tensors]
    return None if all(reach is None for reach, _ in parts) else concatenate(parts, dim)


def flip(op: Operation) -> Outcome:
    """Turn round."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    for dim in op["dims"]:
        dim = positive(dim, inputs.ndim)
        n = inputs.shape[dim]
        reach = _pick(reach, dim, n, range(n - 1, -1, -1), -1)
    return reach


def roll(op: Operation) -> Outcome:
    """Move round; of an image without border, move on."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    if not op["dims"]:
        flat = reshaped(reach, inputs.shape, [inputs.numel()])
        return reshaped(_roll(flat, 0, inputs.numel(), op["shifts"][0]), [inputs.numel()], inputs.shape)
    for shift, dim in zip(op["shifts"], op["dims"], strict=True):
        dim = positive(dim, inputs.ndim)
        reach = _roll(reach, dim, inputs.shape[dim], shift)
    return reach


def _roll(reach: Reach, dim: int, n: int, shift: int) -> Reach:
    field = torch.arange(n) - shift
    windows = picking(n, field, 1)
    return reach.look(dim, replace(windows, seen=windows.field % n))


def index_select(op: Operation) -> Outcome:
    """Take entries by their numbers."""
    inputs = op["self"]
    reach = op.reach(inputs)
    index = op.constant(op["index"])
    if reach is None or index is None:
        return _of_unknown_place(op, inputs, op["index"], dims=[positive(op["dim"], inputs.ndim)])
    dim = positive(op["dim"], inputs.ndim)
    return _pick(reach, dim, inputs.shape[dim], index.flatten().tolist())


def index(op: Operation) -> Outcome:
    """Take entries by the numbers of several dimensions at once."""
    inputs = op["self"]
    given = [(dim, value) for dim, value in enumerate(op["indices"]) if value is not None]
    reach = op.reach(inputs)
    if reach is None or any(op.constant(value) is None for _, value in given):
        return _of_unknown_place(op, inputs, *(value for _, value in given), dims=[dim for dim, _ in given])
    return moved(
        op, lambda plane: plane[tuple(op.constant(v) if v is not None else slice(None) for v in op["indices"])]
    )


def gather(op: Operation) -> Outcome:
    """Take entries along one dimension, each by a number of its own."""
    inputs, dim, index = op["self"], op["dim"], op.constant(op["index"])
    if op.reach(inputs) is None or index is None:
        return _of_unknown_place(op, inputs, op["index"], dims=[positive(dim, inputs.ndim)])
    return moved(op, lambda plane: plane.gather(dim, index))


def _of_unknown_place(op: Operation, source: Tensor, *numbers: Tensor, dims: Sequence[int]) -> Outcome:
    """What is taken by numbers that depend on the image can come from everywhere, and sees what the numbers saw."""
    ndim = op.outputs[0].ndim
    seen = [reach.reduce(range(reach.ndim)) for tensor in (source, *numbers) if (reach := op.reach(tensor)) is not None]
    flat = [replace(reach, planes=tuple(p.flatten(1)[:, 0] for p in reach.planes), dims=()) for reach in seen]
    return join(flat, ndim) if flat else None


def diagonal(op: Operation) -> Outcome:
    """Take a diagonal."""
    return moved(op, lambda plane: plane.diagonal(op["offset"], op["dim1"], op["dim2"]))


def unfold(op: Operation) -> Outcome:
    """Lay windows along a dimension side by side."""
    return moved(op, lambda plane: plane.unfold(op["dimension"], op["size"], op["step"]))


def im2col(op: Operation) -> Outcome:
    """Lay windows of two dimensions out as columns."""
    settings = op["kernel_size"], op["dilation"], op["padding"], op["stride"]
    return moved(op, lambda plane: F.unfold(plane, *settings))


def col2im(op: Operation) -> Outcome:
    """Add columns up at the places that they come from."""
    inputs = op["self"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    kernel, dilation, padding, stride = (op[name] for name in ("kernel_size", "dilation", "padding", "stride"))
    # Windows that overlap are added: so each tap is laid out alone, and the largest of them is what is seen.
    taps = math.prod(kernel)
    planes = []
    for plane in reach.planes:
        lifted = torch.where(plane == NOTHING, 0, plane + _LIFT).expand(-1, *inputs.shape)
        columns: Tensor = lifted.unflatten(-2, (-1, taps))  # type: ignore[no-untyped-call]
        best = None
        for tap in range(taps):
            alone = torch.zeros_like(columns)
            alone[..., tap, :] = columns[..., tap, :]
            laid = torch.stack(
                [F.fold(part.flatten(-3, -2), op["output_size"], kernel, dilation, padding, stride) for part in alone]
            )
            best = laid if best is None else torch.maximum(best, laid)
        assert best is not None
        planes.append(torch.where(best == 0, NOTHING, best - _LIFT))
    return found(replace(reach, planes=tuple(planes)), planes[0].shape[1:])


def triangle(op: Operation) -> Outcome:
    """Keep what is on one side of a diagonal."""
    keep = torch.tril if op.name == "tril" else torch.triu
    return moved(op, lambda plane: keep(plane, op["diagonal"]))


def put(op: Operation) -> Outcome:
    """Overwrite some entries of one tensor by those of another, at places that are known."""
    target, source = op["self"], op.get("src", op.get("values"))
    places = {"index_put": "indices", "scatter": "index"}.get(op.name)
    numbers = [] if places is None else op[places] if isinstance(op[places], list) else [op[places]]
    constants = [op.constant(number) for number in numbers if number is not None]
    if any(constant is None for constant in constants) or op.get("accumulate") or op.get("reduce") is not None:
        return _of_unknown_place(
            op, target, *(part for part in (source, *numbers) if isinstance(part, Tensor)), dims=[]
        )
    seeing = [op.reach(tensor) for tensor in (target, source) if isinstance(tensor, Tensor)]
    template = next(reach for reach in seeing if reach is not None)
    planes = []
    for axis, like in enumerate(template.planes):
        lifted = []
        for tensor in (target, source):
            reach = op.reach(tensor)
            if not isinstance(tensor, Tensor):
                lifted.append(torch.zeros(like.shape[0]))
            elif reach is None:
                lifted.append(torch.zeros(like.shape[0], *tensor.shape))
            else:
                plane = reach.planes[axis]
                lifted.append(torch.where(plane == NOTHING, 0, plane + _LIFT).expand(-1, *tensor.shape))
        results = torch.stack([_put(op, a, b) for a, b in zip(*lifted, strict=True)])
        planes.append(torch.where(results == 0, NOTHING, results - _LIFT))
    return found(replace(template, planes=tuple(planes)), target.shape)


def _put(op: Operation, target: Tensor, source: Tensor) -> Tensor:
    if op.name == "index_put":
        index = tuple(None if number is None else op.constant(number) for number in op["indices"])
        written: Tensor = torch.ops.aten.index_put(target, index, source)
        return written
    if op.name == "scatter":
        number = op.constant(op["index"])
        assert number is not None
        return target.scatter(op["dim"], number, source if source.ndim else source.expand(number.shape))
    if op.name == "slice_scatter":
        return target.slice_scatter(source, op["dim"], op["start"], op["end"], op["step"])
    return target.select_scatter(source, op["dim"], op["index"])


def pixel_shuffle(op: Operation) -> Outcome:
    """From channels to places: every place becomes r x r of them."""
    inputs, r = op["self"], op["upscale_factor"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    *lead, c, h, w = inputs.shape
    at = len(lead)
    reach = reshaped(reach, inputs.shape, [*lead, c // r**2, r, r, h, w])
    reach = reach.permute([*range(at), at, at + 3, at + 1, at + 4, at + 2])
    return _interleave(reach, [*lead, c // r**2, h, r, w, r], r)


def _interleave(reach: Reach, shape: Sequence[int], r: int) -> Reach:
    """Merge (h, r) and (w, r) at the end; every step of h or w becomes r of them."""
    from visionlib.summary.reach import Course

    at = len(shape) - 4
    courses = [reach.dims[at].course, reach.dims[at + 2].course]
    merged = reshaped(reach, shape, [*shape[:at], shape[at] * r, shape[at + 2] * r])
    dims = list(merged.dims)
    for offset, course in enumerate(courses):
        if course is not None:
            dims[at + offset] = Along(dims[at + offset].axes, Course(course.axis, course.period * r, course.shift))
    return replace(merged, dims=tuple(dims))


def pixel_unshuffle(op: Operation) -> Outcome:
    """From places to channels: r x r places become one."""
    inputs, r = op["self"], op["downscale_factor"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    *lead, c, h, w = inputs.shape
    parts = []
    for row in range(r):
        for column in range(r):
            part = _pick(reach, len(lead) + 1, h, range(row, h, r), r)
            parts.append((_pick(part, len(lead) + 2, w, range(column, w, r), r).insert(len(lead) + 1), 1))
    joined = concatenate(parts, len(lead) + 1)
    shape = [*lead, c, r * r, h // r, w // r]
    return reshaped(joined, shape, op.outputs[0].shape)


def channel_shuffle(op: Operation) -> Outcome:
    """Mix the channels of groups."""
    inputs, groups = op["self"], op["groups"]
    reach = op.reach(inputs)
    if reach is None:
        return None
    n, c, *places = inputs.shape
    reach = reshaped(reach, inputs.shape, [n, groups, c // groups, *places])
    reach = reach.permute([0, 2, 1, *range(3, 3 + len(places))])
    return reshaped(reach, [n, c // groups, groups, *places], inputs.shape)


def moved(op: Operation, move: Callable[[Tensor], Tensor], source: Tensor | None = None) -> Outcome:
    """Move every plane as the operation moves the tensor; zeros that it fills in see nothing."""
    inputs = op.first if source is None else source
    reach = op.reach(inputs)
    if reach is None:
        return None
    planes = []
    for plane in reach.planes:
        lifted = torch.where(plane == NOTHING, 0, plane + _LIFT).expand(-1, *inputs.shape)
        results = torch.stack([move(part) for part in lifted])
        planes.append(torch.where(results == 0, NOTHING, results - _LIFT))
    return found(replace(reach, planes=tuple(planes)), planes[0].shape[1:])


def found(reach: Reach, shape: Sequence[int]) -> Reach:
    """Find out along which dimensions a reach moves that has been written out, and how it goes on."""
    reach = compact(replace(reach, dims=(STILL,) * len(shape)))
    dims = tuple(
        Along(frozenset(axis for axis, plane in enumerate(reach.planes) if plane.shape[dim + 1] > 1))
        for dim in range(len(shape))
    )
    return replace(reach, dims=dims).find_courses(shape)


def reshaped(reach: Reach, old: Sequence[int], new: Sequence[int]) -> Reach:
    """Give the same entries another shape."""
    planes = list(reach.planes)
    dims: list[Along] = []
    pieces: list[tuple[list[int], list[int]]] = []
    for olds, news in _match(old, new):
        pieces.append((olds, news))
        axes = frozenset[int]().union(*(reach.dims[dim].axes for dim in olds))
        if len(olds) == len(news) == 1:
            dims.append(reach.dims[olds[0]])
        elif not news:
            # A dimension of size 1 goes away: what it stood for goes on in the one before it.
            if dims and axes:
                dims[-1] = Along(dims[-1].axes | axes, dims[-1].course)
        else:
            real = [dim for dim in news if new[dim] > 1]
            dims += [Along(axes) if dim in real else STILL for dim in news]
    for axis, plane in enumerate(planes):
        shape: list[int] = [plane.shape[0]]
        full: list[int] = [plane.shape[0]]
        for olds, news in pieces:
            is_still = all(plane.shape[dim + 1] == 1 for dim in olds)
            full += [plane.shape[dim + 1] if is_still or len(olds) == len(news) == 1 else old[dim] for dim in olds]
            if len(olds) == len(news) == 1:
                shape.append(plane.shape[olds[0] + 1])
            else:
                shape += [1 if is_still else new[dim] for dim in news]
        planes[axis] = plane.expand(full).reshape(shape)
    result = replace(reach, planes=tuple(planes), dims=tuple(dims))
    return result.find_courses(new)


def _match(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Pair the dimensions of two shapes with the same entries: the shortest runs of equal products."""
    pairs: list[tuple[list[int], list[int]]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            pairs.append(([i], [j]))
            i, j = i + 1, j + 1
            continue
        if i < len(old) and old[i] == 1:
            pairs.append(([i], []))
            i += 1
            continue
        if j < len(new) and new[j] == 1:
            pairs.append(([], [j]))
            j += 1
            continue
        olds, news = [i], [j]
        while (a := math.prod(old[at] for at in olds)) != (b := math.prod(new[at] for at in news)):
            if a < b:
                olds.append(olds[-1] + 1)
            else:
                news.append(news[-1] + 1)
        pairs.append((olds, news))
        i, j = olds[-1] + 1, news[-1] + 1
    return pairs


def _pick(reach: Reach, dim: int, n: int, index: Sequence[int], step: int | None = None) -> Reach:
    if reach.is_still(dim):
        return reach
    picked = reach.look(dim, picking(n, list(index), step))
    if step is None and len(index) > 1:
        # In no even order: how it goes on has to be found out, and for one entry alone it stays as it was.
        dims = list(picked.dims)
        dims[dim] = Along(dims[dim].axes)
        picked = replace(picked, dims=tuple(dims)).find_courses(
            [len(index) if at == dim else 2 for at in range(picked.ndim)]
        )
    return picked
