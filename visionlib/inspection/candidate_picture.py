"""Label candidates: each image with its given label and the suggested class."""

from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.drawing.lettering import write_title
from visionlib.errors import RunError
from visionlib.inspection.candidates import LabelCandidates
from visionlib.inspection.framed_image import fit_name, fit_source, show_framed

MOST_SHOWN = 25
_COLUMNS = 5
_NAME_WIDTH_PT = 59
_FILE_WIDTH_PT = 98


def draw_candidates(candidates: LabelCandidates, images: UInt8[Tensor, "m c h w"]) -> Figure:
    """Draw the first candidates row by row, in the order of their scores.

    Args:
        candidates: all of them.
        images: stored pixels of the first candidates, in their order; their number is that of the drawn ones.
    Raises:
        RunError: if there is no image to draw, or there are more images than candidates.
    """
    if not 1 <= len(images) <= len(candidates):
        raise RunError(
            "candidates", f"there are {len(candidates)}, and {len(images)} images to draw", "draw 1 image or more"
        )
    columns = min(_COLUMNS, len(images))
    rows = -(-len(images) // columns)
    row_height = 2.05 if candidates.sources is None else 2.2
    figure = Figure(figsize=(7.5, row_height * rows + 0.7), layout="constrained")
    panels = figure.subplots(rows, _COLUMNS, squeeze=False).flat
    for axes in panels:
        axes.set_axis_off()
    for number, (row, image) in enumerate(zip(candidates.to_rows()[: len(images)], images, strict=True)):
        axes = panels[number]
        axes.set_axis_on()
        given, suggested = (fit_name(row[part], _NAME_WIDTH_PT) for part in ("given", "suggested"))
        caption = f"image {row['index']}, score {row['score']:.3f}\ngiven: {given}\nsuggested: {suggested}"
        caption += fit_source(row["source"], _FILE_WIDTH_PT)
        show_framed(axes, image, caption)
    write_title(figure, _title(candidates, len(images)), size=10)
    return figure


def describe_candidates(candidates: LabelCandidates, shown: int) -> str:
    """Describe the picture in words."""
    labels = "; ".join(
        f"image {row['index']} given {embed_name(row['given'])}, suggested {embed_name(row['suggested'])}"
        for row in candidates.to_rows()[:shown]
    )
    return f"{_title(candidates, shown)}. {labels}."


def _title(candidates: LabelCandidates, shown: int) -> str:
    which = "the one" if shown == len(candidates) == 1 else f"the first {shown} of {len(candidates):,}"
    return (
        f"Label candidates in the {candidates.split} split, {which}: images to look at, not errors; "
        "score: probability of the given class"
    )
