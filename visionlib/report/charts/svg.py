"""SVG elements, with every text escaped."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape


def element(name: str, text: str = "", /, **attributes: object) -> Markup:
    """Write an element. In attribute names a trailing underscore is dropped, and others become hyphens."""
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _write(value)) for key, value in attributes.items()
    )
    return Markup("<{0}{1}>{2}</{0}>").format(name, written, text)


def picture(width: float, height: float, title: str, parts: Iterable[Markup], *, class_: str = "chart") -> Markup:
    """Write a picture that scales with the page; the title serves screen readers."""
    inside = Markup("").join(parts)
    return Markup(
        '<svg class="{4}" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img" aria-label="{2}">'
        "<title>{2}</title>{3}</svg>"
    ).format(_write(width), _write(height), title, inside, class_)


def line(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """Draw a line through points."""
    return element("polyline", class_=class_, points=" ".join(f"{_write(x)},{_write(y)}" for x, y in points))


def text(x: float, y: float, words: str, *, anchor: str = "start", class_: str = "label") -> Markup:
    """Write text at a point."""
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, class_=class_)


def _write(value: object) -> str:
    """Write a number with two decimals at most, so that equal charts have equal bytes."""
    return f"{round(value, 2):g}" if isinstance(value, float) else str(value)
