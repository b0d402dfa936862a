"""The receptive field of one position of a layer, in stored pixels."""

import math

from torch import nn

from visionlib.errors import VisionlibError
from visionlib.eval_mode import unwrap_model
from visionlib.explanation.map_layers import MapLayer
from visionlib.summary.following import follow
from visionlib.summary.receptive_fields import SEEN_HIGH, SEEN_LOW, ReceptiveFields

Box = tuple[tuple[int, int], tuple[int, int]]
"""First and last row, first and last column."""


class PositionFields:
    """Exact receptive fields of a layer's positions, clipped to the image.

    Args:
        model: the network; it is interpreted once, without arithmetic.
        layer: one of its layers.
        input_size: channels, height and width of the network's inputs.
        image_size: height and width of the images as stored.
    """

    def __init__(
        self, model: nn.Module, layer: MapLayer, input_size: tuple[int, int, int], image_size: tuple[int, int]
    ) -> None:
        self._scales = tuple(stored / scaled for stored, scaled in zip(image_size, input_size[1:], strict=True))
        self._image_size = image_size
        self._fields = _follow(model, layer, input_size)

    def find(self, channel: int, row: int, column: int) -> Box | None:
        """Return the box of pixels; None if the network cannot be interpreted."""
        if self._fields is None:
            return None
        spans = []
        for bound, scale, size in zip(self._fields.bounds, self._scales, self._image_size, strict=True):
            # Along a dimension of constant bounds there is one entry for all positions.
            lengths = zip((0, channel, row, column), bound.shape[1:], strict=True)
            at = tuple(min(position, length - 1) for position, length in lengths)
            low, high = float(-bound[SEEN_LOW][at]), float(bound[SEEN_HIGH][at])
            if not math.isfinite(low + high):
                return None
            first, last = math.floor(low * scale), math.ceil((high + 1) * scale) - 1
            spans.append((max(first, 0), min(last, size - 1)))
        return spans[0], spans[1]


def _follow(model: nn.Module, layer: MapLayer, input_size: tuple[int, int, int]) -> ReceptiveFields | None:
    try:
        calls = follow(unwrap_model(model), [input_size]).calls
    except VisionlibError:
        return None
    named = [call for call in calls if call.name == layer.name and call.output is not None]
    if not named or tuple(named[-1].output.shape[2:]) != layer.resolution:
        return None
    fields: ReceptiveFields | None = named[-1].output.fields
    return fields
