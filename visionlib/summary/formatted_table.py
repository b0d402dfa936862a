"""The layer table with every number formatted: the common source of terminal, Markdown and HTML tables."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from visionlib.errors import ConfigError
from visionlib.summary.record import Extent, LayerSummary, ModelSummary

EMPTY = "-"


@dataclass(frozen=True)
class FormattedTable:
    """A layer table as strings.

    Attributes:
        title: model and input size.
        convention: method of the receptive fields, and the disagreement of the other method.
        headers: of the columns; the first column names the layer.
        rows: one cell per column, the layer name without indentation.
        indents: nesting depth of each row.
        totals: name and value.
        legend: meaning of the columns, one sentence each.
        findings: one sentence each.
        assumptions: one sentence each.
    """

    title: str
    convention: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    indents: tuple[int, ...]
    totals: tuple[tuple[str, str], ...]
    legend: tuple[str, ...]
    findings: tuple[str, ...]
    assumptions: tuple[str, ...]


def format_table(summary: ModelSummary, depth: int | None = None) -> FormattedTable:
    """Format a summary.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold_layers`; None shows all.
    Raises:
        ConfigError: if the depth is negative, or given for hook order, whose rows are not nested.
    """
    is_exact = summary.method == "exact"
    if depth is not None and not is_exact:
        raise ConfigError("depth", "does not go with hook order, whose rows are not nested", "leave one of them out")
    layers = fold_layers(summary.layers, depth)
    return FormattedTable(
        title=f"{summary.model} on {_by(summary.input_size)}",
        convention=_convention(summary),
        headers=_EXACT_HEADERS if is_exact else _HOOK_ORDER_HEADERS,
        rows=tuple(_exact_cells(summary, layers) if is_exact else _hook_order_cells(summary, layers)),
        indents=tuple(layer.depth for layer in layers) if is_exact else (0,) * len(layers),
        totals=tuple(_totals(summary)),
        legend=tuple(_exact_legend(depth)) if is_exact else _HOOK_ORDER_LEGEND,
        findings=summary.findings,
        assumptions=summary.assumptions,
    )


def fold_layers(layers: Sequence[LayerSummary], depth: int | None) -> tuple[LayerSummary, ...]:
    """Remove the rows deeper than `depth`, and add their parameters and MACs to the row around them.

    All other values of a row describe its output and stay the same.

    Args:
        layers: sorted by the start of the calls, so that a row precedes those inside it.
        depth: of the deepest rows to keep; 0 keeps the model alone, None keeps all rows.
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


_EXACT_HEADERS = ("layer", "output", "params", "MACs", "receptive field", "jump", "start", "sees")
_HOOK_ORDER_HEADERS = ("layer", "output shape", "params", "RF out", "Jump in")
_HOOK_ORDER_LEGEND = (
    "RF out: the receptive field after the layer; Jump in: pixels from one position to the next before it; 0: none",
)


def _convention(summary: ModelSummary) -> str:
    if summary.method == "hook-order":
        return "receptive fields: hook order (the 2020 convention; wrong where branches join)"
    return "receptive fields: exact" + (f"; {summary.disagreement}" if summary.disagreement else "")


def _exact_legend(depth: int | None) -> Iterator[str]:
    inside = ", without the rows inside it" if depth is None else f"; at depth {depth} with all rows inside it"
    yield f"params, MACs: of the row itself{inside}"
    yield "jump: pixels from one position to the next"
    yield "start: the first pixel that the first position sees, negative beyond the border"
    yield "sees: fraction of this image that a position sees, the largest over all positions"


def _totals(summary: ModelSummary) -> Iterator[tuple[str, str]]:
    frozen = summary.total_params - summary.trainable_params
    yield "parameters", f"{summary.total_params:,}, of which {summary.trainable_params:,} trainable, {frozen:,} frozen"
    if missing := summary.total_params - sum(layer.params for layer in summary.layers):
        yield "without a row", f"{missing:,} parameters, in modules that are not called on this input"
    batch = f"for a batch of {summary.batch_size:,}"
    yield "MACs", f"{format_count(summary.macs)} ({summary.macs:,}) {batch}"
    weights, activations = format_megabytes(summary.weights_bytes), format_megabytes(summary.activations_bytes)
    yield "memory", f"weights {weights}, activations {activations} {batch}"


def _exact_cells(summary: ModelSummary, layers: Sequence[LayerSummary]) -> Iterator[tuple[str, ...]]:
    enclosing: list[LayerSummary] = []
    for layer in layers:
        while enclosing and enclosing[-1].depth >= layer.depth:
            enclosing.pop()
        yield (
            _label(layer, enclosing[-1].name if enclosing else "", summary.model),
            _output(layer, summary.batch_size),
            f"{layer.params:,}" if layer.params else EMPTY,
            format_count(layer.macs) if layer.macs else EMPTY,
            _receptive_field(layer),
            _per_axis(layer.jump, _fraction, " x "),
            EMPTY if layer.is_global else _per_axis(layer.start, str, ", "),
            _percentage(layer.seen_fraction),
        )
        enclosing.append(layer)


def _hook_order_cells(summary: ModelSummary, layers: Sequence[LayerSummary]) -> Iterator[tuple[str, ...]]:
    for layer in layers:
        yield (
            layer.name,
            _published_output(layer, summary.batch_size),
            f"{layer.params:,}",
            "0" if layer.receptive_field is None else _per_axis(layer.receptive_field, str, " x "),
            "0" if layer.jump is None else _per_axis(layer.jump, _fraction, " x "),
        )


def _label(layer: LayerSummary, enclosing_name: str, model: str) -> str:
    """Name of a layer relative to the row around it, and its type."""
    if not layer.name:
        return layer.type if model == layer.type else f"{model} ({layer.type})"
    name = layer.name.removeprefix(f"{enclosing_name}.") if enclosing_name else layer.name
    return f"{name} ({layer.type})"


def _output(layer: LayerSummary, batch_size: int) -> str:
    if layer.output_shape is None:
        return EMPTY
    return _by(_without_batch(layer.output_shape, batch_size)) or "scalar"


def _published_output(layer: LayerSummary, batch_size: int) -> str:
    if layer.output_shape is None:
        return EMPTY
    rest = _without_batch(layer.output_shape, batch_size)
    return ",".join(map(str, layer.output_shape if rest == layer.output_shape else (-1, *rest)))


def _without_batch(shape: tuple[int, ...], batch_size: int) -> tuple[int, ...]:
    # The batch may not be the first dimension of an output: then the shape is shown unchanged.
    return shape[1:] if shape and shape[0] == batch_size else shape


def _receptive_field(layer: LayerSummary) -> str:
    if layer.is_global:
        return "global"
    if layer.receptive_field is None:
        return EMPTY
    smallest = layer.smallest_receptive_field or layer.receptive_field
    sides = [
        str(high) if low == high else f"{low}..{high}"
        for low, high in zip(smallest, layer.receptive_field, strict=True)
    ]
    return (">= " if layer.is_clipped else "") + " x ".join(sides)


def _per_axis(
    values: Extent | tuple[Fraction, ...] | None, format_value: Callable[[int | Fraction], str], separator: str
) -> str:
    """Format the values of all axes: a single one where they agree."""
    if values is None:
        return EMPTY
    texts = [format_value(value) for value in values]
    return texts[0] if len(set(texts)) == 1 else separator.join(texts)


def _fraction(value: int | Fraction) -> str:
    return str(Fraction(value))


def _percentage(fraction: float | None) -> str:
    """Format a fraction in percent; 0% and 100% only where they are exact."""
    if fraction is None:
        return EMPTY
    if 0 < fraction < 0.001:
        return "<0.1%"
    if 0.995 <= fraction < 1:
        return ">99%"
    return f"{fraction:.1%}" if 0 < fraction < 0.0995 else f"{fraction:.0%}"


def format_count(count: int) -> str:
    """Format a count with three digits and k, M, G or T."""
    value, units = float(count), iter(("", "k", "M", "G", "T"))
    unit = next(units)
    while (rounded := float(f"{value:.3g}")) >= 1000 and unit != "T":
        value, unit = value / 1000, next(units)
    if not unit:
        return f"{count}"
    digits = 2 if rounded < 10 else 1 if rounded < 100 else 0
    return f"{rounded:.{digits}f}{unit}"


def format_megabytes(size_bytes: int) -> str:
    """Format a size in megabytes of 10^6 bytes."""
    megabytes = size_bytes / 1e6
    return f"{megabytes:,.1f} MB" if megabytes >= 1 or not size_bytes else f"{megabytes:.2g} MB"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
