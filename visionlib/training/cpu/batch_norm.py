"""Batch normalisation of a batch, with the sum with a shortcut and the rectifier behind it, as one operation."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visionlib.training.cpu.compile import address, load_kernels

_LANES = 16
"""Channels that a processor works on at once: numbers of channels must be multiples of it."""


class FusedNorm(nn.Module):
    """A normalisation by batches with what follows it; the figures are torch's to rounding.

    What the kernel is not made for goes through torch: other number formats and layouts, odd numbers of channels, a
    network that does not learn.

    Args:
        norm: whose weights, statistics and mode are used.
        rectifies: whether a ReLU follows.
        forks: whether two read the outputs: they are then given twice, and the gradients of both come back apart.
    """

    def __init__(self, norm: nn.BatchNorm2d, *, rectifies: bool, forks: bool = False) -> None:
        super().__init__()
        self.norm, self.rectifies, self.forks = norm, rectifies, forks

    def forward(self, inputs: Tensor, shortcut: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Normalise, add the shortcut if there is one, rectify if so asked.

        Args:
            inputs: n c h w.
            shortcut: of the same shape.
        """
        norm = self.norm
        if not (norm.training and norm.weight.dtype == torch.float32 and _suit(inputs, shortcut)):
            outputs = norm(inputs) if shortcut is None else norm(inputs) + shortcut
            outputs = F.relu(outputs) if self.rectifies else outputs
            return (outputs, outputs) if self.forks else outputs
        outputs, twin, mean, variance = _Normalize.apply(  # type: ignore[no-untyped-call]
            inputs, shortcut, norm.weight, norm.bias, norm.eps, self.rectifies, self.forks
        )
        _follow(norm, mean, variance, inputs.numel() // inputs.shape[1])
        return (outputs, twin) if self.forks else outputs


def _suit(inputs: Tensor, shortcut: Tensor | None) -> bool:
    """Tell whether the kernel is made for both, the shortcut being of the same shape: it is not spread."""
    return _suits(inputs) and (shortcut is None or (shortcut.shape == inputs.shape and _suits(shortcut)))


def _suits(images: Tensor) -> bool:
    return (
        images.dtype == torch.bfloat16
        and images.device.type == "cpu"
        and images.ndim == 4
        and images.shape[1] % _LANES == 0
        and images.numel() > images.shape[1]
        and images.is_contiguous(memory_format=torch.channels_last)
    )


@torch.no_grad()
def _follow(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, n: int) -> None:
    """Let the running statistics follow, as torch does: the variance as that of the images behind the batch."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = norm.momentum if norm.momentum is not None else 1 / norm.num_batches_tracked.item()
    norm.running_mean.lerp_(mean, momentum)
    norm.running_var.lerp_(variance * (n / (n - 1)), momentum)


class _Normalize(torch.autograd.Function):
    """The kernel's two ways, with the tensors that they read and write laid out for it."""

    @staticmethod
    def forward(
        context: Any,
        inputs: Tensor,
        shortcut: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        epsilon: float,
        rectifies: bool,
        forks: bool,
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor]:
        channels = inputs.shape[1]
        outputs = torch.empty_like(inputs)
        mean, variance, scale = torch.empty(3, channels)
        load_kernels().normalize_forward(
            *map(address, (inputs, shortcut, outputs, weight, bias, mean, variance, scale)),
            *(inputs.numel() // channels, channels, epsilon, rectifies, torch.get_num_threads()),
        )
        has_shortcut = shortcut is not None
        context.save_for_backward(inputs, outputs if has_shortcut else None, weight, bias, mean, scale)
        context.rectified, context.has_shortcut = rectifies, has_shortcut
        context.mark_non_differentiable(mean, variance)
        context.set_materialize_grads(False)
        return outputs, outputs.detach() if forks else None, mean, variance

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        inputs, outputs, weight, bias, mean, scale = context.saved_tensors
        channels = inputs.shape[1]
        arriving = [_laid_out(gradient) for gradient in gradients[:2] if gradient is not None]
        if not arriving:
            return (None,) * 7
        gradient, other = arriving if len(arriving) == 2 else (arriving[0], None)
        of_inputs = torch.empty_like(inputs)
        of_shortcut = torch.empty_like(inputs) if context.has_shortcut else None
        of_weight, of_bias = torch.empty(2, channels)
        load_kernels().normalize_backward(
            *map(address, (inputs, outputs, gradient, other, of_inputs, of_shortcut)),
            *map(address, (weight, bias, mean, scale, of_weight, of_bias)),
            *(inputs.numel() // channels, channels, context.rectified, torch.get_num_threads()),
        )
        return of_inputs, of_shortcut, of_weight, of_bias, None, None, None


def _laid_out(gradient: Tensor) -> Tensor:
    return gradient.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
