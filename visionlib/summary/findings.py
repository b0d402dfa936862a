"""Consequences of the layer table at this image size, in sentences: redundant layers, misalignment, gridding, tiles."""

import math
from collections.abc import Iterator, Sequence

from visionlib.summary.calls import ModuleCall
from visionlib.summary.messages import describe_error
from visionlib.summary.record import LayerSummary, ModelSummary


def list_findings(summary: ModelSummary, calls: Sequence[ModuleCall]) -> Iterator[str]:
    """List the findings, one sentence each. A finding that fails says so: the table does not depend on it.

    Args:
        summary: the exact table.
        calls: one per row of it.
    """
    pairs = sorted(zip(calls, summary.layers, strict=True), key=lambda pair: pair[0].ended)
    rows = [row for _, row in pairs if row.receptive_field is not None]
    if not rows:
        yield "no receptive field was computed: the input has no height and width, or no output depends on it"
        return
    finders: dict[str, Iterator[str]] = {
        "the whole image": _whole_image(rows),
        "misalignment": _misalignment(calls),
        "gridding": _gridding(rows),
        "tiles": _tiling(rows),
        "normalization": _normalization(calls),
        "the border": _clipping(rows),
    }
    for topic, sentences in finders.items():
        try:
            yield from list(sentences)
        except Exception as error:  # whatever a remark stumbles over
            yield f"no finding on {topic}: {describe_error(error)}"


def _clipping(rows: Sequence[LayerSummary]) -> Iterator[str]:
    if clipped := [row for row in rows if row.is_clipped]:
        yield f"from {_title(clipped[0])} on, the field is cut at the border of this image: it may continue beyond"


def _whole_image(rows: Sequence[LayerSummary]) -> Iterator[str]:
    first = next((row for row in rows if row.seen_fraction == 1.0), None)
    if first is None:
        largest = max(rows, key=lambda row: row.seen_fraction or 0.0)
        fraction = largest.seen_fraction or 0.0
        percentage = f"{fraction:.0%}" if fraction >= 0.01 else "less than 1%"
        yield f"no layer sees the whole image; {_title(largest)} sees {percentage} of it"
        return
    yield f"{_title(first)} is the first layer with a position that sees the whole image"
    local = [row for row in rows if not row.is_global and row.seen_fraction == 1.0 and row.macs]
    if redundant := [row for row in local if row.smallest_seen == row.seen]:
        yield (
            f"at {_title(redundant[0])} every position sees the whole image: later layers add depth, but no "
            "receptive field"
        )


def _misalignment(calls: Sequence[ModuleCall]) -> Iterator[str]:
    for call in calls:
        for kind, sentence in call.notes:
            if kind == "misaligned":
                yield f"{call.title} {sentence}"


def _gridding(rows: Sequence[LayerSummary]) -> Iterator[str]:
    gaps = [row for row in rows if row.lines is not None and min(row.lines) < 1 and not row.is_global]
    if gaps:
        worst = min(gaps, key=lambda row: min(row.lines or (1.0,)))
        fraction = min(worst.lines or (1.0,))
        yield f"gridding: a position of {_title(worst)} sees only {fraction:.0%} of the lines within its field"


def _tiling(rows: Sequence[LayerSummary]) -> Iterator[str]:
    outermost = rows[-1]
    if any(row.is_global or row.is_clipped for row in rows) or outermost.jump is None:
        return
    overlap = max(outermost.receptive_field or (1,)) - 1
    # Strides must sample the same pixels in every tile as in the whole image: tiles begin at multiples of all jumps.
    step = math.lcm(*(jump.numerator for row in rows for jump in row.jump or ()))
    starts = f" and begin at multiples of {step} pixels" if step > 1 else ""
    yield (
        f"tiles that overlap by {overlap} pixels or more{starts} give the same output as the whole image, away from "
        "their borders"
    )


def _normalization(calls: Sequence[ModuleCall]) -> Iterator[str]:
    strict = [call for call in calls if any(kind == "normalized" for kind, _ in call.notes)]
    if strict:
        subject = f" and {len(strict) - 1} more normalize by their" if len(strict) > 1 else " normalizes by its"
        yield (
            f"{strict[0].title}{subject} own input's mean and std, which depend on the whole image: the table counts "
            "only the element that is normalized"
        )


def _title(row: LayerSummary) -> str:
    return f"{row.name} ({row.type})" if row.name else row.type
