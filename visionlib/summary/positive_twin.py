"""A copy of a model whose derivatives neither vanish nor cancel.

So an output depends on a pixel exactly if its derivative is not zero. Its weights are random
and positive. Operations that stop gradients are replaced: activations by the identity, max pools by mean pools,
normalization by a sum over the elements that it mixes.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from visionlib.summary.calls import CallLog, first_tensor

_SEED = 0


@torch.inference_mode(False)
def run_with_positive_weights(model: nn.Module, input_size: tuple[int, ...]) -> tuple[CallLog, Tensor]:
    """Run a copy of the model in double precision, so that no gradient is zero where an output depends on a pixel.

    Returns:
        The calls with their outputs, and the image.
    """
    twin, image = make_positive_twin(model, input_size)
    image.requires_grad_()
    # A copy: the model may not write in place to a leaf.
    with torch.enable_grad():
        return run_twin(twin, image * 1.0, _copied), image


def make_positive_twin(model: nn.Module, input_size: tuple[int, ...]) -> tuple[nn.Module, Tensor]:
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


def run_twin(twin: nn.Module, image: Tensor, keep: Callable[[Any], Tensor | None]) -> CallLog:
    """Run a twin on an image, and keep of each module's return value what `keep` makes of it."""
    log = CallLog(twin)
    with log.recording(keep), _DifferentiableOps(), torch.random.fork_rng():
        twin(image)
    return log


def _copied(result: Any) -> Tensor | None:
    """Copy the output of a module: a later layer may write to it in place."""
    tensor = first_tensor(result)
    return None if tensor is None else tensor.clone()


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
