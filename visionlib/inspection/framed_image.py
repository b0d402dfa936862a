"""A stored image in a panel, with a caption and a frame."""

from jaxtyping import UInt8
from matplotlib.axes import Axes
from torch import Tensor

from visionlib.data.class_names import CAPTION_PATH_LENGTH, embed_name, tidy_path
from visionlib.drawing.image_grid import image_pixels
from visionlib.drawing.lettering import fit_text, set_plain
from visionlib.drawing.palette import CONTRAST, MAIN

CAPTION_PT = 8


def fit_name(name: str, width: float) -> str:
    """Shorten a class name to a width in points, in the size of captions."""
    return fit_text(embed_name(name), width, CAPTION_PT)


def fit_source(source: str | None, width: float) -> str:
    """Write a file as one more line of a caption, shortened to a width in points; nothing if it is not known."""
    return "" if source is None else "\n" + fit_text(tidy_path(source, CAPTION_PATH_LENGTH), width, CAPTION_PT)


def show_framed(axes: Axes, image: UInt8[Tensor, "c h w"], caption: str, *, is_right: bool | None = None) -> None:
    """Show an image pixel by pixel, with its caption below.

    Args:
        axes: the panel.
        image: stored pixels.
        caption: of one line or several.
        is_right: draw a solid blue frame if True, a dashed vermilion one if False, none otherwise.
    """
    axes.imshow(image_pixels(image))
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(caption, fontsize=CAPTION_PT)
    set_plain([axes.xaxis.label])
    for spine in axes.spines.values():
        spine.set_visible(is_right is not None)
        spine.set(color=MAIN if is_right else CONTRAST, linewidth=2.5, linestyle="-" if is_right else (0, (2, 1.2)))
