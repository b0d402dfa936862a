"""Elementwise operations, masks among them."""

from dataclasses import replace

import torch
from torch import Tensor

from visionlib.summary.operation import Operation, RuleResult
from visionlib.summary.receptive_fields import NOTHING, ReceptiveFields, compact, join
from visionlib.summary.rules.alignment import note_alignment
from visionlib.summary.rules.masks import is_minus_infinity


def pointwise(op: Operation) -> ReceptiveFields:
    """Combine elementwise: every output sees what the elements at its index see."""
    note_alignment(op, op.dependent_tensors())
    return join(op.dependences(), op.outputs[0].ndim)


def add(op: Operation) -> RuleResult:
    """Add; where a constant is minus infinity, as in attention masks, the sum does not depend on the other term."""
    joined = pointwise(op)
    for argument in ("self", "other"):
        if (is_infinite := is_minus_infinity(op, argument)) is not None:
            joined = mask_out(joined, is_infinite)
    return joined


def masked_fill(op: Operation) -> RuleResult:
    """Overwrite the elements in a mask."""
    mask = op.constant(op["mask"])
    fields = op.fields(op["self"])
    if mask is None or fields is None or op.fields(op["value"]) is not None:
        return pointwise(op)
    return mask_out(join([fields], op.outputs[0].ndim), mask)


def where(op: Operation) -> RuleResult:
    """Choose elements of two tensors by a mask."""
    mask = op.constant(op["condition"])
    if mask is None:
        return pointwise(op)
    ndim = op.outputs[0].ndim
    parts = [
        mask_out(join([fields], ndim), not_chosen)
        for value, not_chosen in ((op["self"], ~mask.bool()), (op["other"], mask.bool()))
        if isinstance(value, Tensor) and (fields := op.fields(value)) is not None
    ]
    return join(parts, ndim)


def copy(op: Operation) -> RuleResult:
    """Overwrite by the elements of another tensor."""
    fields = op.fields(op["src"])
    return None if fields is None else join([fields], op.outputs[0].ndim)


def constant(op: Operation) -> RuleResult:
    """Make a new tensor; only its shape comes from the image."""
    return None


def mask_out(fields: ReceptiveFields, mask: Tensor) -> ReceptiveFields:
    """Empty the fields of the elements in a mask."""
    while mask.ndim < fields.ndim:
        mask = mask[None]
    mask = mask.cpu()
    bounds = tuple(torch.where(mask, NOTHING, bound) for bound in fields.bounds)
    # The mask does not repeat as the fields do.
    dims = tuple(
        replace(dimension, periodicity=None)
        if dimension.periodicity is not None and bool((mask != mask.narrow(dim, 0, 1)).any())
        else dimension
        for dim, dimension in enumerate(fields.dims)
    )
    return compact(replace(fields, bounds=bounds, dims=dims))


def view_as_real(op: Operation) -> RuleResult:
    """Split complex numbers into two along a new last dimension."""
    return op.input_fields.insert(op.first.ndim)


def view_as_complex(op: Operation) -> RuleResult:
    """Join pairs along the last dimension to complex numbers."""
    return op.input_fields.reduce([op.first.ndim - 1]).drop(op.first.ndim - 1)
