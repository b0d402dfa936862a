"""Which layers a class activation map is best taken from, if nobody names them: the stages of the network."""

from collections.abc import Sequence

from visionlib.errors import ModelError
from visionlib.explanation.map_layers import MapLayer

_LEAST_SHRUNK = 2
"""How many times smaller than the input a layer is at least: what lies before sees edges and no objects."""


def choose_stages(layers: Sequence[MapLayer], input_size: tuple[int, int, int]) -> tuple[MapLayer, ...]:
    """Choose the last layer of each resolution that is at most half the input's, the finest first.

    For ResNet-18 these are the stages 2, 3 and 4. A network without such layers gives its last one.

    Args:
        layers: those of the network that put out a map of positions, in the order in which they end.
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
