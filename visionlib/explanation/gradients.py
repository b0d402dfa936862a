"""What layers give, and how the score of a class changes with it: one pass forward, one back, for a whole batch."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import input_format
from visionlib.inference.prediction import MIN_BATCH_ROWS, pad_batch


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """Of one layer.

    Attributes:
        activations: what it gave.
        gradients: how the score of each image's class changes with that.
    """

    activations: Float32[Tensor, "n k h w"]
    gradients: Float32[Tensor, "n k h w"]


def trace_layers(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], names: Sequence[str]
) -> tuple[LayerGradients, ...]:
    """Differentiate the logit of each image's class by the outputs of layers.

    The graph begins at the first of the layers, so the pass back ends there. What a layer gave is kept as it was, also
    if the next module works in place.

    Args:
        model: borrowed, with frozen weights.
        inputs: normalised images.
        classes: whose logit is explained.
        names: of the layers; of a layer that runs several times the last time counts.
    Raises:
        ModelError: if a layer did not run, or the class does not depend on it.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> Tensor:
        kept = output if output.requires_grad else output.detach().requires_grad_()
        outputs[name] = kept
        # The network goes on with a copy: an activation in place would overwrite what is kept.
        return kept.clone()

    modules = dict(model.named_modules())
    with _hooked([(modules[name], name) for name in names], keep):
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
    """Differentiate the logit of each image's class by its pixels; zeros if it does not depend on them."""
    pixels = inputs.detach().clone().requires_grad_()
    # A module that works in place must not do so on the leaf.
    score = score_classes(model, pixels.clone(), classes).sum()
    if not score.requires_grad:
        return torch.zeros_like(inputs)
    (gradient,) = torch.autograd.grad(score, [pixels], allow_unused=True)
    return torch.zeros_like(inputs) if gradient is None else gradient.float()


def score_classes(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n"]:
    """Give each image's logit of its class.

    Raises:
        ModelError: if the network gives no logits, or a class is none of them.
    """
    n = len(inputs)
    shown = pad_batch(inputs).to(input_format(model)[1])
    outputs: Any = model(shown)
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != max(n, MIN_BATCH_ROWS):
        raise ModelError(
            type(model).__name__, "gives no row of logits per image", "its forward must return (n, classes)"
        )
    if n and not 0 <= int(classes.min()) <= int(classes.max()) < outputs.shape[1]:
        raise ModelError("class", f"{int(classes.max())} is out of range", f"the network has 0..{outputs.shape[1] - 1}")
    return outputs[:n].float().gather(1, classes[:, None])[:, 0]


@contextmanager
def _hooked(modules: Sequence[tuple[nn.Module, str]], keep: Callable[[str, Tensor], Tensor]) -> Iterator[None]:
    """Pass the output of each module through `keep` while the block runs."""

    def watch(name: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        return lambda module, args, output: keep(name, output)

    handles = [module.register_forward_hook(watch(name)) for module, name in modules]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
