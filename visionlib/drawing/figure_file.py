"""`encode_figure`: a figure as a PNG or SVG file, the same bytes for the same figure."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg")


def encode_figure(figure: "Figure", suffix: str, description: str = "") -> bytes:
    """Encode a figure, cropped to its content.

    Args:
        figure: any matplotlib figure.
        suffix: one of `SUFFIXES`, in any case.
        description: text alternative, stored in the file's metadata.
    """
    import matplotlib as mpl

    from visionlib.drawing.lettering import DOTS_PER_INCH

    kind = suffix.lower().removeprefix(".")
    # By default an SVG contains the time of writing and random ids.
    metadata: dict[str, str | None] = {"Date": None} if kind == "svg" else {}
    if description:
        metadata["Description"] = description
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "visionlib", "svg.fonttype": "none"}):
        figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=metadata, bbox_inches="tight")
    return buffer.getvalue()
