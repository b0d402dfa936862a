"""The convention of the 2020 library: kernels and strides chained in the order in which modules end.

It counts the stride of a shortcut a second time, since the shortcut ends after the path beside it. It is kept to
compare with tables that were printed by it, and to show what is wrong with them.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from torch import nn

from visionlib.summary.calls import ModuleCall
from visionlib.summary.record import LayerSummary, ModelSummary

_CHAINED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
)


def hook_order(summary: ModelSummary, calls: Sequence[ModuleCall]) -> ModelSummary:
    """Order the rows as their calls end, number them, and chain their fields.

    As in the 2020 table, containers that only chain others have no row, and neither has what has no parameters and no
    kernel, such as an activation or a global pool: its network called them as functions.

    Args:
        summary: the exact table.
        calls: the calls behind its rows.
    """
    rows: list[LayerSummary] = []
    axes = len(summary.input_size) - 1
    field, jump = [1] * axes, [1] * axes
    for layer, call in sorted(zip(summary.layers, calls, strict=True), key=lambda pair: pair[1].ended):
        module = call.module
        is_chained = isinstance(module, _CHAINED)
        if isinstance(module, nn.Sequential | nn.ModuleList) or not (
            is_chained or any(True for _ in module.parameters())
        ):
            continue
        plain = LayerSummary(
            name=f"{layer.type}-{len(rows) + 1}",
            type=layer.type,
            depth=layer.depth,
            output_shape=layer.output_shape,
            params=layer.params,
            macs=layer.macs,
        )
        if is_chained:
            kernel, stride, dilation = (_per_axis(module, key, axes) for key in ("kernel_size", "stride", "dilation"))
            field = [f + (k - 1) * d * j for f, k, d, j in zip(field, kernel, dilation, jump, strict=True)]
            plain = replace(plain, receptive_field=tuple(field), jump=tuple(map(Fraction, jump)))
            jump = [j * s for j, s in zip(jump, stride, strict=True)]
        rows.append(plain)
    if rows:
        # What was computed in modules without a row is booked to the last one, which is around them all.
        passed_over = summary.macs - sum(row.macs for row in rows)
        rows[-1] = replace(rows[-1], macs=rows[-1].macs + passed_over)
    return replace(summary, method="hook-order", layers=tuple(rows), findings=())


def tell_disagreement(exact: ModelSummary, chained: ModelSummary) -> str | None:
    """Tell in one sentence where the two conventions part; None if they end at the same figure."""
    ours, theirs = exact.last_local, chained.last_local
    if ours is None or theirs is None or ours.receptive_field == theirs.receptive_field:
        return None
    told = [" x ".join(map(str, row.receptive_field or ())) for row in (ours, theirs)]
    return (
        f"chained in the order in which modules end, as the 2020 library did, the last figure would be {told[1]} and "
        f"not {told[0]}: that counts what lies on parallel branches as if it lay on one"
    )


def _per_axis(module: nn.Module, key: str, axes: int) -> list[int]:
    value = getattr(module, key, 1)
    values = list(value) if isinstance(value, tuple) else [value]
    return values * axes if len(values) == 1 else values
