"""`fold`: a layer table down to a depth, with the sums of what lies deeper."""

from collections.abc import Sequence
from dataclasses import replace

from visionlib.errors import ConfigError
from visionlib.summary.record import LayerSummary


def fold(layers: Sequence[LayerSummary], depth: int | None) -> tuple[LayerSummary, ...]:
    """Leave out the rows deeper than `depth`, and add their parameters and MACs to the row that they are inside of.

    All other figures of a row stay as they are: they are those of its output.

    Args:
        layers: in the order in which calls begin, so that a row comes right before those inside of it.
        depth: of the deepest rows to keep; 0 keeps the model itself alone, None keeps all rows.
    Raises:
        ConfigError: if the depth is negative.
    """
    if depth is None:
        return tuple(layers)
    if depth < 0:
        raise ConfigError("depth", f"{depth} is out of range", "it must be at least 0")
    rows: list[LayerSummary] = []
    for layer in layers:
        if layer.depth <= depth or not rows:
            rows.append(layer)
        else:
            outer = rows[-1]
            rows[-1] = replace(outer, params=outer.params + layer.params, macs=outer.macs + layer.macs)
    return tuple(rows)
