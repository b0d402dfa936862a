"""Propagation of attention masks, so that a masked position does not count as seen.

A masked score is minus infinity before the softmax and exactly zero after it, for any image. A product with zero does
not depend on the other factor.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from visionlib.summary.operation import Operation


def find_masked(op: Operation) -> Tensor | None:
    """Masked elements of the first output; None if none is, or the operation has no mask rule."""
    rule = _MASK_RULES.get(op.name)
    masked = None if rule is None else rule(op)
    return masked if masked is not None and bool(masked.any()) else None


def is_minus_infinity(op: Operation, argument: str) -> Tensor | None:
    """Where an argument that does not depend on the image is minus infinity; None if nowhere."""
    constant = op.constant(op.get(argument))
    if constant is None or not constant.is_floating_point() or constant.ndim == 0:
        return None
    is_infinite = constant.isneginf()
    return is_infinite if bool(is_infinite.any()) else None


def _added(op: Operation) -> Tensor | None:
    shape = op.outputs[0].shape
    masks = [op.masked_elements(op.get(name)) for name in ("self", "other")]
    masks += [is_minus_infinity(op, name) for name in ("self", "other")]
    return _any([mask for mask in masks if mask is not None], shape)


def _filled(op: Operation) -> Tensor | None:
    mask, value = op.constant(op["mask"]), op["value"]
    constant = op.constant(value)
    fills_infinity = value == -torch.inf if constant is None else constant.ndim == 0 and bool(constant.isneginf())
    masks = [op.masked_elements(op["self"]), mask if fills_infinity else None]
    return _any([mask for mask in masks if mask is not None], op.outputs[0].shape)


def _unchanged(op: Operation) -> Tensor | None:
    return op.masked_elements(op.first)


def _reshaped(op: Operation) -> Tensor | None:
    masked = op.masked_elements(op.first)
    return None if masked is None else masked.expand(op.first.shape).reshape(op.outputs[0].shape)


def _expanded(op: Operation) -> Tensor | None:
    masked = op.masked_elements(op.first)
    return None if masked is None else masked.expand(op.outputs[0].shape)


def _any(masks: list[Tensor], shape: torch.Size) -> Tensor | None:
    if not masks:
        return None
    masked = torch.zeros(shape, dtype=torch.bool)
    for mask in masks:
        masked = masked | mask.cpu()
    return masked


_MASK_RULES: dict[str, Callable[[Operation], Tensor | None]] = {
    "add": _added,
    "baddbmm": _added,
    "masked_fill": _filled,
    **dict.fromkeys(
        ["_softmax", "_safe_softmax", "clone", "detach", "alias", "_to_copy", "native_dropout"], _unchanged
    ),
    **dict.fromkeys(["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"], _reshaped),
    "expand": _expanded,
}
