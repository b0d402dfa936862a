"""The convention of the 2020 library: kernels and strides chained in the order of forward hooks.

The stride of a shortcut counts a second time, because its hook runs after those of the main path. This convention is
kept to compare with tables of that time, and to show their error.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from types import MappingProxyType

from torch import nn

from visionlib.summary.calls import ModuleCall
from visionlib.summary.record import LayerSummary, ModelSummary

_CHAINED: Mapping[type[nn.Module], int] = MappingProxyType(
    {
        **dict.fromkeys((nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d), 1),
        **dict.fromkeys((nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d), 2),
        **dict.fromkeys((nn.Conv3d, nn.MaxPool3d, nn.AvgPool3d), 3),
    }
)
"""Layer type -> number of dimensions over which its window slides."""


def hook_order(summary: ModelSummary, calls: Sequence[ModuleCall]) -> ModelSummary:
    """Sort the rows by the end of their calls, number them, and chain their receptive fields.

    As in the 2020 table, `Sequential` and modules without parameters and kernel, such as activations, have no row. A
    layer whose window slides over another number of dimensions than the image has, such as a `Conv2d` over frames of a
    video, has a row without field.

    Args:
        summary: the exact table.
        calls: one per row of it.
    """
    rows: list[LayerSummary] = []
    axes = len(summary.input_size) - 1
    field, jump = [1] * axes, [1] * axes
    for layer, call in sorted(zip(summary.layers, calls, strict=True), key=lambda pair: pair[1].ended):
        module = call.module
        dims = _window_dims(module)
        if isinstance(module, nn.Sequential | nn.ModuleList) or not (dims or any(True for _ in module.parameters())):
            continue
        row = LayerSummary(
            name=f"{layer.type}-{len(rows) + 1}",
            type=layer.type,
            depth=layer.depth,
            output_shape=layer.output_shape,
            params=layer.params,
            macs=layer.macs,
        )
        if dims and dims == axes:
            kernel, stride, dilation = (_per_axis(module, key, axes) for key in ("kernel_size", "stride", "dilation"))
            field = [f + (k - 1) * d * j for f, k, d, j in zip(field, kernel, dilation, jump, strict=True)]
            row = replace(row, receptive_field=tuple(field), jump=tuple(map(Fraction, jump)))
            jump = [j * s for j, s in zip(jump, stride, strict=True)]
        rows.append(row)
    if rows:
        # The last row is the outermost module: it takes the MACs of modules without a row.
        without_row = summary.macs - sum(row.macs for row in rows)
        rows[-1] = replace(rows[-1], macs=rows[-1].macs + without_row)
    return replace(summary, method="hook-order", layers=tuple(rows), findings=())


def describe_disagreement(exact: ModelSummary, calls: Sequence[ModuleCall]) -> str | None:
    """Compare the final fields of the two conventions in one sentence; None if they agree.

    None as well if the convention does not apply, as the windows slide over other dimensions than those of the image.
    """
    axes = len(exact.input_size) - 1
    if any(_window_dims(call.module) not in (0, axes) for call in calls):
        return None
    ours, theirs = exact.last_local, hook_order(exact, calls).last_local
    if ours is None or theirs is None or ours.receptive_field == theirs.receptive_field:
        return None
    exact_field, chained_field = (" x ".join(map(str, row.receptive_field or ())) for row in (ours, theirs))
    return (
        f"in hook order, the 2020 convention, the last field would be {chained_field} and not {exact_field}: it chains "
        "parallel branches as if they were one"
    )


def _window_dims(module: nn.Module) -> int:
    """Number of dimensions over which the window of a layer slides; 0 if it has none."""
    return next((dims for layer_type, dims in _CHAINED.items() if isinstance(module, layer_type)), 0)


def _per_axis(module: nn.Module, key: str, axes: int) -> list[int]:
    value = getattr(module, key, 1)
    values = list(value) if isinstance(value, tuple) else [value]
    return values * axes if len(values) == 1 else values
