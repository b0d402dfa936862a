"""The default layers of class activation maps: the stages of the network."""

from collections.abc import Sequence

from visionlib.errors import ModelError
from visionlib.explanation.map_layers import MapLayer

_LEAST_SHRUNK = 2
"""Smallest ratio of input to layer resolution: layers before detect edges, not objects."""


def choose_stages(layers: Sequence[MapLayer], input_size: tuple[int, int, int]) -> tuple[MapLayer, ...]:
    """Choose the last layer of each resolution that is at most half the input's, the finest first.

    For ResNet-18 these are the stages 2, 3 and 4. For a network without such layers it is the last layer.

    Args:
        layers: of the network, as `list_map_layers` returns them.
        input_size: channels, height and width of its inputs.
    Raises:
        ModelError: if there are no layers.
    """
    if not layers:
        raise ModelError("model", "has no layer with height and width", "use an input-level map, such as gradient")
    height, width = input_size[1:]
    last = {layer.resolution: layer for layer in layers}
    stages = [layer for (h, w), layer in last.items() if _LEAST_SHRUNK * h <= height and _LEAST_SHRUNK * w <= width]
    finest_first = sorted(stages, key=lambda stage: -stage.resolution[0] * stage.resolution[1])
    return tuple(finest_first) or (layers[-1],)
