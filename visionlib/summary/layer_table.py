"""`summarize`: the layer table of any model, with receptive fields that are exact at every position."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from torch import nn

from visionlib.errors import ConfigError
from visionlib.summary.calls import CallLog, ModuleCall
from visionlib.summary.findings import tell_findings
from visionlib.summary.following import Output, Size, follow
from visionlib.summary.hook_order import hook_order, tell_disagreement
from visionlib.summary.measure import Figures, lines_of_hull, measure
from visionlib.summary.record import LayerSummary, Method, ModelSummary

InputSize: TypeAlias = Size | Sequence[Size] | Mapping[str, Size]


def summarize(
    model: nn.Module,
    input_size: InputSize = (3, 32, 32),
    *,
    method: Method = "exact",
    batch_size: int = 1,
    name: str | None = None,
) -> ModelSummary:
    """Make the layer table of a model: a row per module call, with shapes, parameters and receptive fields.

    The model is followed in evaluation mode without its arithmetic: nothing is computed with its weights, no memory is
    taken for its activations, and it is left as it was.

    Args:
        model: any module that runs on the input.
        input_size: size of one image without the batch, (c, h, w), or (c, l) or (c, d, h, w); of several inputs a
            sequence of sizes, or a dict of sizes by the names of `forward`'s arguments. Receptive fields are those in
            the first image, and in all others of the same height and width.
        method: `exact`, or `hook-order`, the convention of the 2020 library, which is wrong for networks with branches
            and is kept to compare with tables that were printed by it.
        batch_size: images in the batch, for shapes, multiply-accumulates and memory.
        name: what to call the model; by default its class.
    Returns:
        The table.
    Raises:
        ConfigError: if a size is none, or the batch is smaller than one image.
        ModelError: if the model does not run on such an input, or does something whose reach is not known; the message
            names the layer.
    """
    sizes, keys = _read_sizes(input_size)
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    title = name or type(model).__name__
    log = follow(model, sizes, keys, batch_size=batch_size)
    layers = _rows(log)
    if method == "exact" and any(map(_has_gaps, model.modules())):
        # Only windows with gaps pass lines over, and following every line costs.
        with_lines = follow(model, sizes, keys, batch_size=batch_size, with_lines=True)
        layers = tuple(_with_lines(row, call) for row, call in zip(layers, with_lines.calls, strict=True))
    parameters = list(log.model.parameters())
    summary = ModelSummary(
        model=title,
        input_size=sizes[0],
        batch_size=batch_size,
        method=method,
        layers=layers,
        total_params=sum(parameter.numel() for parameter in parameters),
        trainable_params=sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        weights_bytes=sum(tensor.numel() * tensor.element_size() for tensor in (*parameters, *log.model.buffers())),
        activations_bytes=_activations_bytes(log),
        assumptions=(*log.assumptions, *_assumed(log)),
    )
    chained = hook_order(summary, log.calls)
    if method == "hook-order":
        return chained
    return replace(
        summary, findings=tuple(tell_findings(summary, log.calls)), disagreement=tell_disagreement(summary, chained)
    )


def _rows(log: CallLog) -> tuple[LayerSummary, ...]:
    counted: set[int] = set()
    figures_of: dict[int, Figures | None] = {}  # what works entry by entry hands on the reach that it got
    rows = []
    for call in log.calls:
        own = [p for p in call.module.parameters(recurse=False) if id(p) not in counted]
        counted.update(map(id, own))
        output: Output | None = call.output
        figures = None
        if output is not None and output.reach is not None:
            if id(output.reach) not in figures_of:
                figures_of[id(output.reach)] = measure(output.reach)
            figures = figures_of[id(output.reach)]
        rows.append(
            LayerSummary(
                name=call.name,
                type=type(call.module).__name__,
                depth=call.depth,
                output_shape=None if output is None else output.shape,
                params=sum(parameter.numel() for parameter in own),
                macs=call.macs,
                notes=tuple(sentence for _, sentence in call.notes),
                **({} if figures is None else vars(figures)),
            )
        )
    return tuple(rows)


def _assumed(log: CallLog) -> list[str]:
    """List what was taken for granted, each with the module where it first was."""
    sentences: dict[str, str] = {}
    for call in log.calls:
        for kind, sentence in call.notes:
            if kind == "assumed":
                sentences.setdefault(sentence, f"{sentence}, in {call.title}")
    return list(sentences.values())


def _activations_bytes(log: CallLog) -> int:
    innermost = [
        call
        for call, following in zip(log.calls, [*log.calls[1:], None], strict=True)
        if following is None or following.depth <= call.depth
    ]
    return sum(call.output.size_bytes for call in innermost if call.output is not None)


def _with_lines(row: LayerSummary, call: ModuleCall) -> LayerSummary:
    if row.receptive_field is None or call.output is None or call.output.reach is None:
        return row
    return replace(row, lines=lines_of_hull(call.output.reach))


def _has_gaps(module: nn.Module) -> bool:
    """Tell whether a layer's windows have gaps."""
    kernel, dilation = getattr(module, "kernel_size", 1), getattr(module, "dilation", 1)
    pairs = zip(_listed(kernel), _listed(dilation), strict=False)
    return any(size > 1 and step > 1 for size, step in pairs)


def _listed(value: Any) -> list[int]:
    values = [value] * 3 if isinstance(value, int) else list(value) if isinstance(value, tuple) else []
    return [entry for entry in values if isinstance(entry, int)]


def _read_sizes(input_size: InputSize) -> tuple[list[Size], list[str] | None]:
    keys = list(input_size) if isinstance(input_size, Mapping) else None
    values: list[Any] = list(input_size.values()) if isinstance(input_size, Mapping) else list(input_size)
    sizes = [tuple(values)] if values and all(isinstance(value, int) for value in values) else values
    if not sizes or not all(_is_size(size) for size in sizes):
        raise ConfigError(
            "input_size",
            f"{input_size!r} is no size of an image",
            "give channels, height and width, such as (3, 32, 32), or one such size per input",
        )
    return [tuple(size) for size in sizes], keys


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, list | tuple)
        and len(size) > 0
        and all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in size)
    )
