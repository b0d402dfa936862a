"""Layer table for notebooks: HTML without external files, in the colours of the surrounding page."""

from collections.abc import Iterator, Sequence
from html import escape

from visionlib.summary.formatted_table import FormattedTable, format_table
from visionlib.summary.record import ModelSummary

_TABLE = (
    "color: inherit; border: none; border-collapse: separate; border-spacing: 1em 0.1em; text-align: right; "
    "white-space: nowrap; font-variant-numeric: tabular-nums;"
)
_HEAD = "border-bottom: 1px solid rgba(128, 128, 128, 0.5); text-align"


def to_html(summary: ModelSummary, depth: int | None = None) -> str:
    """Render a summary as one `<div>`.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold_layers`; None shows all.
    Raises:
        ConfigError: as `format_table`.
    """
    formatted = format_table(summary, depth)
    parts = [
        '<div style="overflow-x: auto; color: inherit;">',
        f"<p><strong>{escape(formatted.title)}</strong><br>{escape(formatted.convention)}</p>",
        *_table(formatted),
        *_list("", [f"{name}: {value}" for name, value in formatted.totals]),
        f'<p style="opacity: 0.75;">{"<br>".join(map(escape, formatted.legend))}</p>',
        *_list("findings", formatted.findings),
        *_list("assumptions", formatted.assumptions),
        "</div>",
    ]
    return "\n".join(parts)


def _table(formatted: FormattedTable) -> Iterator[str]:
    heads = [
        f'<th scope="col" style="{_HEAD}: {"right" if position else "left"};">{escape(header)}</th>'
        for position, header in enumerate(formatted.headers)
    ]
    yield f'<table style="{_TABLE}">\n<thead><tr>{"".join(heads)}</tr></thead>\n<tbody>'
    for indent, (layer, *values) in zip(formatted.indents, formatted.rows, strict=True):
        name = f'<td style="text-align: left; padding-left: {1.2 * indent:.1f}em;">{escape(layer)}</td>'
        yield f"<tr>{name}{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
    yield "</tbody>\n</table>"


def _list(title: str, sentences: Sequence[str]) -> Iterator[str]:
    if sentences:
        yield f"<p><strong>{escape(title)}</strong></p>" if title else ""
        yield f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in sentences)}</ul>"
