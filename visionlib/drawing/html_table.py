"""A table for notebooks: HTML without external files, in the colours of the page around it."""

from collections.abc import Iterable, Sequence
from html import escape

TABLE_STYLE = (
    "color: inherit; border: none; margin-bottom: 0.8em; border-collapse: separate; border-spacing: 1em 0.1em; "
    "font-variant-numeric: tabular-nums;"
)
NAME_STYLE = "text-align: left; max-width: 24em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;"
CELL_STYLE = "text-align: right; white-space: nowrap;"
_HEAD_STYLE = "border-bottom: 1px solid rgba(128, 128, 128, 0.5);"


class Html(str):
    """A cell that is HTML already, and not escaped."""


def render_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], *, bold_rows: Iterable[Sequence[str]] = ()
) -> str:
    """Render a table; the first cell of a row is its name.

    Args:
        headers: one per column.
        rows: one cell per column.
        bold_rows: rows below the others, such as totals.
    """
    head = "".join(
        f'<th scope="col" style="{_HEAD_STYLE} {CELL_STYLE if number else NAME_STYLE}"><bdi>{escape(header)}</bdi></th>'
        for number, header in enumerate(headers)
    )
    body = [_row(row, "normal") for row in rows] + [_row(row, "bold") for row in bold_rows]
    return "\n".join(
        [f'<table style="{TABLE_STYLE}">\n<thead><tr>{head}</tr></thead>\n<tbody>', *body, "</tbody>\n</table>"]
    )


def _row(row: Sequence[str], weight: str) -> str:
    name, *cells = row
    # <bdi> isolates a right-to-left name, which would reorder the numbers.
    first = f'<th scope="row" style="{NAME_STYLE} font-weight: {weight};"><bdi>{escape(name)}</bdi></th>'
    rest = "".join(
        f'<td style="{CELL_STYLE} font-weight: {weight};">{cell if isinstance(cell, Html) else escape(cell)}</td>'
        for cell in cells
    )
    return f"<tr>{first}{rest}</tr>"
