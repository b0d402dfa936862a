"""Layer table in GitHub Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence

from visionlib.summary.formatted_table import format_table
from visionlib.summary.record import ModelSummary

_INDENT = "&nbsp;&nbsp;"


def to_markdown(summary: ModelSummary, depth: int | None = None) -> str:
    """Render a summary in Markdown, with a GitHub table.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold_layers`; None shows all.
    Raises:
        ConfigError: as `format_table`.
    """
    formatted = format_table(summary, depth)
    lines = [f"**{_escape(formatted.title)}**", "", _escape(formatted.convention), ""]
    lines += [_row(map(_escape, formatted.headers)), _row([":--", *["--:"] * (len(formatted.headers) - 1)])]
    for indent, (layer, *values) in zip(formatted.indents, formatted.rows, strict=True):
        lines.append(_row([_INDENT * indent + _escape(layer), *map(_escape, values)]))
    lines += ["", *(f"- {_escape(name)}: {_escape(value)}" for name, value in formatted.totals)]
    lines += ["", _escape("; ".join(formatted.legend))]
    lines += _list("findings", formatted.findings)
    lines += _list("assumptions", formatted.assumptions)
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from ("", f"**{title}**", "", *(f"- {_escape(sentence)}" for sentence in sentences))


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", " ".join(text.split()))
