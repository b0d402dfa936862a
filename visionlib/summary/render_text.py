"""Layer table for the terminal."""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.summary.formatted_table import FormattedTable, format_table
from visionlib.summary.record import ModelSummary

_INDENT = "  "
_NO_BREAK_SPACE = "\u00a0"
_MIN_LAYER_WIDTH = 16
_MIN_PLAIN_WIDTH = 120


def to_text(summary: ModelSummary, depth: int | None = None, width: int | None = None) -> tuple[RenderableType, ...]:
    """Render a summary for rich: header, table, totals, legend, findings and assumptions.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold_layers`; None shows all.
        width: columns of the terminal. A wider table gets narrower gaps, then shorter layer names; numbers are never
            cut. None takes as many columns as the table needs.
    Raises:
        ConfigError: as `format_table`.
    """
    formatted = format_table(summary, depth)
    prose_width = width or _plain_width(formatted)
    parts: list[RenderableType] = [Text(formatted.title, style="bold"), _prose(formatted.convention, prose_width), ""]
    parts += [_table(formatted, width), "", _totals(formatted), ""]
    parts += [_prose(sentence, prose_width, style="dim") for sentence in formatted.legend]
    parts += _list("findings", formatted.findings, prose_width)
    parts += _list("assumptions", formatted.assumptions, prose_width)
    return tuple(parts)


def to_plain_text(summary: ModelSummary, depth: int | None = None) -> str:
    """Render a summary as plain text, as wide as the table needs, so that no row is cut or wrapped.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold_layers`; None shows all.
    Raises:
        ConfigError: as `format_table`.
    """
    buffer = io.StringIO()
    width = _plain_width(format_table(summary, depth))
    Console(file=buffer, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(
        Group(*to_text(summary, depth))
    )
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _plain_width(formatted: FormattedTable) -> int:
    return max(_MIN_PLAIN_WIDTH, _total_width(_natural_widths(formatted), gap=2))


def _table(formatted: FormattedTable, width: int | None) -> Table:
    widths, gap = _fit(formatted, width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        width=_total_width(widths, gap),
    )
    for position, (header, columns) in enumerate(zip(formatted.headers, widths, strict=True)):
        title = header if cell_len(header) <= columns else header.replace(" ", "\n")
        table.add_column(
            Text(title),
            justify="right" if position else "left",
            width=columns,
            no_wrap=True,
            overflow="ellipsis",
        )
    for indent, (layer, *values) in zip(formatted.indents, formatted.rows, strict=True):
        name = Text(_INDENT * indent + layer)
        name.highlight_regex(r" \([^()]*\)$", "dim")
        table.add_row(name, *map(Text, values))
    return table


def _fit(formatted: FormattedTable, width: int | None) -> tuple[list[int], int]:
    """Choose the widths of the columns, and the gap between them."""
    widths = _natural_widths(formatted)
    if width is None or _total_width(widths, gap=2) <= width:
        return widths, 2
    widths = _natural_widths(formatted, with_long_headers=False)
    if _total_width(widths, gap=2) <= width:
        return widths, 2
    room = width - _total_width([0, *widths[1:]], gap=1)
    return [min(widths[0], max(room, _MIN_LAYER_WIDTH)), *widths[1:]], 1


def _natural_widths(formatted: FormattedTable, *, with_long_headers: bool = True) -> list[int]:
    layers = [_INDENT * indent + row[0] for indent, row in zip(formatted.indents, formatted.rows, strict=True)]
    columns: list[Sequence[str]] = [layers]
    columns += [[row[column] for row in formatted.rows] for column in range(1, len(formatted.headers))]
    headers = [[header] if with_long_headers else header.split() for header in formatted.headers]
    return [max(map(cell_len, (*header, *cells))) for header, cells in zip(headers, columns, strict=True)]


def _total_width(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _totals(formatted: FormattedTable) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, value in formatted.totals:
        grid.add_row(Text(name), Text(value))
    return grid


def _list(title: str, sentences: Sequence[str], width: int) -> Iterator[RenderableType]:
    if not sentences:
        return
    yield ""
    yield Text(title, style="bold")
    grid = Table.grid(padding=(0, 1, 0, 0))
    for sentence in sentences:
        grid.add_row("-", _prose(sentence, width - 2))
    yield grid


def _prose(sentence: str, width: int, style: str = "") -> Text:
    """Wrap a sentence, but never within a size such as 109 x 109."""
    joined = re.sub(r"(?<=\d) x (?=\d)", f"{_NO_BREAK_SPACE}x{_NO_BREAK_SPACE}", sentence)
    lines = textwrap.wrap(joined, max(width, _MIN_LAYER_WIDTH), break_on_hyphens=False)
    return Text("\n".join(lines).replace(_NO_BREAK_SPACE, " "), style=style)
