"""A layer table in GitHub's Markdown."""

import re
from collections.abc import Iterable, Iterator, Sequence

from visionlib.summary.cells import lay_out
from visionlib.summary.record import ModelSummary

_INDENT = "&nbsp;&nbsp;"


def to_markdown(summary: ModelSummary, depth: int | None = None) -> str:
    """Write a summary in Markdown, with a table as GitHub reads them.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold`; None shows all.
    Raises:
        ConfigError: as `lay_out`.
    """
    sheet = lay_out(summary, depth)
    lines = [f"**{_escape(sheet.title)}**", "", _escape(sheet.convention), ""]
    lines += [_row(map(_escape, sheet.headers)), _row([":--", *["--:"] * (len(sheet.headers) - 1)])]
    for indent, (layer, *figures) in zip(sheet.indents, sheet.rows, strict=True):
        lines.append(_row([_INDENT * indent + _escape(layer), *map(_escape, figures)]))
    lines += ["", *(f"- {_escape(name)}: {_escape(figure)}" for name, figure in sheet.totals)]
    lines += ["", _escape("; ".join(sheet.legend))]
    lines += _list("findings", sheet.findings)
    lines += _list("taken for granted", sheet.assumptions)
    return "\n".join(lines)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield from ("", f"**{title}**", "", *(f"- {_escape(sentence)}" for sentence in sentences))


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&])", r"\\\1", " ".join(text.split()))
