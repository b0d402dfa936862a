"""Shortcuts as tables for the terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.evaluation.shortcuts.result import Shortcuts
from visionlib.evaluation.shortcuts.wording import HEADERS, LEGEND, describe_alarms, describe_shortcuts, list_cells

_WORDS = ("property alone", "gives away")


def tabulate_shortcuts(result: Shortcuts) -> tuple[RenderableType, ...]:
    """Lay out the alarms, how well each property alone predicts the class, and the definitions."""
    table = Table(box=box.SIMPLE_HEAD, title="what simple properties alone tell of the class", title_justify="left")
    for header in HEADERS:
        is_text = header in _WORDS
        table.add_column(header, justify="left" if is_text else "right", no_wrap=header != "gives away")
    for score in result.scores:
        table.add_row(*map(Text, list_cells(score)), style="bold" if score.alarms else "")
    alarms = [Text(f"alarm: {line}", style="yellow") for line in describe_alarms(result)]
    return table, *alarms, Text(describe_shortcuts(result)), Text(LEGEND, style="dim")
