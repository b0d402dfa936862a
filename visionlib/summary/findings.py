"""What the figures of a table mean at this image size, in sentences."""

import math
from collections.abc import Iterator, Sequence

from visionlib.summary.calls import ModuleCall
from visionlib.summary.record import LayerSummary, ModelSummary


def tell_findings(summary: ModelSummary, calls: Sequence[ModuleCall]) -> Iterator[str]:
    """Tell what a reader of the table should know.

    Args:
        summary: the exact table.
        calls: the calls behind its rows.
    """
    pairs = sorted(zip(calls, summary.layers, strict=True), key=lambda pair: pair[0].ended)
    rows = [row for _, row in pairs if row.receptive_field is not None]
    if not rows:
        yield "no layer was followed over the image: the input has no height and width, or nothing depends on it"
        return
    yield from _whole_image(rows)
    yield from _alignment(calls)
    yield from _gridding(rows)
    yield from _tiling(rows)
    yield from _normalization(calls)
    if any(row.is_clipped for row in rows):
        first = next(row for row in rows if row.is_clipped)
        yield f"from {_title(first)} on the field ends at the border of this image: how it goes on could not be told"


def _whole_image(rows: Sequence[LayerSummary]) -> Iterator[str]:
    whole = next((row for row in rows if row.seen_fraction == 1.0), None)
    if whole is None:
        largest = max(rows, key=lambda row: row.seen_fraction or 0.0)
        share = largest.seen_fraction or 0.0
        told = f"{share:.0%}" if share >= 0.01 else "less than 1%"
        yield f"no layer sees the whole image; {_title(largest)} sees {told} of it"
        return
    yield f"{_title(whole)} is the first layer of which a position sees the whole image"
    local = [row for row in rows if not row.is_global and row.seen_fraction == 1.0 and row.macs]
    if beyond := [row for row in local if row.smallest_seen == row.seen]:
        yield f"at {_title(beyond[0])} every position sees the whole image: what follows adds depth and no sight"


def _alignment(calls: Sequence[ModuleCall]) -> Iterator[str]:
    for call in calls:
        for kind, sentence in call.notes:
            if kind == "misaligned":
                yield f"{call.title} {sentence}"


def _gridding(rows: Sequence[LayerSummary]) -> Iterator[str]:
    gaps = [row for row in rows if row.lines is not None and min(row.lines) < 1 and not row.is_global]
    if gaps:
        worst = min(gaps, key=lambda row: min(row.lines or (1.0,)))
        share = min(worst.lines or (1.0,))
        yield f"gridding: a position of {_title(worst)} sees only {share:.0%} of the lines within its field"


def _tiling(rows: Sequence[LayerSummary]) -> Iterator[str]:
    outermost = rows[-1]
    if any(row.is_global or row.is_clipped for row in rows) or outermost.jump is None:
        return
    overlap = max(outermost.receptive_field or (1,)) - 1
    # Positions inside must fall on the same pixels in every tile, or they see them in another phase.
    steps = [jump.numerator for row in rows for jump in row.jump or ()]
    step = math.lcm(*steps)
    places = f" and begin at multiples of {step} pixels" if step > 1 else ""
    yield (
        f"tiles that overlap by {overlap} pixels or more{places} give the same output as the whole image, away from "
        "their borders"
    )


def _normalization(calls: Sequence[ModuleCall]) -> Iterator[str]:
    strict = [call for call in calls if any(kind == "normalized" for kind, _ in call.notes)]
    if strict:
        others = f" and {len(strict) - 1} more normalise by their" if len(strict) > 1 else " normalises by its"
        yield (
            f"{strict[0].title}{others} own input's mean and deviation, which strictly depend on all of it: counted "
            "here is what is normalised, entry by entry"
        )


def _title(row: LayerSummary) -> str:
    return f"{row.name} ({row.type})" if row.name else row.type
