"""Text in figures: measured, shortened, wrapped, and never parsed as mathematics."""

import unicodedata
import warnings
from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

DOTS_PER_INCH = 120
"""Resolution of every saved figure."""
_FIRST = "DejaVu Sans"
_FALLBACKS = (
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans",
    "Microsoft YaHei",
    "Hiragino Sans",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
)
"""Used for characters that the first font lacks, where installed."""
_UNFIT = ("Last Resort", "Emoji", "Math", "STIX", "cmex", "cmsy", "cmmi")
"""Parts of the names of fonts without the shapes of letters."""
_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


_further: dict[str, str | None] = {}
"""The font of each character that the first fonts lack, None if no font has it; looked up once."""


def font_families() -> tuple[str, ...]:
    """List the fonts: matplotlib's own, the installed ones for other scripts, and those found for single characters."""
    return (*_first_families(), *dict.fromkeys(family for family in _further.values() if family))


def measure_text(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of one line in points (1/72 inch): by the font, or as rendered, whichever is larger.

    Rendered at 120 dots per inch each character takes whole pixels, which makes a line up to a seventh longer.

    Args:
        text: characters that the fonts have, see `replace_missing_glyphs`.
        size: of the characters, in points.
        weight: `normal` or `bold`.
    """
    font = _font(size, weight, font_families())
    by_font = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    rendered = _renderer().get_text_width_height_descent(text, font, ismath=False)[0] / DOTS_PER_INCH * 72  # type: ignore[no-untyped-call]
    return float(max(by_font, rendered))


def fit_text(text: str, width: float, size: float, *, weight: str = "normal") -> str:
    """Shorten a line to a width by removing its middle; a number at its end stays readable.

    A line that begins with an ellipsis, as a path without its folders, loses more of its beginning instead.

    Args:
        text: one line.
        width: in points.
        size: of the characters, in points.
        weight: `normal` or `bold`.
    """
    text = replace_missing_glyphs(text)

    def shorten(length: int) -> str:
        if text.startswith(_ELLIPSIS):
            return _ELLIPSIS + text[len(text) - length :]
        return text[: (length + 1) // 2] + _ELLIPSIS + text[len(text) - length // 2 :]

    if measure_text(text, size, weight=weight) <= width:
        return text
    # A binary search for the number of characters that fit.
    lengths = range(1, len(text))
    return shorten(
        bisect_left(lengths, True, key=lambda length: measure_text(shorten(length), size, weight=weight) > width)
    )


def wrap_text(text: str, width: float, size: float) -> str:
    """Break a text into lines at its spaces; a word that is too long for a line is shortened."""
    lines: list[str] = []
    for word in replace_missing_glyphs(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fit_text(word, width, size))
    return "\n".join(lines)


def write_title(figure: Figure, text: str, *, size: float = 9, margin: float = 20) -> None:
    """Write a title above a figure, wrapped to its width less a margin in points."""
    figure.suptitle(
        wrap_text(text, figure.get_figwidth() * 72 - margin, size),
        fontsize=size,
        family=list(font_families()),
        parse_math=False,
    )


def set_plain(texts: Iterable[Text]) -> None:
    """Give texts the fallback fonts, and switch off math parsing."""
    for text in texts:
        text.set(parse_math=False, family=list(font_families()))


def replace_missing_glyphs(text: str) -> str:
    """Find a font for each character; one that no installed font has is replaced, which is said once per process.

    matplotlib would warn each time, and draw a box.
    """
    lacking = {character for character in text if ord(character) not in _first_characters()}
    for character in sorted(lacking - _further.keys()):
        _further[character] = _find_family(character)
    missing = sorted(character for character in lacking if _further[character] is None)
    # Unprintable characters have no letter that a font could add.
    if any(unicodedata.category(character)[0] in "LMN" for character in missing):
        _warn_once()
    return "".join(_STAND_IN if character in missing else character for character in text)


def format_probability(probability: float) -> str:
    """Format a probability for a caption: in whole percents, with one decimal below 10 % and above 99 %."""
    return f"{100 * probability:.{0 if 0.1 <= probability <= 0.99 else 1}f} %"


@lru_cache(maxsize=1)
def _first_families() -> tuple[str, ...]:
    installed = set(fontManager.get_font_names())
    return (_FIRST, *(name for name in _FALLBACKS if name in installed))


@lru_cache(maxsize=1)
def _first_characters() -> frozenset[int]:
    return frozenset().union(*map(_list_characters, _first_families()))


@lru_cache
def _list_characters(family: str) -> frozenset[int]:
    """Return the characters of a font; none if it has no outlines, which matplotlib cannot draw."""
    font = get_font(fontManager.findfont(FontProperties(family=family)))
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


def _find_family(character: str) -> str | None:
    """Return an installed font that has a character, a Noto font if there is one."""
    fit = [name for name in fontManager.get_font_names() if not any(part in name for part in _UNFIT)]
    for family in sorted(fit, key=lambda name: (not name.startswith("Noto"), name)):
        if ord(character) in _list_characters(family):
            return family
    return None


@lru_cache(maxsize=1)
def _warn_once() -> None:
    warnings.warn(
        f"no installed font has all letters of the names: the others are drawn as {_STAND_IN}; install a font of "
        "their script, such as Noto Sans CJK",
        stacklevel=3,
    )


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DOTS_PER_INCH)  # type: ignore[no-untyped-call]


@lru_cache
def _font(size: float, weight: str, families: tuple[str, ...]) -> FontProperties:
    return FontProperties(family=list(families), size=size, weight=weight)
