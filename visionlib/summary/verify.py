"""Check the exact receptive fields against gradients of the model itself, in double precision.

A copy of the model gets random positive weights, and what cuts gradients short is put aside: activations let everything
through, a maximum over a window becomes a mean over it, normalisation mixes what it mixes and divides by nothing. Then
no gradient cancels another, and a position depends on a pixel exactly if its gradient there is not zero.
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
from visionlib.summary.reach import NOTHING, SEEN_HIGH, SEEN_LOW, Reach

_SEED = 0


@dataclass(frozen=True)
class Verdict:
    """What the comparison came to.

    Attributes:
        layers: number of module calls that were compared.
        positions: number of positions, of all of them together.
        differs: the first layer whose field is another by the gradient, and both; None if there is none.
    """

    layers: int
    positions: int
    differs: str | None

    def __str__(self) -> str:
        if self.differs is not None:
            return f"differs: {self.differs}"
        return f"verified: {self.positions:,} positions of {self.layers} layers see what their gradients reach"


@torch.inference_mode(False)
def verify(model: nn.Module, input_size: tuple[int, ...]) -> Verdict:
    """Compare what every layer sees of an image with the gradient of a copy of the model.

    Of every module call the first, the middle and the last position are compared, over all channels together.

    Args:
        model: any module that takes one image; it is left as it was.
        input_size: channels, height and width.
    Raises:
        ModelError: as `summarize`.
    """
    exact = follow(model, [input_size])
    log, image = run_smoothly(model, input_size)
    layers = positions = 0
    for ours, theirs in zip(exact.calls, log.calls, strict=True):
        reach = None if ours.output is None else ours.output.reach
        if reach is None or theirs.output is None:
            continue
        layers += 1
        for place in _places(reach, theirs.output.shape):
            positions += 1
            found = _by_gradient(theirs.output, image, place)
            told = _by_reach(reach, place, theirs.output.shape)
            if found != told:
                where = ", ".join(str(at) for at in place.values())
                return Verdict(
                    layers, positions, f"{ours.title} at ({where}) sees {_say(told)}, by the gradient {_say(found)}"
                )
    return Verdict(layers, positions, None)


@torch.inference_mode(False)
def run_smoothly(model: nn.Module, input_size: tuple[int, ...]) -> tuple[CallLog, Tensor]:
    """Run a copy of the model, whose gradients reach whatever its outputs depend on, in double precision.

    Returns:
        The calls with their outputs, and the image that went in.
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
    with log.watching(_copied), _Smooth(), torch.enable_grad(), torch.random.fork_rng():
        # Written to in place, an image that wants a gradient would refuse.
        twin(image * 1.0)
    return log, image


def _copied(result: Any) -> Tensor | None:
    """Keep what a module returned as it is now: what comes after may write to it."""
    tensor = first_tensor(result)
    return None if tensor is None else tensor.clone()


def _places(reach: Reach, shape: torch.Size) -> list[dict[int, int]]:
    """Choose the first, middle and last entry along every dimension that moves over the image."""
    moving = [dim for dim in range(len(shape)) if reach.dims[dim].axes or _moves(reach, dim)]
    chosen = [{dim: at(shape[dim]) for dim in moving} for at in (lambda n: 0, lambda n: n // 2, lambda n: n - 1)]
    return [place for number, place in enumerate(chosen) if place not in chosen[:number]]


def _moves(reach: Reach, dim: int) -> bool:
    """Tell whether positions differ along a dimension after the batch and the channels."""
    return dim > 1 and any(plane.shape[dim + 1] > 1 for plane in reach.planes)


def _by_gradient(output: Tensor, image: Tensor, place: dict[int, int]) -> list[tuple[int, int] | None]:
    part = output
    for dim in sorted(place, reverse=True):
        part = part.select(dim, place[dim])
    part = torch.view_as_real(part) if part.is_complex() else part
    generator = torch.Generator().manual_seed(_SEED)
    weights = torch.rand(part.shape, generator=generator, dtype=torch.float64) + 0.5
    if not part.requires_grad:
        return [None] * (image.ndim - 2)
    (gradient,) = torch.autograd.grad((part * weights).sum(), image, retain_graph=True, allow_unused=True)
    hulls: list[tuple[int, int] | None] = []
    for dim in range(2, image.ndim):
        others = [other for other in range(image.ndim) if other != dim]
        lines = [] if gradient is None else gradient.abs().amax(others).nonzero().flatten().tolist()
        hulls.append((lines[0], lines[-1]) if lines else None)
    return hulls


def _by_reach(reach: Reach, place: dict[int, int], shape: torch.Size) -> list[tuple[int, int] | None]:
    hulls: list[tuple[int, int] | None] = []
    for plane in reach.planes:
        part = plane
        for dim in sorted(place, reverse=True):
            part = part.select(dim + 1, min(place[dim], part.shape[dim + 1] - 1))
        low, high = (float(part[row].max()) for row in (SEEN_LOW, SEEN_HIGH))
        hulls.append(None if low == NOTHING or high == NOTHING else (int(-low), int(high)))
    # What sees nothing along one axis sees nothing at all.
    return [None] * len(hulls) if None in hulls else hulls


def _say(hulls: list[tuple[int, int] | None]) -> str:
    return " x ".join("nothing" if hull is None else f"{hull[0]}..{hull[1]}" for hull in hulls)


class _Smooth(TorchFunctionMode):
    """Put functions in the place of others, whose gradients reach whatever the others depend on."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        replacement = _REPLACEMENTS.get(getattr(func, "__name__", ""), func)
        return replacement(*args, **(kwargs or {}))


def _through(inputs: Tensor, *_: Any, **__: Any) -> Tensor:
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
    # Of a normalisation over whole images only the channels are mixed, as the table takes it.
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
    **dict.fromkeys(_ACTIVATIONS.split(), _through),
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
