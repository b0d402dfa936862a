"""`summarize`: the layer table of any model, with receptive fields that are exact at every position."""

from dataclasses import replace
from typing import Any

from torch import nn

from visionlib.errors import ConfigError
from visionlib.summary.calls import CallLog, ModuleCall
from visionlib.summary.findings import list_findings
from visionlib.summary.following import Output, follow
from visionlib.summary.hook_order import describe_disagreement, hook_order
from visionlib.summary.inputs import Inputs, InputSize
from visionlib.summary.measure import measure_fields, measure_line_coverage
from visionlib.summary.messages import describe_error
from visionlib.summary.record import LayerSummary, Method, ModelSummary


def summarize(
    model: nn.Module,
    input_size: InputSize = (3, 32, 32),
    *,
    method: Method = "exact",
    batch_size: int = 1,
    name: str | None = None,
) -> ModelSummary:
    """Make the layer table of a model: a row per module call, with shapes, parameters and receptive fields.

    The model runs in eval mode on shapes alone: nothing is computed with its weights, no memory is taken for
    activations, and its state is unchanged afterwards.

    Args:
        model: any module that runs on the input.
        input_size: size of one image without the batch, (c, h, w), or (c, l) or (c, d, h, w). For several inputs, a
            sequence of sizes, or a dict from argument names of `forward` to sizes; where `forward` takes a single
            argument, it gets them as one tuple or dict. In general, each argument is a size, or a nested tuple, list or
            dict of sizes: `[{"image": (3, 32, 32), "mask": (1, 32, 32)}]` is one dict. Receptive fields refer to the
            first input, and to all others of the same height and width.
        method: `exact`, or `hook-order`, the convention of the 2020 library. It is wrong for networks with branches and
            kept to compare with tables of that time.
        batch_size: images in the batch, for shapes, multiply-accumulates and memory.
        name: name of the model in the table; by default its class.
    Returns:
        The table.
    Raises:
        ConfigError: if a size is invalid, or the batch size is below 1.
        ModelError: if the model does not run on such an input, or has an operation without a receptive-field rule; the
            message names the layer.
    """
    image = Inputs.read(input_size).sizes[0]
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    title = name or type(model).__name__
    log = follow(model, input_size, batch_size=batch_size)
    layers = _rows(log)
    if method == "exact":
        layers = _with_line_coverage(layers, model, input_size, batch_size)
    summary = ModelSummary(
        model=title,
        input_size=image,
        batch_size=batch_size,
        method=method,
        layers=layers,
        total_params=log.total_params,
        trainable_params=log.trainable_params,
        weights_bytes=log.weights_bytes,
        activations_bytes=_activations_bytes(log),
        assumptions=(*log.assumptions, *_list_assumptions(log)),
    )
    if method == "hook-order":
        return hook_order(summary, log.calls)
    findings = tuple(list_findings(summary, log.calls))
    try:
        disagreement = describe_disagreement(summary, log.calls)
    except Exception as error:  # a remark must not cost the table
        disagreement, findings = None, (*findings, f"no comparison with hook order: {describe_error(error)}")
    return replace(summary, findings=findings, disagreement=disagreement)


def _rows(log: CallLog) -> tuple[LayerSummary, ...]:
    measured: dict[int, dict[str, Any]] = {}  # elementwise operations pass the same object on
    rows = []
    for call in log.calls:
        output: Output | None = call.output
        fields = None if output is None else output.fields
        if fields is not None and id(fields) not in measured:
            try:
                measured[id(fields)] = measure_fields(fields)
            except Exception as error:  # the rest of the table is right
                log.assumptions.append(
                    f"{call.title} has a receptive field that was not measured: {describe_error(error)}"
                )
                measured[id(fields)] = {}
        rows.append(
            LayerSummary(
                name=call.name,
                type=call.type_name,
                depth=call.depth,
                output_shape=None if output is None else output.shape,
                params=call.params,
                macs=call.macs,
                notes=tuple(sentence for _, sentence in call.notes),
                **({} if fields is None else measured[id(fields)]),
            )
        )
    return tuple(rows)


def _list_assumptions(log: CallLog) -> list[str]:
    """Every assumption once, with the module that made it first."""
    sentences: dict[str, str] = {}
    for call in log.calls:
        for kind, sentence in call.notes:
            if kind == "assumed":
                sentences.setdefault(sentence, f"{sentence}, in {call.title}")
    return list(sentences.values())


def _activations_bytes(log: CallLog) -> int:
    innermost = [
        call
        for call, next_call in zip(log.calls, [*log.calls[1:], None], strict=True)
        if next_call is None or next_call.depth <= call.depth
    ]
    return sum(call.output.size_bytes for call in innermost if call.output is not None)


def _with_line_coverage(
    layers: tuple[LayerSummary, ...], model: nn.Module, input_size: InputSize, batch_size: int
) -> tuple[LayerSummary, ...]:
    """Measure which lines the layers skip; without it the rows are as they are.

    Only dilated windows skip lines, and a trace of every line is slow.
    """
    if not any(map(_is_dilated, model.modules())):
        return layers
    calls = follow(model, input_size, batch_size=batch_size, with_lines=True).calls
    if [call.name for call in calls] != [row.name for row in layers]:
        return layers  # a model that takes another path at every run
    return tuple(_with_lines(row, call) for row, call in zip(layers, calls, strict=True))


def _with_lines(row: LayerSummary, call: ModuleCall) -> LayerSummary:
    if row.receptive_field is None or call.output is None or call.output.fields is None:
        return row
    return replace(row, lines=measure_line_coverage(call.output.fields))


def _is_dilated(module: nn.Module) -> bool:
    """Whether a layer is dilated."""
    kernel, dilation = getattr(module, "kernel_size", 1), getattr(module, "dilation", 1)
    pairs = zip(_listed(kernel), _listed(dilation), strict=False)
    return any(size > 1 and step > 1 for size, step in pairs)


def _listed(value: Any) -> list[int]:
    values = [value] * 3 if isinstance(value, int) else list(value) if isinstance(value, tuple) else []
    return [element for element in values if isinstance(element, int)]
