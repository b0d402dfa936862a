"""Sharpness-aware minimisation: learn from where the loss is highest nearby, and so settle where it is flat."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_NOTHING = 1e-12
"""Added to the steepness of a slope, so that level ground moves nothing."""


@contextmanager
def moved_uphill(model: nn.Module, radius: float) -> Iterator[None]:
    """Move weights uphill by their gradients while the block runs.

    Each layer's weights w, which have the gradient g, become

        w + radius * |w|^2 g / sqrt(sum over layers of (|w| |g|)^2)

    so that the layers' moves, as shares of their lengths, are together as long as the radius. A layer of any length is
    moved alike, as is right for one with a normalisation behind it. What has one dimension, such as biases, stays.
    After the block the weights are what they were, to the bit, and so are statistics: uphill they are others.

    Args:
        model: its parameters hold gradients.
        radius: how far, as a share of the weights' lengths.
    Source: Foret et al. 2020, arXiv:2010.01412; lengths as in Kwon et al. 2021, arXiv:2102.11600, of layers instead of
        single weights.
    """
    weights: list[Tensor] = [p for p in model.parameters() if p.ndim > 1 and p.grad is not None]
    moved = [*weights, *model.buffers()]
    kept = [tensor.detach().clone() for tensor in moved]
    if weights:
        _climb(weights, radius)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, old in zip(moved, kept, strict=True):
                tensor.copy_(old)


@torch.no_grad()
def _climb(weights: list[Tensor], radius: float) -> None:
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    lengths = torch.stack(torch._foreach_norm(weights))
    slopes = torch.stack(torch._foreach_norm(gradients))
    shares = radius * lengths.square() / ((lengths * slopes).norm() + _NOTHING)
    # Numbers that stay on the device, so that a GPU is not waited for, and can record them.
    for weight, gradient, share in zip(weights, gradients, shares, strict=True):
        weight.addcmul_(gradient, share)
