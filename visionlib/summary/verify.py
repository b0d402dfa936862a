"""Verify the exact receptive fields by gradients of the model, in double precision.

A copy of the model gets random positive weights, and operations that stop gradients are replaced: activations by the
identity, max pools by mean pools, normalization by a sum over the elements that it mixes. Then gradients cannot cancel:
a position depends on a pixel exactly if its gradient there is not zero.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from visionlib.summary.calls import CallLog, first_tensor
from visionlib.summary.following import follow
from visionlib.summary.receptive_fields import NOTHING, SEEN_HIGH, SEEN_LOW, ReceptiveFields

_SEED = 0


@dataclass(frozen=True)
class Verification:
    """Result of the comparison.

    Attributes:
        layers: number of compared module calls.
        positions: number of compared positions, over all layers.
        mismatch: the first layer and position where the bounds differ, with both; None if there is none.
    """

    layers: int
    positions: int
    mismatch: str | None

    def __str__(self) -> str:
        if self.mismatch is not None:
            return f"differs: {self.mismatch}"
        return f"verified: {self.positions:,} positions of {self.layers} layers agree with the gradient"


@torch.inference_mode(False)
def verify(model: nn.Module, input_size: tuple[int, ...]) -> Verification:
    """Compare the bounds of every layer within an image with the gradient of a copy of the model.

    The first, middle and last position of every module call are compared, over all channels together.

    Args:
        model: any module that takes one image; its state is unchanged afterwards.
        input_size: channels, height and width.
    Raises:
        ModelError: as `summarize`.
    """
    exact = follow(model, [input_size])
    log, image = run_with_positive_weights(model, input_size)
    layers = positions = 0
    for ours, theirs in zip(exact.calls, log.calls, strict=True):
        fields = None if ours.output is None else ours.output.fields
        if fields is None or theirs.output is None:
            continue
        layers += 1
        for position in _choose_positions(fields, theirs.output.shape):
            positions += 1
            by_gradient = _bounds_by_gradient(theirs.output, image, position)
            by_table = _bounds_by_table(fields, position)
            if by_gradient != by_table:
                where = ", ".join(map(str, position.values()))
                seen, reached = _format_spans(by_table), _format_spans(by_gradient)
                return Verification(
                    layers, positions, f"{ours.title} at ({where}) sees {seen}, by the gradient {reached}"
                )
    return Verification(layers, positions, None)


@torch.inference_mode(False)
def run_with_positive_weights(model: nn.Module, input_size: tuple[int, ...]) -> tuple[CallLog, Tensor]:
    """Run a copy of the model in double precision, so that no gradient is zero where an output depends on a pixel.

    Returns:
        The calls with their outputs, and the image.
    """
    generator = torch.Generator().manual_seed(_SEED)
    twin = copy.deepcopy(model).to(device="cpu", dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in twin.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 1
            drawn = torch.rand(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_((0.5 + drawn) / fan_in)
            parameter.requires_grad_(False)
    image = torch.rand((1, *input_size), generator=generator, dtype=torch.float64) + 0.5
    image.requires_grad_()
    log = CallLog(twin)
    with log.recording(_copied), _DifferentiableOps(), torch.enable_grad(), torch.random.fork_rng():
        # A copy: the model may not write in place to a leaf.
        twin(image * 1.0)
    return log, image


def _copied(result: Any) -> Tensor | None:
    """Copy the output of a module: a later layer may write to it in place."""
    tensor = first_tensor(result)
    return None if tensor is None else tensor.clone()


def _choose_positions(fields: ReceptiveFields, shape: torch.Size) -> list[dict[int, int]]:
    """Choose the first, middle and last index along every dimension with moving fields."""
    # Bounds may vary without known axes; along batch and channels they are compared together.
    varying = {dim for dim in range(2, len(shape)) for bound in fields.bounds if bound.shape[dim + 1] > 1}
    moving = [dim for dim in range(len(shape)) if fields.dims[dim].axes or dim in varying]
    chosen = [{dim: at(shape[dim]) for dim in moving} for at in (lambda n: 0, lambda n: n // 2, lambda n: n - 1)]
    return [position for number, position in enumerate(chosen) if position not in chosen[:number]]


def _bounds_by_gradient(output: Tensor, image: Tensor, position: dict[int, int]) -> list[tuple[int, int] | None]:
    part = output
    for dim in sorted(position, reverse=True):
        part = part.select(dim, position[dim])
    part = torch.view_as_real(part) if part.is_complex() else part
    generator = torch.Generator().manual_seed(_SEED)
    weights = torch.rand(part.shape, generator=generator, dtype=torch.float64) + 0.5
    if not part.requires_grad:
        return [None] * (image.ndim - 2)
    (gradient,) = torch.autograd.grad((part * weights).sum(), image, retain_graph=True, allow_unused=True)
    spans: list[tuple[int, int] | None] = []
    for dim in range(2, image.ndim):
        others = [other for other in range(image.ndim) if other != dim]
        lines = [] if gradient is None else gradient.abs().amax(others).nonzero().flatten().tolist()
        spans.append((lines[0], lines[-1]) if lines else None)
    return spans


def _bounds_by_table(fields: ReceptiveFields, position: dict[int, int]) -> list[tuple[int, int] | None]:
    spans: list[tuple[int, int] | None] = []
    for bound in fields.bounds:
        part = bound
        for dim in sorted(position, reverse=True):
            part = part.select(dim + 1, min(position[dim], part.shape[dim + 1] - 1))
        low, high = (float(part[row].max()) for row in (SEEN_LOW, SEEN_HIGH))
        spans.append(None if low == NOTHING or high == NOTHING else (int(-low), int(high)))
    # A field that is empty along one axis is empty.
    return [None] * len(spans) if None in spans else spans


def _format_spans(spans: list[tuple[int, int] | None]) -> str:
    return " x ".join("nothing" if span is None else f"{span[0]}..{span[1]}" for span in spans)


class _DifferentiableOps(TorchFunctionMode):
    """Replace functions by others with the same dependences, whose gradients are never zero."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replacement = _REPLACEMENTS.get(getattr(func, "__name__", ""), func)
        return replacement(*args, **(kwargs or {}))


def _identity(inputs: Tensor, *_: Any, **__: Any) -> Tensor:
    return inputs * 1.0


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
    "batch_norm instance_norm clamp clamp_ clamp_min clamp_max abs round floor ceil sign"
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
