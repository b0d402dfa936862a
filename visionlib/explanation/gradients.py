"""Activations of layers, and gradients of a class's logit: one forward and one backward pass per batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import input_format
from visionlib.explanation.map_layers import forward_hooks
from visionlib.inference.prediction import MIN_BATCH_ROWS, pad_batch


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """Activations of one layer, and their gradients.

    Attributes:
        activations: outputs of the layer.
        gradients: of the logit of each image's class with respect to the activations.
    """

    activations: Float32[Tensor, "n k h w"]
    gradients: Float32[Tensor, "n k h w"]


def trace_layers(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], names: Sequence[str]
) -> tuple[LayerGradients, ...]:
    """Differentiate the logit of each image's class with respect to the outputs of layers.

    The autograd graph begins at the first of the layers, so the backward pass ends there. Saved activations are copies:
    in-place modules after a layer do not change them.

    Args:
        model: inside `eval_mode` with gradients, so that its weights are frozen.
        inputs: normalized images.
        classes: to differentiate the logits of.
        names: of the layers; if a layer runs several times, its last output counts.
    Raises:
        ModelError: if a layer did not run, or the class does not depend on it.
    """
    outputs: dict[str, Tensor] = {}

    def save_output(name: str, module: nn.Module, output: Tensor) -> Tensor:
        outputs[name] = output if output.requires_grad else output.detach().requires_grad_()
        # The network continues with a copy: an in-place activation would overwrite the saved output.
        return outputs[name].clone()

    modules = dict(model.named_modules())
    with forward_hooks({name: modules[name] for name in names}, save_output):
        score = score_classes(model, inputs, classes).sum()
    absent = [name for name in names if name not in outputs]
    if absent:
        raise ModelError(f"layer {absent[0]}", "did not run for these images", "name another layer")
    if not score.requires_grad:
        raise ModelError(f"layer {names[0]}", "the logits do not depend on it", "name another layer")
    gradients = torch.autograd.grad(score, [outputs[name] for name in names], allow_unused=True)
    n = len(inputs)
    return tuple(
        LayerGradients(
            outputs[name].detach()[:n].float(),
            torch.zeros_like(outputs[name][:n], dtype=torch.float32) if gradient is None else gradient[:n].float(),
        )
        for name, gradient in zip(names, gradients, strict=True)
    )


def differentiate_inputs(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n c h w"]:
    """Differentiate the logit of each image's class with respect to its pixels; zeros if it does not depend on them."""
    pixels = inputs.detach().clone().requires_grad_()
    # The network gets a copy: an in-place module must not change the leaf.
    score = score_classes(model, pixels.clone(), classes).sum()
    if not score.requires_grad:
        return torch.zeros_like(inputs)
    (gradient,) = torch.autograd.grad(score, [pixels], allow_unused=True)
    return torch.zeros_like(inputs) if gradient is None else gradient.float()


def score_classes(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n"]:
    """Return the logit of each image's class.

    Raises:
        ModelError: if the network returns no logits, or a class is out of range.
    """
    n = len(inputs)
    outputs: Any = model(pad_batch(inputs).to(input_format(model)[1]))
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != max(n, MIN_BATCH_ROWS):
        raise ModelError(
            type(model).__name__, "returns no row of logits per image", "its forward must return (n, classes)"
        )
    if n and not 0 <= int(classes.min()) <= int(classes.max()) < outputs.shape[1]:
        raise ModelError("class", f"{int(classes.max())} is out of range", f"the network has 0..{outputs.shape[1] - 1}")
    return outputs[:n].float().gather(1, classes[:, None])[:, 0]
