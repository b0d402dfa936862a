"""Verify the exact receptive fields by derivatives of the model, in double precision.

A copy of the model gets random positive weights, and operations that stop gradients are replaced: activations by the
identity, max pools by mean pools, normalization by a sum over the elements that it mixes. Then derivatives cannot
cancel: an element depends on a line of pixels exactly if its derivative along that line is not zero.

One forward pass for each row and column of the image, in forward mode, gives the derivatives of all elements of all
layers. So nothing that the table claims decides which elements are compared. Where an operation has no forward mode,
single elements are compared by reverse mode.
"""

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from visionlib.summary.calls import CallLog, first_tensor
from visionlib.summary.following import follow
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
    twin, image = _positive_twin(model, input_size)
    axes, reaches = range(len(input_size) - 1), list[_Reach | None]()
    for axis in axes:
        for line in range(input_size[axis + 1]):
            tangent = torch.zeros_like(image)
            tangent.select(axis + 2, line).fill_(1.0)
            with forward_ad.dual_level():
                log = _run(twin, forward_ad.make_dual(image, tangent), _depends)  # type: ignore[no-untyped-call]
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


@torch.inference_mode(False)
def run_with_positive_weights(model: nn.Module, input_size: tuple[int, ...]) -> tuple[CallLog, Tensor]:
    """Run a copy of the model in double precision, so that no gradient is zero where an output depends on a pixel.

    Returns:
        The calls with their outputs, and the image.
    """
    twin, image = _positive_twin(model, input_size)
    image.requires_grad_()
    # A copy: the model may not write in place to a leaf.
    with torch.enable_grad():
        return _run(twin, image * 1.0, _copied), image


def _positive_twin(model: nn.Module, input_size: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
    """Copy a model with random positive weights, and draw an image."""
    generator = torch.Generator().manual_seed(_SEED)
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((0.5 + drawn) / fan_in)
            parameter.requires_grad_(False)
    return twin, torch.rand((1, *input_size), generator=generator, dtype=torch.float64) + 0.5


def _run(twin: nn.Module, image: Tensor, keep: Callable[[Any], Tensor | None]) -> CallLog:
    log = CallLog(twin)
    with log.recording(keep), _DifferentiableOps(), torch.random.fork_rng():
        twin(image)
    return log


def _copied(result: Any) -> Tensor | None:
    """Copy the output of a module: a later layer may write to it in place."""
    tensor = first_tensor(result)
    return None if tensor is None else tensor.clone()


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


class _DifferentiableOps(TorchFunctionMode):
    """Replace functions by others with the same dependences, whose gradients are never zero."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replacement = _REPLACEMENTS.get(getattr(func, "__name__", ""), func)
        return replacement(*args, **(kwargs or {}))


def _identity(inputs: Tensor, *_: Any, **__: Any) -> Tensor:
    return inputs.clone()


def _mean_pool(count: int) -> Callable[..., Tensor]:
    average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[count - 1]

    def pool(
        inputs: Tensor,
        kernel_size: Any,
        stride: Any = None,
        padding: Any = 0,
        dilation: Any = 1,
        ceil_mode: bool = False,
        return_indices: bool = False,
    ) -> Tensor:
        if dilation in (1, (1,) * count):
            return average(inputs, kernel_size, stride or kernel_size, padding, ceil_mode)
        convolve = (F.conv1d, F.conv2d, F.conv3d)[count - 1]
        kernel = (kernel_size,) * count if isinstance(kernel_size, int) else tuple(kernel_size)
        ones = torch.ones(inputs.shape[1], 1, *kernel, dtype=inputs.dtype)
        return convolve(inputs, ones, None, stride or kernel_size, padding, dilation, inputs.shape[1])

    return pool


def _adaptive_mean_pool(count: int) -> Callable[..., Tensor]:
    average = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[count - 1]
    return lambda inputs, output_size, return_indices=False: average(inputs, output_size)


def _mix_groups(inputs: Tensor, groups: int, *_: Any, **__: Any) -> Tensor:
    grouped: Tensor = inputs.unflatten(1, (groups, -1))  # type: ignore[no-untyped-call]
    return (grouped + grouped.mean(2, keepdim=True)).flatten(1, 2)


def _mix_last(inputs: Tensor, normalized_shape: Any, *_: Any, **__: Any) -> Tensor:
    # A normalization over whole images mixes only the channels, as the table assumes.
    return (
        inputs + inputs.mean(-1, keepdim=True) if len(normalized_shape) == 1 else inputs + inputs.mean(1, keepdim=True)
    )


_ACTIVATIONS = (
    "relu relu_ relu6 hardtanh hardtanh_ hardswish hardswish_ hardsigmoid hardsigmoid_ gelu silu silu_ mish mish_ "
    "leaky_relu leaky_relu_ elu elu_ selu selu_ celu celu_ softplus sigmoid sigmoid_ tanh tanh_ rrelu rrelu_ "
    "threshold threshold_ hardshrink softshrink tanhshrink softsign logsigmoid prelu "
    "dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout "
    "batch_norm instance_norm detach clamp clamp_ clamp_min clamp_max abs round floor ceil sign"
)
_REPLACEMENTS: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(_ACTIVATIONS.split(), _identity),
    "max_pool1d": _mean_pool(1),
    "max_pool2d": _mean_pool(2),
    "max_pool3d": _mean_pool(3),
    "adaptive_max_pool1d": _adaptive_mean_pool(1),
    "adaptive_max_pool2d": _adaptive_mean_pool(2),
    "adaptive_max_pool3d": _adaptive_mean_pool(3),
    "amax": torch.Tensor.mean,
    "group_norm": _mix_groups,
    "layer_norm": _mix_last,
}
