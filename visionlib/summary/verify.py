"""Verify the exact receptive fields by derivatives of the model, in double precision.

The derivatives are those of a `positive_twin`, where none vanishes or cancels: an element depends on a line of pixels
exactly if its derivative along that line is not zero.

One forward pass for each row and column of the image, in forward mode, gives the derivatives of all elements of all
layers. So nothing that the table claims decides which elements are compared. Where an operation has no forward mode,
single elements are compared by reverse mode.
"""

import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from visionlib.summary.calls import CallLog, first_tensor
from visionlib.summary.following import follow
from visionlib.summary.positive_twin import make_positive_twin, run_twin, run_with_positive_weights
from visionlib.summary.receptive_fields import NOTHING, SEEN_HIGH, SEEN_LOW

_SEED = 0
_RANDOM_ELEMENTS = 30
"""Elements of an output that reverse mode compares, besides the first and the last."""


@dataclass(frozen=True)
class Verification:
    """Result of the comparison.

    Attributes:
        layers: number of compared module calls.
        positions: number of compared elements, over all layers.
        mismatch: the first layer and element where the bounds differ, with both; None if there is none.
    """

    layers: int
    positions: int
    mismatch: str | None

    def __str__(self) -> str:
        if self.mismatch is not None:
            return f"differs: {self.mismatch}"
        return f"verified: {self.positions:,} elements of {self.layers} layers agree with the gradient"


@torch.inference_mode(False)
def verify(model: nn.Module, input_size: tuple[int, ...]) -> Verification:
    """Compare the bounds of every element of every layer within an image with the derivatives of a copy of the model.

    Args:
        model: any module that takes one image; its state is unchanged afterwards.
        input_size: channels, height and width.
    Raises:
        ModelError: as `summarize`.
    """
    return compare_with_derivatives(follow(model, [input_size]), model, input_size)


@torch.inference_mode(False)
def compare_with_derivatives(exact: CallLog, model: nn.Module, input_size: tuple[int, ...]) -> Verification:
    """Compare the fields of a trace with the derivatives of a copy of the model."""
    try:
        with warnings.catch_warnings():
            # PyTorch's forward mode still imports what another part of it calls deprecated.
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)
            measured = _reach_of_lines(model, input_size)
    except NotImplementedError:
        measured = _reach_of_elements(model, input_size)
    layers = positions = 0
    for call, reached in zip(exact.calls, measured, strict=True):
        fields = None if call.output is None else call.output.fields
        if fields is None or reached is None:
            continue
        layers += 1
        shape = reached.low.shape[1:]
        low, high = (
            torch.stack([bound[row].expand(shape) for bound in fields.bounds]) for row in (SEEN_LOW, SEEN_HIGH)
        )
        # A field that is empty along one axis is empty.
        is_empty = ((low == NOTHING) | (high == NOTHING)).any(0)
        differs = ((-low != reached.low) | (high != reached.high)).any(0)
        differs = torch.where(is_empty | reached.is_empty, is_empty != reached.is_empty, differs) & reached.is_known
        positions += int(reached.is_known.sum())
        if bool(differs.any()):
            at: tuple[int, ...] = tuple(differs.nonzero()[0].tolist())
            ours = _format_spans(-low, high, is_empty, at)
            theirs = _format_spans(reached.low, reached.high, reached.is_empty, at)
            where = ", ".join(map(str, at))
            return Verification(layers, positions, f"{call.title} at ({where}) sees {ours}, by the gradient {theirs}")
    return Verification(layers, positions, None)


@dataclass(frozen=True, eq=False)
class _Reach:
    """Pixels on which the elements of an output depend, by derivatives.

    Attributes:
        low: first row and column, of shape (axes, *shape).
        high: last row and column.
        is_known: which elements were measured.
    """

    low: Tensor
    high: Tensor
    is_known: Tensor

    @property
    def is_empty(self) -> Tensor:
        """Which elements depend on no pixel."""
        return (self.high < 0).any(0)


