"""A convolution for prediction on a CPU, with the normalization, the addition and the activation behind it."""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Literal["none", "relu", "gelu"]


class FusedConvolution(nn.Module):
    """Computes activation(norm(conv(inputs)) + shortcut), the normalization folded into weights of its own.

    oneDNN computes all of it in one pass over the outputs; where it cannot, torch does it one by one.

    Args:
        conv: stays as it is, as does `norm`; padded with zeros, by numbers.
        norm: in eval mode; None for none.
        dtype: of the weights, the inputs and the outputs.
        activation: behind the addition; gelu is the exact one.

    Attributes:
        overwrites_shortcut: whether the outputs may take the memory of the shortcut, which saves a copy.
    """

    def __init__(
        self, conv: nn.Conv2d, norm: nn.BatchNorm2d | None, dtype: torch.dtype, *, activation: Activation = "none"
    ) -> None:
        super().__init__()
        weight, bias = _fold(conv, norm)
        self._weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self._bias = None if bias is None else bias.to(dtype)
        self._packed: Tensor | None = None
        assert not isinstance(conv.padding, str)
        self._stride, self._padding, self._dilation = list(conv.stride), list(conv.padding), list(conv.dilation)
        self._groups, self._dtype, self._size = conv.groups, dtype, conv.kernel_size
        self._activation, self.overwrites_shortcut = activation, False
        self._has_fused = _has_fused_operations(dtype)

    def forward(
        self, inputs: Float[Tensor, "n c h w"], shortcut: Tensor | None = None
    ) -> Float[Tensor, "n k h_out w_out"]:
        """Convolve; the shortcut is of any shape that broadcasts to the outputs."""
        inputs = inputs.to(self._dtype)
        if not (self._has_fused and self._fits(inputs, shortcut)):
            return self._one_by_one(inputs, shortcut)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        geometry = (self._padding, self._stride, self._dilation, self._groups)
        if self._packed is None:
            # oneDNN's own order of the weights, which it would otherwise make again for every batch.
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(self._weight, *geometry, list(inputs.shape))
        if shortcut is None:
            fused = torch.ops.mkldnn._convolution_pointwise
            outputs: Tensor = fused(inputs, self._packed, self._bias, *geometry, self._activation, [], "none")
            return outputs
        pointwise: tuple[object, ...] = (
            "add",
            None,
            None if self._activation == "none" else self._activation,
            [],
            None,
        )
        operands = (inputs, self._packed, self._bias, *geometry, *pointwise)
        if self.overwrites_shortcut:
            outputs = torch.ops.mkldnn._convolution_pointwise_.binary(shortcut, *operands)
        else:
            outputs = torch.ops.mkldnn._convolution_pointwise.binary(inputs, shortcut, *operands[1:])
        return outputs

    def _fits(self, inputs: Tensor, shortcut: Tensor | None) -> bool:
        """Whether oneDNN can compute it; where it cannot, or nobody can, torch does, or says what is wrong."""
        if inputs.ndim != 4 or inputs.shape[1] != self._weight.shape[1] * self._groups:
            return False
        sides = [
            (side + 2 * padding - dilation * (size - 1) - 1) // stride + 1
            for side, padding, dilation, size, stride in zip(
                inputs.shape[2:], self._padding, self._dilation, self._size, self._stride, strict=True
            )
        ]
        is_alike = shortcut is None or (
            self._activation != "gelu"
            and shortcut.dtype == self._dtype
            and list(shortcut.shape) == [len(inputs), len(self._weight), *sides]
            and shortcut.is_contiguous(memory_format=torch.channels_last)
        )
        return is_alike and len(inputs) > 0 and min(sides) > 0

    def _one_by_one(self, inputs: Tensor, shortcut: Tensor | None) -> Tensor:
        geometry = (self._stride, self._padding, self._dilation, self._groups)
        outputs = F.conv2d(inputs, self._weight, self._bias, *geometry)
        outputs = outputs if shortcut is None else outputs + shortcut
        if self._activation == "gelu":
            return F.gelu(outputs)
        return F.relu_(outputs) if self._activation == "relu" else outputs


def _fold(conv: nn.Conv2d, norm: nn.BatchNorm2d | None) -> tuple[Tensor, Tensor | None]:
    """Return the weights and biases of a convolution whose outputs are normalized."""
    weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
    if norm is None:
        return weight, bias
    assert norm.running_mean is not None
    assert norm.running_var is not None
    # Not torch's `fuse_conv_bn_weights`: in float64 it copies all weights, and in float32 it rounds more often.
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach()
    shift = -norm.running_mean * scale if bias is None else (bias - norm.running_mean.double()) * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach()
    return weight * scale.to(weight.dtype).view(-1, 1, 1, 1), shift


def _has_fused_operations(dtype: torch.dtype) -> bool:
    """Whether this torch, on this CPU, has oneDNN's fused operations in a dtype."""
    has_any = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_any or not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
