"""A layer table for notebooks: HTML that needs nothing beside it, in the colours of the page around it."""

from collections.abc import Iterator, Sequence
from html import escape

from visionlib.summary.cells import Sheet, lay_out
from visionlib.summary.record import ModelSummary

_TABLE = (
    "color: inherit; border: none; border-collapse: separate; border-spacing: 1em 0.1em; text-align: right; "
    "white-space: nowrap; font-variant-numeric: tabular-nums;"
)
_HEAD = "border-bottom: 1px solid rgba(128, 128, 128, 0.5); text-align"


def to_html(summary: ModelSummary, depth: int | None = None) -> str:
    """Write a summary as one `<div>`.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold`; None shows all.
    Raises:
        ConfigError: as `lay_out`.
    """
    sheet = lay_out(summary, depth)
    parts = [
        '<div style="overflow-x: auto; color: inherit;">',
        f"<p><strong>{escape(sheet.title)}</strong><br>{escape(sheet.convention)}</p>",
        *_table(sheet),
        *_list("", [f"{name}: {figure}" for name, figure in sheet.totals]),
        f'<p style="opacity: 0.75;">{"<br>".join(map(escape, sheet.legend))}</p>',
        *_list("findings", sheet.findings),
        *_list("taken for granted", sheet.assumptions),
        "</div>",
    ]
    return "\n".join(parts)


def _table(sheet: Sheet) -> Iterator[str]:
    heads = [
        f'<th scope="col" style="{_HEAD}: {"right" if position else "left"};">{escape(header)}</th>'
        for position, header in enumerate(sheet.headers)
    ]
    yield f'<table style="{_TABLE}">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>'
    for indent, (layer, *figures) in zip(sheet.indents, sheet.rows, strict=True):
        name = f'<td style="text-align: left; padding-left: {1.2 * indent:.1f}em;">{escape(layer)}</td>'
        yield f"<tr>{name}{''.join(f'<td>{escape(figure)}</td>' for figure in figures)}</tr>"
    yield "</tbody>\n</table>"


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield f"<p><strong>{escape(title)}</strong></p>" if title else ""
        yield f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
