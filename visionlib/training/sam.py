"""Sharpness-aware minimization (SAM): the gradient at perturbed weights, where the loss is highest nearby."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_EPSILON = 1e-12
"""Added to the norm of the gradients, so that zero gradients perturb nothing."""


@contextmanager
def sam_perturbation(model: nn.Module, radius: float) -> Iterator[None]:
    """Perturb a model's weights along their gradients while the block runs.

    Each layer's weights w with the gradient g become

        w + radius * |w|^2 g / sqrt(sum over layers of (|w| |g|)^2)

    so that the layers' perturbations, relative to their norms, have the norm `radius` together. That is independent of
    a layer's norm, as is right for one with a normalization behind it. Weights of one dimension, such as biases, are
    not perturbed. After the block the weights have the same bits as before, and so have the normalization statistics,
    which the perturbed weights would have changed.

    Args:
        model: its parameters hold gradients.
        radius: relative to the norms of the weights.
    Source: Foret et al. 2020, arXiv:2010.01412; norms as in Kwon et al. 2021, arXiv:2102.11600, of layers instead of
        single weights.
    """
    weights: list[Tensor] = [p for p in model.parameters() if p.ndim > 1 and p.grad is not None]
    changed = [*weights, *(buffer for buffer in model.buffers() if buffer.layout == torch.strided)]
    originals = [tensor.detach().clone() for tensor in changed]
    if weights:
        _perturb(weights, radius)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, original in zip(changed, originals, strict=True):
                tensor.copy_(original)


@torch.no_grad()
def _perturb(weights: list[Tensor], radius: float) -> None:
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    weight_norms = torch.stack(torch._foreach_norm(weights))
    gradient_norms = torch.stack(torch._foreach_norm(gradients))
    scales = radius * weight_norms.square() / ((weight_norms * gradient_norms).norm() + _EPSILON)
    # The scales stay on the device: a GPU does not wait for them, and can record them in a graph.
    for weight, gradient, scale in zip(weights, gradients, scales, strict=True):
        weight.addcmul_(gradient, scale)
