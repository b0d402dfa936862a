"""The layer table as text, cell by cell: what the terminal, Markdown and HTML show is the same."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from visionlib.errors import ConfigError
from visionlib.summary.folding import fold
from visionlib.summary.record import Extent, LayerSummary, ModelSummary

NOTHING = "-"


@dataclass(frozen=True)
class Sheet:
    """A layer table of which only the drawing is left.

    Attributes:
        title: model and input.
        convention: which receptive fields these are, and what the other convention would say where it differs.
        headers: of the columns; the first column is the layer's.
        rows: a cell per column, the layer without its indentation.
        indents: how deep each row is inside of others.
        totals: name and figure.
        legend: what the columns mean, a sentence each.
        findings: what the figures mean at this image size, a sentence each.
        assumptions: what was taken for granted, a sentence each.
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


def lay_out(summary: ModelSummary, depth: int | None = None) -> Sheet:
    """Put a summary into words and cells.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold`; None shows all.
    Raises:
        ConfigError: if the depth is negative, or one is given for rows in hook order, which are not nested.
    """
    is_exact = summary.method == "exact"
    if depth is not None and not is_exact:
        raise ConfigError("depth", "does not go with hook order, whose rows are not nested", "leave one of them out")
    layers = fold(summary.layers, depth)
    return Sheet(
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
    inside = ", without the rows inside of it" if depth is None else f"; at depth {depth} with all that is inside of it"
    yield f"params, MACs: of the row itself{inside}"
    yield "jump: pixels from one position to the next"
    yield "start: the first pixel that the first position sees, negative beyond the border"
    yield "sees: share of this image that a position sees, the largest over all positions"


def _totals(summary: ModelSummary) -> Iterator[tuple[str, str]]:
    frozen = summary.total_params - summary.trainable_params
    yield "parameters", f"{summary.total_params:,}, of which {summary.trainable_params:,} trainable, {frozen:,} frozen"
    if missing := summary.total_params - sum(layer.params for layer in summary.layers):
        yield "without a row", f"{missing:,} parameters, in modules that are not called on such an input"
    batch = f"for a batch of {summary.batch_size:,}"
    yield "MACs", f"{in_units(summary.macs)} ({summary.macs:,}) {batch}"
    weights, activations = in_megabytes(summary.weights_bytes), in_megabytes(summary.activations_bytes)
    yield "memory", f"weights {weights}, activations {activations} {batch}"


def _exact_cells(summary: ModelSummary, layers: Sequence[LayerSummary]) -> Iterator[tuple[str, ...]]:
    enclosing: list[LayerSummary] = []
    for layer in layers:
        while enclosing and enclosing[-1].depth >= layer.depth:
            enclosing.pop()
        yield (
            _label(layer, enclosing[-1].name if enclosing else "", summary.model),
            _output(layer, summary.batch_size),
            f"{layer.params:,}" if layer.params else NOTHING,
            in_units(layer.macs) if layer.macs else NOTHING,
            _receptive_field(layer),
            _per_axis(layer.jump, _fraction, " x "),
            NOTHING if layer.is_global else _per_axis(layer.start, str, ", "),
            _share(layer.seen_fraction),
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
    """Name a layer within the row that it is inside of, and its type."""
    if not layer.name:
        return layer.type if model == layer.type else f"{model} ({layer.type})"
    name = layer.name.removeprefix(f"{enclosing_name}.") if enclosing_name else layer.name
    return f"{name} ({layer.type})"


def _output(layer: LayerSummary, batch_size: int) -> str:
    if layer.output_shape is None:
        return NOTHING
    return _by(_without_batch(layer.output_shape, batch_size)) or "scalar"


def _published_output(layer: LayerSummary, batch_size: int) -> str:
    if layer.output_shape is None:
        return NOTHING
    rest = _without_batch(layer.output_shape, batch_size)
    return ",".join(map(str, layer.output_shape if rest == layer.output_shape else (-1, *rest)))


def _without_batch(shape: tuple[int, ...], batch_size: int) -> tuple[int, ...]:
    # An output may have lost its batch, or hold it elsewhere: then nothing is taken off.
    return shape[1:] if shape and shape[0] == batch_size else shape


def _receptive_field(layer: LayerSummary) -> str:
    if layer.is_global:
        return "global"
    if layer.receptive_field is None:
        return NOTHING
    smallest = layer.smallest_receptive_field or layer.receptive_field
    sides = [
        str(high) if low == high else f"{low}..{high}"
        for low, high in zip(smallest, layer.receptive_field, strict=True)
    ]
    return (">= " if layer.is_clipped else "") + " x ".join(sides)


def _per_axis(
    figures: Extent | tuple[Fraction, ...] | None, say: Callable[[int | Fraction], str], separator: str
) -> str:
    """Say the figures of all axes: one where they agree."""
    if figures is None:
        return NOTHING
    told = [say(figure) for figure in figures]
    return told[0] if len(set(told)) == 1 else separator.join(told)


def _fraction(figure: int | Fraction) -> str:
    return str(Fraction(figure))


def _share(fraction: float | None) -> str:
    """Say a share in per cent; 0 and 100 only where they are exact."""
    if fraction is None:
        return NOTHING
    if 0 < fraction < 0.001:
        return "<0.1%"
    if 0.995 <= fraction < 1:
        return ">99%"
    return f"{fraction:.1%}" if 0 < fraction < 0.0995 else f"{fraction:.0%}"


def in_units(count: int) -> str:
    """Say a count in three digits and k, M, G or T."""
    value, units = float(count), iter(("", "k", "M", "G", "T"))
    unit = next(units)
    while (rounded := float(f"{value:.3g}")) >= 1000 and unit != "T":
        value, unit = value / 1000, next(units)
    if not unit:
        return f"{count}"
    digits = 2 if rounded < 10 else 1 if rounded < 100 else 0
    return f"{rounded:.{digits}f}{unit}"


def in_megabytes(size_bytes: int) -> str:
    """Say a size in megabytes of 10^6 bytes."""
    megabytes = size_bytes / 1e6
    return f"{megabytes:,.1f} MB" if megabytes >= 1 or not size_bytes else f"{megabytes:.2g} MB"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