def _reach_of_lines(model: nn.Module, input_size: tuple[int, ...]) -> list[_Reach | None]:
    """Measure all elements: one forward pass per line of the image, with the derivative along it.

    Raises:
        NotImplementedError: if an operation of the model has no forward mode.
    """
    twin, image = make_positive_twin(model, input_size)
    axes, reaches = range(len(input_size) - 1), list[_Reach | None]()
    for axis in axes:
        for line in range(input_size[axis + 1]):
            tangent = torch.zeros_like(image)
            tangent.select(axis + 2, line).fill_(1.0)
            with forward_ad.dual_level():
                log = run_twin(twin, forward_ad.make_dual(image, tangent), _depends)  # type: ignore[no-untyped-call]
            if not reaches:
                reaches = [
                    None if call.output is None else _empty_reach(call.output.shape, len(axes)) for call in log.calls
                ]
            for reach, call in zip(reaches, log.calls, strict=True):
                if reach is not None:
                    reach.low[axis][call.output & (reach.high[axis] < 0)] = line
                    reach.high[axis][call.output] = line
    return reaches


def _empty_reach(shape: torch.Size, axes: int) -> _Reach:
    low, high = (torch.full((axes, *shape), value) for value in (2**20, -1))
    return _Reach(low, high, torch.ones(shape, dtype=torch.bool))


def _depends(result: Any) -> Tensor | None:
    """Which elements of an output have a derivative other than zero."""
    tensor = first_tensor(result)
    if tensor is None:
        return None
    tangent = forward_ad.unpack_dual(tensor).tangent  # type: ignore[no-untyped-call]
    return torch.zeros(tensor.shape, dtype=torch.bool) if tangent is None else tangent != 0


def _reach_of_elements(model: nn.Module, input_size: tuple[int, ...]) -> list[_Reach | None]:
    """Measure the first, the last and some random elements of every output, by reverse mode."""
    log, image = run_with_positive_weights(model, input_size)
    generator = torch.Generator().manual_seed(_SEED)
    reaches: list[_Reach | None] = []
    for call in log.calls:
        if call.output is None:
            reaches.append(None)
            continue
        shape, count = call.output.shape, call.output.numel()
        reach = _empty_reach(shape, len(input_size) - 1)
        reach.is_known.fill_(False)
        random = torch.randint(count, (_RANDOM_ELEMENTS,), generator=generator).tolist() if count else []
        for number in sorted({0, count - 1, *random}) if count else []:
            at = tuple(int(index) for index in torch.unravel_index(torch.tensor(number), shape))
            reach.is_known[at] = True
            for axis, span in enumerate(_span_by_gradient(call.output[at], image)):
                if span is not None:
                    reach.low[axis, *at], reach.high[axis, *at] = span
        reaches.append(reach)
    return reaches


def _span_by_gradient(element: Tensor, image: Tensor) -> list[tuple[int, int] | None]:
    """First and last row and column on which an element depends; None if on none."""
    element = torch.view_as_real(element).sum() if element.is_complex() else element
    if not element.requires_grad:
        return [None] * (image.ndim - 2)
    (gradient,) = torch.autograd.grad(element, image, retain_graph=True, allow_unused=True)
    spans: list[tuple[int, int] | None] = []
    for axis in range(image.ndim - 2):
        if gradient is None:
            spans.append(None)
            continue
        others = [dim for dim in range(image.ndim) if dim != axis + 2]
        lines = (gradient != 0).sum(others).nonzero().flatten().tolist()
        spans.append((lines[0], lines[-1]) if lines else None)
    return spans


def _format_spans(low: Tensor, high: Tensor, is_empty: Tensor, at: tuple[int, ...]) -> str:
    if bool(is_empty[at]):
        return "nothing"
    return " x ".join(f"{int(first[at])}..{int(last[at])}" for first, last in zip(low, high, strict=True))
