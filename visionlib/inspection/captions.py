"""Class names and raw images as pictures take them: short enough, without control characters, and framed."""

import textwrap
import unicodedata

from jaxtyping import UInt8
from matplotlib.axes import Axes
from torch import Tensor

BLUE, ORANGE = "#0072B2", "#D55E00"
"""Of Okabe and Ito's colours; what they mean is said by signs as well."""
RIGHT, WRONG = "\N{CHECK MARK}", "\N{BALLOT X}"


_WIDE, _NARROW = frozenset("mwMW@%&\N{HORIZONTAL ELLIPSIS}"), frozenset("fijlrtI.,:;|!'()[]/ ")
_MOST_CHARACTERS = 60


def measure_name(name: str) -> float:
    """Estimate how wide a text is, in heights of its letters, never too narrow by much."""
    return sum(map(_measure, name))


def shorten_name(name: str, most: float) -> str:
    """Give a class name no wider than so many heights of its letters, in characters that stay on one line."""
    clean = " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in name).split()) or "(no name)"
    if measure_name(clean) <= most and len(clean) <= _MOST_CHARACTERS:
        return clean
    end = "\N{HORIZONTAL ELLIPSIS}"
    short = clean[:_MOST_CHARACTERS]
    while short and measure_name(short + end) > most:
        short = short[:-1]
    return short.rstrip() + end


def _measure(character: str) -> float:
    if character in _WIDE or unicodedata.east_asian_width(character) in "WF":
        return 1.0
    return 0.42 if character in _NARROW else 0.72 if character.isupper() else 0.64


def wrap_lines(text: str, width: int) -> str:
    """Break a sentence into lines of at most so many characters."""
    return "\n".join(textwrap.wrap(text, width))


def show_pixels(axes: Axes, image: UInt8[Tensor, "c h w"], *, caption: str = "", is_right: bool | None = None) -> None:
    """Show an image as it is, pixel by pixel, with its caption below.

    Args:
        axes: what to draw in.
        image: pixels as stored.
        caption: shown as it is, without mathematics.
        is_right: draw a solid blue frame if True, a dashed orange one if False, none otherwise.
    """
    pixels = image.permute(1, 2, 0).cpu().numpy()
    axes.imshow(pixels if pixels.shape[2] == 3 else pixels[:, :, 0], cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(caption, fontsize=8, parse_math=False)
    for spine in axes.spines.values():
        spine.set_visible(is_right is not None)
        spine.set(color=BLUE if is_right else ORANGE, linewidth=2.5, linestyle="-" if is_right else (0, (2, 1.2)))
