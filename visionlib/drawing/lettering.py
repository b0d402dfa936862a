"""Writing in pictures that stays within its place: measured, shortened, wrapped, and never read as mathematics."""

from collections.abc import Callable
from functools import lru_cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.textpath import text_to_path

DOTS_PER_INCH = 120
"""Of the pictures."""
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
"""Asked, where they are installed, for letters that the first lacks."""
_STAND_IN = "\N{REPLACEMENT CHARACTER}"
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


@lru_cache(maxsize=1)
def font_families() -> tuple[str, ...]:
    """Name the fonts to write with: matplotlib's own, then what is installed for other scripts."""
    installed = set(fontManager.get_font_names())
    return (_FIRST, *(name for name in _FALLBACKS if name in installed))


def measure_text(text: str, size: float, *, weight: str = "normal") -> float:
    """Width of one line in points (1/72 inch): as it is by the font, or as it is drawn, whichever is more.

    Drawn at 120 dots per inch each letter takes whole pixels, which makes a line up to a seventh longer.

    Args:
        text: letters that the fonts have, see `letter`.
        size: of the letters, in points.
        weight: `normal` or `bold`.
    """
    font = _font(size, weight)
    by_font = text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]
    drawn = _renderer().get_text_width_height_descent(text, font, ismath=False)[0] / DOTS_PER_INCH * 72  # type: ignore[no-untyped-call]
    return float(max(by_font, drawn))


def fit_text(text: str, width: float, size: float, *, weight: str = "normal") -> str:
    """Shorten a line to a width by leaving out its middle; begin and end stay, so that a figure at the end can be read.

    Args:
        text: one line.
        width: in points.
        size: of the letters, in points.
        weight: `normal` or `bold`.
    """
    text = letter(text)

    def shorten(kept: int) -> str:
        return text[: (kept + 1) // 2] + _ELLIPSIS + text[len(text) - kept // 2 :]

    if measure_text(text, size, weight=weight) <= width:
        return text
    return shorten(_most(len(text), lambda kept: measure_text(shorten(kept), size, weight=weight) <= width))


def wrap_text(text: str, width: float, size: float) -> str:
    """Break a text into lines at its spaces; a word that is too long for a line is shortened."""
    lines: list[str] = []
    for word in letter(text).split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure_text(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(fit_text(word, width, size))
    return "\n".join(lines)


def letter(text: str) -> str:
    """Put a stand-in for every letter that none of the fonts has; else matplotlib warns, and draws a box."""
    known = _letters()
    return "".join(c if ord(c) in known else _STAND_IN for c in text)


def _most(limit: int, is_fitting: Callable[[int], bool]) -> int:
    """Find the largest number below `limit` that fits, all smaller ones fitting too; 0 if none does."""
    low, high = 0, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_fitting(middle) else (low, middle)
    return low


@lru_cache(maxsize=1)
def _letters() -> frozenset[int]:
    known: set[int] = set()
    for family in font_families():
        known.update(get_font(fontManager.findfont(FontProperties(family=family))).get_charmap())
    return frozenset(known)


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, DOTS_PER_INCH)  # type: ignore[no-untyped-call]


@lru_cache
def _font(size: float, weight: str) -> FontProperties:
    return FontProperties(family=list(font_families()), size=size, weight=weight)
