"""Batch normalization, the addition of a shortcut and the ReLU behind it as one operation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionlib.training.cpu.compile import address, load_kernels

_LANES = 16
"""Channels per vector register: the number of channels must be a multiple of it."""


class FusedNorm(nn.Module):
    """A batch normalization with a shortcut and a ReLU; results equal torch's to rounding.

    Other dtypes, memory formats and numbers of channels than the kernel's, and eval mode, are computed by torch.

    Args:
        norm: its weights, statistics and mode are used.
        has_relu: whether a ReLU follows.
        has_two_readers: whether two operations read the outputs. The outputs are then returned twice, and the kernel
            adds the two gradients.
    """

    def __init__(self, norm: nn.BatchNorm2d, *, has_relu: bool, has_two_readers: bool = False) -> None:
        super().__init__()
        self.norm, self.has_relu, self.has_two_readers = norm, has_relu, has_two_readers

    def forward(self, inputs: Tensor, shortcut: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Normalize, add the shortcut if there is one, and apply the ReLU if there is one.

        Args:
            inputs: n c h w.
            shortcut: of the same shape, or of one that broadcasts to it.
        """
        norm = self.norm
        if not (norm.training and norm.weight.dtype == torch.float32 and _is_supported(inputs, shortcut)):
            outputs = norm(inputs) if shortcut is None else norm(inputs) + shortcut
            outputs = F.relu(outputs) if self.has_relu else outputs
            return (outputs, outputs) if self.has_two_readers else outputs
        outputs, alias, mean, variance = _Normalize.apply(  # type: ignore[no-untyped-call]
            inputs, shortcut, norm.weight, norm.bias, norm.eps, self.has_relu, self.has_two_readers
        )
        _update_statistics(norm, mean, variance, inputs.numel() // inputs.shape[1])
        return (outputs, alias) if self.has_two_readers else outputs


def _is_supported(inputs: Tensor, shortcut: Tensor | None) -> bool:
    """Whether the kernel can compute both; it does not broadcast the shortcut."""
    has_shape = shortcut is None or shortcut.shape == inputs.shape
    return has_shape and all(_has_format(tensor) for tensor in (inputs, shortcut) if tensor is not None)


def _has_format(images: Tensor) -> bool:
    return (
        images.dtype == torch.bfloat16
        and images.device.type == "cpu"
        and images.ndim == 4
        and images.shape[1] % _LANES == 0
        and images.numel() > images.shape[1]
        and images.is_contiguous(memory_format=torch.channels_last)
    )


@torch.no_grad()
def _update_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, n: int) -> None:
    """Update the running statistics as torch does, with the unbiased variance."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = norm.momentum if norm.momentum is not None else 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (n / (n - 1)), momentum)


class _Normalize(torch.autograd.Function):
    """The kernel's forward and backward pass."""

    @staticmethod
    def forward(
        context: Any,
        inputs: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        epsilon: float,
        has_relu: bool,
        has_two_readers: bool,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        channels = inputs.shape[1]
        outputs = torch.empty_like(inputs)
        mean, variance, scale = torch.empty(3, channels)
        load_kernels().normalize_forward(
            *map(address, (inputs, shortcut, outputs, weight, bias, mean, variance, scale)),
            *(inputs.numel() // channels, channels, epsilon, has_relu, torch.get_num_threads()),
        )
        has_shortcut = shortcut is not None
        context.save_for_backward(inputs, outputs if has_shortcut else None, weight, bias, mean, scale)
        context.has_relu, context.has_shortcut = has_relu, has_shortcut
        context.mark_non_differentiable(mean, variance)
        context.set_materialize_grads(False)
        return outputs, outputs.detach() if has_two_readers else None, mean, variance

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, outputs, weight, bias, mean, scale = context.saved_tensors
        channels = inputs.shape[1]
        output_gradients = [_as_kernel_format(gradient) for gradient in gradients[:2] if gradient is not None]
        if not output_gradients:
            return (None,) * 7
        gradient, other = output_gradients if len(output_gradients) == 2 else (output_gradients[0], None)
        input_gradient = torch.empty_like(inputs)
        shortcut_gradient = torch.empty_like(inputs) if context.has_shortcut else None
        weight_gradient, bias_gradient = torch.empty(2, channels)
        load_kernels().normalize_backward(
            *map(address, (inputs, outputs, gradient, other, input_gradient, shortcut_gradient)),
            *map(address, (weight, bias, mean, scale, weight_gradient, bias_gradient)),
            *(inputs.numel() // channels, channels, context.has_relu, torch.get_num_threads()),
        )
        return input_gradient, shortcut_gradient, weight_gradient, bias_gradient, None, None, None


def _as_kernel_format(gradient: Tensor) -> Tensor:
    return gradient.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
