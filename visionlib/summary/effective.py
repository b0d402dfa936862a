"""The effective receptive field: the gradient of a unit within its theoretical receptive field.

Source: Luo et al. 2016, arXiv:1701.04128.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import eval_mode
from visionlib.summary.calls import ModuleCall, first_tensor
from visionlib.summary.following import follow
from visionlib.summary.receptive_fields import SEEN_HIGH, SEEN_LOW, ReceptiveFields

FRACTIONS = (0.5, 0.9, 0.95, 0.99)
_BATCH = 50


@dataclass(frozen=True, eq=False)
class EffectiveField:
    """Dependence of the middle unit of a layer on each pixel.

    Attributes:
        layer: name of the layer.
        n: number of images in the average.
        strength: absolute gradient of the middle unit, summed over the channels of layer and image, averaged over the
            images and normalized to a sum of 1.
        box: first and last row, first and last column of the receptive field within this image.
        sides: for each of `FRACTIONS` the side, in pixels, of the smallest square around the middle of the box that
            holds this fraction of the strength; the square may extend beyond the image.
        std: standard deviation (std) of the strength along rows and columns, in pixels.
    """

    layer: str
    n: int
    strength: Float64[Tensor, "h w"]
    box: tuple[tuple[int, int], tuple[int, int]]
    sides: dict[float, int]
    std: tuple[float, float]

    def to_dict(self) -> dict[str, Any]:
        """The measures for JSON, without the strength map."""
        return {
            "layer": self.layer,
            "n": self.n,
            "box": [list(span) for span in self.box],
            "sides": {f"{fraction:.0%}": side for fraction, side in self.sides.items()},
            "std": list(self.std),
        }


def effective_field(model: nn.Module, inputs: Float[Tensor, "n c h w"], layer: str | None = None) -> EffectiveField:
    """Measure the effective receptive field of a layer on images.

    Fractions refer to the gradient itself. Some published scripts take its logarithm first: their numbers
    depend on the gradient's scale.

    Args:
        model: any module that takes images; its state is unchanged afterwards.
        inputs: normalized images, on the model's device.
        layer: name of a module; by default the last one whose output has height and width and a local field.
    Raises:
        ModelError: if there is no such layer, it has no map of positions, or its middle unit has no gradient.
    """
    call = _choose(model, tuple(inputs.shape[1:]), layer)
    fields: ReceptiveFields = call.output.fields
    strength = torch.zeros(inputs.shape[2:], dtype=torch.float64)
    for batch in torch.split(inputs, _BATCH):
        strength += _gradient(model, call, batch).sum(0).cpu()
    total = float(strength.sum())
    if total == 0:
        raise ModelError(call.title, "does not depend on any pixel at its middle", "choose another layer")
    strength = strength / total
    box = _box(fields, call.output.shape)
    return EffectiveField(
        layer=call.name,
        n=len(inputs),
        strength=strength,
        box=box,
        sides={fraction: _side(strength, box, fraction) for fraction in FRACTIONS},
        std=_std(strength),
    )


def _choose(model: nn.Module, size: tuple[int, ...], layer: str | None) -> ModuleCall:
    calls = follow(model, [size]).calls
    maps = [
        call
        for call in calls
        if call.output is not None and call.output.fields is not None and len(call.output.shape) == 4 and call.name
    ]
    local = [call for call in maps if not call.output.fields.global_axes]
    if layer is None:
        if not local:
            raise ModelError(type(model).__name__, "has no layer with a map of positions", "name one with layer=")
        return max(local, key=lambda call: call.ended)
    named = [call for call in maps if call.name == layer]
    if not named:
        known = ", ".join(dict.fromkeys(call.name for call in local[-6:]))
        raise ModelError(layer, "is no layer with a map of positions", f"the last ones that are: {known}")
    return named[-1]


def _gradient(model: nn.Module, call: ModuleCall, batch: Tensor) -> Tensor:
    """Absolute gradient of the middle unit, summed over the channels of the image: (n, h, w)."""
    outputs: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        if (tensor := first_tensor(output)) is not None:
            outputs.append(tensor.clone())  # a later layer may write to it in place

    handle = call.module.register_forward_hook(keep)
    try:
        with eval_mode(model, has_gradients=True) as inner:
            image = batch.detach().clone().requires_grad_()
            # A copy: an in-place activation may not write to a leaf.
            inner(image * 1.0)
            output = outputs[-1]
            middle = output[:, :, output.shape[2] // 2, output.shape[3] // 2].sum()
            (gradient,) = torch.autograd.grad(middle, image)
    finally:
        handle.remove()
    return gradient.to(torch.float64).abs().sum(1)


def _box(fields: ReceptiveFields, shape: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
    spans = []
    for bound in fields.bounds:
        rows = bound[:, :, :, min(shape[2] // 2, bound.shape[3] - 1), min(shape[3] // 2, bound.shape[4] - 1)]
        spans.append((int(-rows[SEEN_LOW].max()), int(rows[SEEN_HIGH].max())))
    return spans[0], spans[1]


def _side(strength: Tensor, box: tuple[tuple[int, int], tuple[int, int]], fraction: float) -> int:
    """Grow a square around the middle of the box until it holds the fraction."""
    height, width = strength.shape
    for side in range(1, 2 * max(height, width) + 1):
        starts = [-((side - 1 - (low + high)) // 2) for low, high in box]
        rows = slice(max(starts[0], 0), max(starts[0] + side, 0))
        columns = slice(max(starts[1], 0), max(starts[1] + side, 0))
        if float(strength[rows, columns].sum()) >= fraction - 1e-12:
            return side
    return max(height, width)


def _std(strength: Tensor) -> tuple[float, float]:
    stds = []
    for axis in (0, 1):
        weights = strength.sum(1 - axis)
        positions = torch.arange(len(weights), dtype=torch.float64)
        mean = (weights * positions).sum()
        stds.append(float(((weights * (positions - mean) ** 2).sum()).sqrt()))
    return stds[0], stds[1]
