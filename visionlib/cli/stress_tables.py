"""Accuracy under corruption as tables for the terminal."""

from collections.abc import Iterable, Sequence

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.evaluation.stress import StressResult
from visionlib.evaluation.stress.cells import (
    CLASS_HEADERS,
    CONDITION_HEADERS,
    STRENGTH_HEADERS,
    class_rows,
    condition_rows,
    describe_means,
    legend,
    mean_row,
    strength_rows,
)

_WORST = CLASS_HEADERS[-1]


def tabulate_stress(result: StressResult) -> tuple[RenderableType, ...]:
    """Tables of the corruptions by kind, of the confidence by strength, and of the classes by their fall."""
    table = _start("accuracy under corruption, %", CONDITION_HEADERS)
    for kind, rows in condition_rows(result):
        table.add_row(Text(kind, style="dim"))
        for name, *cells in rows:
            table.add_row(Text(f"  {name}"), *cells)
    table.add_section()
    table.add_row(*mean_row(result), style="bold")
    by_strength = _fill(_start("confidence under corruption", STRENGTH_HEADERS), strength_rows(result))
    by_class = _fill(_start("classes, the largest fall first, %", CLASS_HEADERS), class_rows(result))
    means = Text(describe_means(result), style="bold")
    return table, by_strength, by_class, means, Text(legend(result), style="dim")


def _start(title: str, headers: Sequence[str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for number, header in enumerate(headers):
        # On a narrow terminal names are shortened, never numbers.
        is_text = number == 0 or header == _WORST
        table.add_column(header, justify="left" if is_text else "right", no_wrap=not is_text)
    return table


def _fill(table: Table, rows: Iterable[Sequence[str]]) -> Table:
    for row in rows:
        # The columns of names are the ones that may be narrower than their cells.
        table.add_row(*(Text(cell, no_wrap=True, overflow="ellipsis") for cell in row))
    return table
