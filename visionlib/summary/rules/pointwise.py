"""What works entry by entry, and what decides between entries by a mask."""

from dataclasses import replace

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, Outcome
from visionlib.summary.reach import NOTHING, Reach, compact, join
from visionlib.summary.rules.alignment import note_alignment
from visionlib.summary.rules.masks import is_minus_infinity


def pointwise(op: Operation) -> Outcome:
    """Combine entry by entry: each output sees what the entries at its place saw."""
    reaches = [reach for tensor in op.seeing() if (reach := op.reach(tensor)) is not None]
    ndim = op.outputs[0].ndim
    if len(reaches) > 1:
        note_alignment(op, op.seeing())
    return join(reaches, ndim) if reaches else None


def add(op: Operation) -> Outcome:
    """Add; where a constant is minus infinity, as in the masks of attention, nothing of the other is left."""
    joined = pointwise(op)
    for argument in ("self", "other"):
        if isinstance(joined, Reach) and (is_hidden := is_minus_infinity(op, argument)) is not None:
            joined = hide(joined, is_hidden)
    return joined


def masked_fill(op: Operation) -> Outcome:
    """Overwrite where a mask says so."""
    mask = op.constant(op["mask"])
    reach = op.reach(op["self"])
    if mask is None or reach is None or op.reach(op["value"]) is not None:
        return pointwise(op)
    return hide(join([reach], op.outputs[0].ndim), mask)


def where(op: Operation) -> Outcome:
    """Take from the one or the other, as a mask says."""
    mask = op.constant(op["condition"])
    if mask is None:
        return pointwise(op)
    ndim = op.outputs[0].ndim
    parts = [
        hide(join([reach], ndim), is_hidden)
        for value, is_hidden in ((op["self"], ~mask.bool()), (op["other"], mask.bool()))
        if isinstance(value, Tensor) and (reach := op.reach(value)) is not None
    ]
    return join(parts, ndim) if parts else None


def take_over(op: Operation) -> Outcome:
    """Take the entries of another tensor."""
    reach = op.reach(op["src"])
    return None if reach is None else join([reach], op.outputs[0].ndim)


def constant(op: Operation) -> Outcome:
    """Make something new, of which only the shape comes from the image."""
    return None


def hide(reach: Reach, is_hidden: Tensor) -> Reach:
    """Let the entries where a mask is set see nothing."""
    while is_hidden.ndim < reach.ndim:
        is_hidden = is_hidden[None]
    planes = tuple(torch.where(is_hidden.cpu(), NOTHING, plane) for plane in reach.planes)
    return compact(replace(reach, planes=planes))
