"""Activations of layers, and gradients of a class's logit: one forward and one backward pass per batch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.overrides import TorchFunctionMode

from visionlib.errors import ModelError
from visionlib.explanation.map_layers import check_map, forward_hooks
from visionlib.inference.prediction import MIN_BATCH_ROWS, pad_batch, run_network
from visionlib.summary.calls import first_tensor


@dataclass(frozen=True, eq=False)
class LayerGradients:
    """Activations of one layer, and their gradients.

    Attributes:
        activations: outputs of the layer.
        gradients: of the logit of each image's class with respect to the activations.
    """

    activations: Float32[Tensor, "n k h w"]
    gradients: Float32[Tensor, "n k h w"]


@dataclass(frozen=True, eq=False)
class _Output:
    """The output of a layer as it was, whatever in-place modules do to it afterwards.

    Attributes:
        values: a copy.
        edge: its place in the autograd graph; None outside of it.
        closed: the copy that the network continued with, if the layer ran with gradients switched off.
    """

    values: Tensor
    edge: GradientEdge | None
    closed: Tensor | None = None

    @property
    def is_reached(self) -> bool:
        """Whether its gradients are right: the graph lacks in-place modules that run without gradients."""
        return self.closed is None or self.closed._version == 0


def trace_layers(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], names: Sequence[str]
) -> tuple[LayerGradients, ...]:
    """Differentiate the logit of each image's class with respect to the outputs of layers.

    The autograd graph begins at the first of the layers, so the backward pass ends there. Of an output that is no
    tensor the first tensor counts, as in `list_map_layers`; then the graph begins at the inputs, since other parts of
    the output may depend on that tensor.

    Args:
        model: inside `eval_mode` with gradients, so that its weights are frozen.
        inputs: normalized images.
        classes: to differentiate the logits of.
        names: of the layers; if a layer runs several times, its last output counts.
    Raises:
        ModelError: if a layer did not run or has no map per image, or no gradient of the logits reaches it.
    """
    score, outputs = _record_outputs(model, inputs, classes, names)
    if any(output is not None and output.edge is None for output in outputs.values()):
        score, outputs = _record_outputs(model, inputs.clone().requires_grad_(), classes, names)
    rows = max(len(inputs), MIN_BATCH_ROWS)
    found, edges = [], []
    for name in names:
        if name not in outputs:
            raise ModelError(f"layer {name}", "did not run for these images", "name another layer")
        output = outputs[name]
        check_map(name, None if output is None else output.values, rows)
        assert output is not None
        if output.edge is None or not output.is_reached or not score.requires_grad:
            raise _missing_gradients(model, inputs, f"layer {name}")
        found.append(output)
        edges.append(output.edge)
    gradients = torch.autograd.grad(score, edges, allow_unused=True)
    for name, output, gradient in zip(names, found, gradients, strict=True):
        if gradient is None and (output.closed is not None or all(other is None for other in gradients)):
            raise _missing_gradients(model, inputs, f"layer {name}")
    n = len(inputs)
    return tuple(
        LayerGradients(values, torch.zeros_like(values) if gradient is None else gradient[:n].float())
        for values, gradient in zip((output.values[:n].float() for output in found), gradients, strict=True)
    )


def _record_outputs(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], names: Sequence[str]
) -> tuple[Tensor, dict[str, _Output | None]]:
    """Return the sum of the logits, and the last output of each layer that ran; None for one without a tensor."""
    outputs: dict[str, _Output | None] = {}

    def record(name: str, module: nn.Module, output: object) -> Tensor | None:
        tensor, has_gradients = first_tensor(output), torch.is_grad_enabled()
        outputs[name] = None
        if tensor is None or not tensor.is_floating_point():
            return None
        # Where the forward has switched gradients off, they are on again from here to the end of the hook.
        with torch.inference_mode(mode=False), torch.enable_grad():
            if tensor is not output:
                edge = get_gradient_edge(tensor) if tensor.requires_grad else None
                outputs[name] = _Output(tensor.detach().clone(), edge)
                return None
            if not tensor.requires_grad:
                tensor = (tensor.clone() if tensor.is_inference() else tensor.detach()).requires_grad_()
            # The network continues with a copy: an in-place activation would overwrite the values.
            copy = tensor.clone()
            outputs[name] = _Output(tensor.detach(), get_gradient_edge(tensor), None if has_gradients else copy)
            return copy

    modules = dict(model.named_modules())
    with forward_hooks({name: modules[name] for name in names}, record):
        return score_classes(model, inputs, classes).sum(), outputs


def differentiate_inputs(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n c h w"]:
    """Differentiate the logit of each image's class with respect to its pixels; zeros if it does not depend on them.

    Raises:
        ModelError: if it depends on them, but no gradient reaches them.
    """
    pixels = inputs.detach().clone().requires_grad_()
    score = score_classes(model, pixels, classes).sum()
    gradient = torch.autograd.grad(score, [pixels], allow_unused=True)[0] if score.requires_grad else None
    if gradient is not None:
        return gradient.float()
    others = torch.randn_like(inputs)
    if not torch.equal(score_classes(model, inputs, classes), score_classes(model, others, classes)):
        raise _missing_gradients(model, inputs, "pixels")
    return torch.zeros_like(inputs)


def score_classes(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
) -> Float32[Tensor, "n"]:
    """Return the logit of each image's class.

    Raises:
        ModelError: if the network returns no logits, or a class is out of range.
    """
    n = len(inputs)
    # The network gets a copy: an in-place module must not change the inputs.
    outputs: Any = run_network(model, pad_batch(inputs).clone())
    if not isinstance(outputs, Tensor) or outputs.ndim != 2 or len(outputs) != max(n, MIN_BATCH_ROWS):
        raise ModelError(
            type(model).__name__, "returns no row of logits per image", "its forward must return (n, classes)"
        )
    if n and not 0 <= int(classes.min()) <= int(classes.max()) < outputs.shape[1]:
        raise ModelError("class", f"{int(classes.max())} is out of range", f"the network has 0..{outputs.shape[1] - 1}")
    return outputs[:n].float().gather(1, classes[:, None])[:, 0]


class _GradientModes(TorchFunctionMode):
    """Notes whether any operation within the block runs with gradients switched off."""

    is_ever_off = False

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.is_ever_off |= not torch.is_grad_enabled()
        return func(*args, **(kwargs or {}))


def _missing_gradients(model: nn.Module, inputs: Float32[Tensor, "n c h w"], what: str) -> ModelError:
    """Say why no gradient of the logits reaches a layer or the pixels, after one more run."""
    with _GradientModes() as modes:
        run_network(model, pad_batch(inputs).clone())
    reason = "the forward runs under no_grad" if modes.is_ever_off else "the forward detaches it, or does not use it"
    return ModelError(
        what,
        f"no gradient of the logits reaches it: {reason}",
        "take score-cam or occlusion, which need no gradients",
    )
