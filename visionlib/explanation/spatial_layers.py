"""Layers whose output has height and width: which there are, and which of them a map is best taken from."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.explanation.borrowed import borrowed

_LEAST_SHRUNK = 2
"""How many times smaller than the input a layer is at least, to be taken without being named: what lies before sees
edges and no objects."""


@dataclass(frozen=True)
class SpatialLayer:
    """A layer with a value per channel and place.

    Attributes:
        name: of the module.
        channels: of its output.
        size: height and width of its output.
    """

    name: str
    channels: int
    size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} ({self.size[0]} x {self.size[1]})"


def find_spatial_layers(model: nn.Module, input_size: tuple[int, int, int]) -> tuple[SpatialLayer, ...]:
    """Run one black image through a network, and list the layers whose output has height and width.

    Args:
        model: is left as it was.
        input_size: channels, height and width of an input.
    Returns:
        The layers in the order in which they finished; of one that ran several times the last time counts.
    """
    found: dict[str, SpatialLayer] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and len(output) == 2 and output.is_floating_point():
            found.pop(name, None)
            found[name] = SpatialLayer(name, output.shape[1], (output.shape[2], output.shape[3]))

    with borrowed(model) as inside, torch.no_grad():
        handles = [
            module.register_forward_hook(lambda module, args, output, name=name: note(name, output))
            for name, module in inside.named_modules()
            if name
        ]
        try:
            first = next(inside.parameters(), torch.zeros(()))
            inside(torch.zeros(2, *input_size, device=first.device))
        finally:
            for handle in handles:
                handle.remove()
    return tuple(found.values())


def choose_stages(layers: Sequence[SpatialLayer], input_size: tuple[int, int, int]) -> tuple[SpatialLayer, ...]:
    """Choose the last layer of each size at which a map says something: at most half the input's side, above 1 x 1.

    For ResNet-18 these are the stages 2, 3 and 4. A network without such sizes gives its last layer with places.

    Raises:
        ModelError: if no layer has places.
    """
    placed = [layer for layer in layers if max(layer.size) > 1]
    if not placed:
        raise ModelError("model", "has no layer with height and width", "use an input-level map, such as gradient")
    last = {layer.size: layer for layer in placed}
    stages = tuple(
        layer
        for size, layer in last.items()
        if all(_LEAST_SHRUNK * a <= b for a, b in zip(size, input_size[1:], strict=True))
    )
    return tuple(sorted(stages, key=lambda stage: -stage.size[0] * stage.size[1])) or (placed[-1],)


def name_layers(layers: Sequence[SpatialLayer], names: Sequence[str], model: nn.Module) -> tuple[SpatialLayer, ...]:
    """Find layers by their names.

    Raises:
        ModelError: if there is no such layer, or its output has no height and width; the message names some that have.
    """
    known = {layer.name: layer for layer in layers if max(layer.size) > 1}
    every = [name for name, _ in model.named_modules() if name]
    for name in names:
        if name in known:
            continue
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or list(known)[-3:]
        hint = f"did you mean {' or '.join(close)}?" if name not in every else f"usable are: {_shorten(list(known))}"
        what = "there is no such layer" if name not in every else "its output has no height and width"
        raise ModelError(f"layer {name}", what, hint if known else "use an input-level map, such as gradient")
    return tuple(known[name] for name in names)


def _shorten(names: Sequence[str], most: int = 12) -> str:
    top = [name for name in names if "." not in name] or list(names)
    return ", ".join(top[-most:])
