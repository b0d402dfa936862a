"""A layer table for the terminal."""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.summary.cells import Sheet, lay_out
from visionlib.summary.record import ModelSummary

_INDENT = "  "
_HARD_SPACE = "\u00a0"
_LEAST_LAYER_WIDTH = 16
_LEAST_PLAIN_WIDTH = 120


def to_text(summary: ModelSummary, depth: int | None = None, width: int | None = None) -> tuple[RenderableType, ...]:
    """Lay a summary out for rich: header, table, totals, and what they mean.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold`; None shows all.
        width: columns of the terminal. Where the table needs more, it moves together, and names of layers are cut
            short; figures never are. None takes as many as the table needs.
    Raises:
        ConfigError: as `lay_out`.
    """
    sheet = lay_out(summary, depth)
    breadth = width or _paper_width(sheet)
    parts: list[RenderableType] = [Text(sheet.title, style="bold"), _prose(sheet.convention, breadth), ""]
    parts += [_table(sheet, width), "", _totals(sheet), ""]
    parts += [_prose(sentence, breadth, style="dim") for sentence in sheet.legend]
    parts += _list("findings", sheet.findings, breadth)
    parts += _list("taken for granted", sheet.assumptions, breadth)
    return tuple(parts)


def to_plain_text(summary: ModelSummary, depth: int | None = None) -> str:
    """Print a summary as rich would, without colours, as wide as the table needs, so that no row is cut or wrapped.

    Args:
        summary: of either method.
        depth: of the deepest rows to show, see `fold`; None shows all.
    Raises:
        ConfigError: as `lay_out`.
    """
    paper = io.StringIO()
    width = _paper_width(lay_out(summary, depth))
    Console(file=paper, width=width, color_system=None, force_terminal=False, legacy_windows=False).print(
        Group(*to_text(summary, depth))
    )
    return "\n".join(line.rstrip() for line in paper.getvalue().splitlines())


def _paper_width(sheet: Sheet) -> int:
    return max(_LEAST_PLAIN_WIDTH, _total_width(_natural_widths(sheet), gap=2))


def _table(sheet: Sheet, width: int | None) -> Table:
    widths, gap = _fit(sheet, width)
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, gap - 1, 0, 0),
        width=_total_width(widths, gap),
    )
    for position, (header, columns) in enumerate(zip(sheet.headers, widths, strict=True)):
        title = header if cell_len(header) <= columns else header.replace(" ", "\n")
        table.add_column(
            Text(title),
            justify="right" if position else "left",
            width=columns,
            no_wrap=True,
            overflow="ellipsis",
        )
    for indent, (layer, *figures) in zip(sheet.indents, sheet.rows, strict=True):
        name = Text(_INDENT * indent + layer)
        name.highlight_regex(r" \([^()]*\)$", "dim")
        table.add_row(name, *map(Text, figures))
    return table


def _fit(sheet: Sheet, width: int | None) -> tuple[list[int], int]:
    """Choose the widths of the columns, and the gap between them."""
    widths = _natural_widths(sheet)
    if width is None or _total_width(widths, gap=2) <= width:
        return widths, 2
    widths = _natural_widths(sheet, with_long_headers=False)
    if _total_width(widths, gap=2) <= width:
        return widths, 2
    room = width - _total_width([0, *widths[1:]], gap=1)
    return [min(widths[0], max(room, _LEAST_LAYER_WIDTH)), *widths[1:]], 1


def _natural_widths(sheet: Sheet, *, with_long_headers: bool = True) -> list[int]:
    layers = [_INDENT * indent + row[0] for indent, row in zip(sheet.indents, sheet.rows, strict=True)]
    columns: list[Sequence[str]] = [layers]
    columns += [[row[column] for row in sheet.rows] for column in range(1, len(sheet.headers))]
    headers = [[header] if with_long_headers else header.split() for header in sheet.headers]
    return [max(map(cell_len, (*header, *cells))) for header, cells in zip(headers, columns, strict=True)]


def _total_width(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _totals(sheet: Sheet) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column()
    for name, figure in sheet.totals:
        grid.add_row(Text(name), Text(figure))
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
    """Break a sentence into lines, but no size such as 109 x 109."""
    held = re.sub(r"(?<=\d) x (?=\d)", f"{_HARD_SPACE}x{_HARD_SPACE}", sentence)
    lines = textwrap.wrap(held, max(width, _LEAST_LAYER_WIDTH), break_on_hyphens=False)
    return Text("\n".join(lines).replace(_HARD_SPACE, " "), style=style)
