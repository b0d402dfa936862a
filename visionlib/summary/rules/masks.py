"""Which entries a mask has blanked out.

What attention must not attend to is minus infinity before its softmax, and exactly zero after it, so that it carries
nothing of the values that it is multiplied with.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from visionlib.summary.operation import Operation


def find_blanks(op: Operation) -> Tensor | None:
    """Tell which entries of the result are blanked out; None if none is, or that is not known."""
    rule = _BLANKS.get(op.name)
    blanks = None if rule is None else rule(op)
    return blanks if blanks is not None and bool(blanks.any()) else None


def is_minus_infinity(op: Operation, argument: str) -> Tensor | None:
    """Tell where an argument that does not depend on the image is minus infinity."""
    constant = op.constant(op.get(argument))
    if constant is None or not constant.is_floating_point() or constant.ndim == 0:
        return None
    is_blank = constant.isneginf()
    return is_blank if bool(is_blank.any()) else None


def _added(op: Operation) -> Tensor | None:
    shape = op.outputs[0].shape
    found = [op.blank(op.get(name)) for name in ("self", "other")]
    found += [is_minus_infinity(op, name) for name in ("self", "other")]
    return _any([blanks for blanks in found if blanks is not None], shape)


def _filled(op: Operation) -> Tensor | None:
    mask, value = op.constant(op["mask"]), op["value"]
    constant = op.constant(value)
    is_endless = value == -torch.inf if constant is None else constant.ndim == 0 and bool(constant.isneginf())
    found = [op.blank(op["self"]), mask if is_endless else None]
    return _any([blanks for blanks in found if blanks is not None], op.outputs[0].shape)


def _kept(op: Operation) -> Tensor | None:
    return op.blank(op.first)


def _reshaped(op: Operation) -> Tensor | None:
    blanks = op.blank(op.first)
    return None if blanks is None else blanks.expand(op.first.shape).reshape(op.outputs[0].shape)


def _expanded(op: Operation) -> Tensor | None:
    blanks = op.blank(op.first)
    return None if blanks is None else blanks.expand(op.outputs[0].shape)


def _any(found: list[Tensor], shape: torch.Size) -> Tensor | None:
    if not found:
        return None
    blanks = torch.zeros(shape, dtype=torch.bool)
    for mask in found:
        blanks = blanks | mask.cpu()
    return blanks


_BLANKS: dict[str, Callable[[Operation], Tensor | None]] = {
    "add": _added,
    "baddbmm": _added,
    "masked_fill": _filled,
    **dict.fromkeys(["_softmax", "_safe_softmax", "clone", "detach", "alias", "_to_copy", "native_dropout"], _kept),
    **dict.fromkeys(["view", "_unsafe_view", "reshape", "unsqueeze", "squeeze"], _reshaped),
    "expand": _expanded,
}
