"""A picture of label candidates: the image, its given label, and the class that is suggested instead."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.errors import RunError
from visionlib.inspection.candidates import LabelCandidates
from visionlib.inspection.captions import shorten_name, show_pixels, wrap_lines

MOST_SHOWN = 25
_COLUMNS = 5
_NAME_EMS = 7.4


def draw_candidates(candidates: LabelCandidates, images: UInt8[Tensor, "m c h w"]) -> Figure:
    """Draw the first candidates, the most doubtful first, row by row.

    Args:
        candidates: all of them.
        images: raw pixels of as many of the first candidates as are to be drawn, in their order.
    Raises:
        RunError: if there is no image to draw, or there are more images than candidates.
    """
    if not 1 <= len(images) <= len(candidates):
        raise RunError(
            "candidates", f"there are {len(candidates)}, and {len(images)} images to draw", "draw 1 image or more"
        )
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(7.5, 2.05 * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for place, (row, image) in enumerate(zip(candidates.to_rows()[: len(images)], images, strict=True)):
        axes = panels[place]
        axes.set_axis_on()
        given, suggested = (shorten_name(row[part], _NAME_EMS) for part in ("given", "suggested"))
        show_pixels(
            axes,
            image,
            caption=f"image {row['index']}, score {row['score']:.3f}\ngiven: {given}\nsuggested: {suggested}",
        )
    figure.suptitle(wrap_lines(_describe_whole(candidates, len(images)), 100), fontsize=10, parse_math=False)
    return figure


def describe_candidates(candidates: LabelCandidates, shown: int) -> str:
    """Say in words what `draw_candidates` shows."""
    rows = candidates.to_rows()[:shown]
    told = "; ".join(
        f"image {row['index']} given {shorten_name(row['given'], 40)}, suggested {shorten_name(row['suggested'], 40)}"
        for row in rows
    )
    return f"{_describe_whole(candidates, shown)}. {told}."


def _describe_whole(candidates: LabelCandidates, shown: int) -> str:
    which = "the one" if shown == len(candidates) == 1 else f"the first {shown} of {len(candidates):,}"
    return (
        f"Label candidates in the {candidates.split} split, {which}: images to look at, not errors; "
        "score: probability of the given class"
    )
