"""`ModelSummary` and `LayerSummary`: the layer table as frozen records, the source of every text and plot."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeAlias

from visionlib.runs.fields import Count, Key, parse_record, parse_value

Method: TypeAlias = Literal["exact", "hook-order"]
Extent: TypeAlias = tuple[int, ...]
_Shape: TypeAlias = tuple[Count, ...]


@dataclass(frozen=True)
class LayerSummary:
    """One call of one module. Tuples per axis follow the image axes: height, width.

    Attributes:
        name: qualified name of the module; empty for the model itself. In hook order: type and number.
        type: class of the module.
        depth: number of calls around it.
        output_shape: of the first returned tensor, batch included.
        params: parameters of the module itself, without those of modules inside; 0 in a later call.
        macs: multiply-accumulates of its own operations, for the whole batch.
        receptive_field: field size of a position in pixels, on an image without border; the largest over all positions.
            None if the output does not depend on the image, or has no field in this method.
        smallest_receptive_field: the smallest over all positions.
        is_global: whether every position sees the whole image by construction, as after a global pool or attention. The
            field is then that of all positions together, at this image size.
        jump: pixels from one position to the next; None where positions were merged.
        start: first pixel of the field of the first position, negative beyond the border.
        seen: field size within this image, the largest over all positions.
        smallest_seen: the smallest over all positions.
        seen_fraction: fraction of the image within the field, the largest over all positions.
        lines: fraction of the rows and columns within the field that the middle position depends on; below 1: gridding.
        is_clipped: whether the field ends at the border because its continuation is unknown; then it is a lower bound.
        notes: assumptions and observations.
    """

    name: str
    type: str
    depth: Count
    output_shape: _Shape | None
    params: Count
    macs: Count
    receptive_field: Extent | None = None
    smallest_receptive_field: Annotated[Extent | None, Key("smallest_extent")] = None
    is_global: bool = False
    jump: tuple[Fraction, ...] | None = None
    start: Extent | None = None
    seen: Extent | None = None
    smallest_seen: Extent | None = None
    seen_fraction: float | None = None
    lines: tuple[float, ...] | None = None
    is_clipped: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "LayerSummary":
        """The row of its `to_dict`.

        Raises:
            FieldError: if a field is missing, or has another type.
        """
        is_global = record.get("receptive_field") == "global"
        return parse_record(cls, {**record, "receptive_field": record.get("extent"), "is_global": is_global})

    def to_dict(self) -> dict[str, Any]:
        """The row for JSON; fractions of pixels become floats."""
        field = None if self.receptive_field is None else list(self.receptive_field)
        return {
            "name": self.name,
            "type": self.type,
            "depth": self.depth,
            "output_shape": None if self.output_shape is None else list(self.output_shape),
            "params": self.params,
            "macs": self.macs,
            "receptive_field": "global" if self.is_global else field,
            "extent": field,
            "smallest_extent": _listed(self.smallest_receptive_field),
            "jump": None if self.jump is None else [_number(step) for step in self.jump],
            "start": _listed(self.start),
            "seen": _listed(self.seen),
            "smallest_seen": _listed(self.smallest_seen),
            "seen_fraction": self.seen_fraction,
            "lines": _listed(self.lines),
            "is_clipped": self.is_clipped,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class ModelSummary:
    """The layer table of a model.

    Attributes:
        model: name of the model.
        input_size: of one image, without the batch.
        batch_size: images in the batch, for shapes, MACs and memory.
        method: convention of the receptive fields.
        layers: one row per module call, sorted by the start of the calls; in hook order, by their end.
        total_params: parameters of the model.
        trainable_params: those with `requires_grad`.
        weights_bytes: memory of parameters and buffers.
        activations_bytes: memory of the outputs of all innermost modules.
        findings: consequences of the numbers at this image size, one sentence each.
        assumptions: one sentence each.
        disagreement: the result of hook order in one sentence; None where it agrees.
    """

    model: str
    input_size: _Shape
    batch_size: Count
    method: Annotated[Method, Key("receptive_field_method")]
    layers: tuple[LayerSummary, ...]
    total_params: Count
    trainable_params: Count
    weights_bytes: Count
    activations_bytes: Count
    findings: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    disagreement: str | None = None

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole model, for the batch."""
        return sum(layer.macs for layer in self.layers)

    @property
    def last_local(self) -> LayerSummary | None:
        """The last layer whose field is not global."""
        rows = [row for row in self.layers if row.receptive_field is not None and not row.is_global]
        return rows[-1] if rows else None

    def __str__(self) -> str:
        from visionlib.summary.render_text import to_plain_text

        return to_plain_text(self)

    def _repr_html_(self) -> str:
        """Show the table in a notebook."""
        from visionlib.summary.render_html import to_html

        return to_html(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "ModelSummary":
        """The table of its `to_dict`.

        Raises:
            FieldError: if a field is missing, or has another type.
        """
        rows = parse_value(tuple[Mapping[str, Any], ...], record.get("layers"), "layers")
        layers = tuple(map(LayerSummary.from_dict, rows))
        return dataclasses.replace(parse_record(cls, {**record, "layers": []}), layers=layers)

    def to_dict(self) -> dict[str, Any]:
        """The table for JSON."""
        local = self.last_local
        outermost = self.layers[0] if self.method == "exact" and self.layers else local
        final = None if outermost is None else outermost.to_dict()["receptive_field"]
        return {
            "model": self.model,
            "input_size": list(self.input_size),
            "batch_size": self.batch_size,
            "receptive_field_method": self.method,
            "layers": [layer.to_dict() for layer in self.layers],
            "total_params": self.total_params,
            "trainable_params": self.trainable_params,
            "macs": self.macs,
            "weights_bytes": self.weights_bytes,
            "activations_bytes": self.activations_bytes,
            "receptive_field": final,
            "last_local": None
            if local is None
            else {"name": local.name, "receptive_field": _listed(local.receptive_field)},
            "findings": list(self.findings),
            "assumptions": list(self.assumptions),
            "disagreement": self.disagreement,
        }


def _listed(values: tuple[Any, ...] | None) -> list[Any] | None:
    return None if values is None else list(values)


def _number(step: Fraction) -> int | float:
    return int(step) if step.denominator == 1 else float(step)
