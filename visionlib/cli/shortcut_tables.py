"""Shortcuts as tables for the terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.evaluation.shortcuts.result import Shortcuts
from visionlib.evaluation.shortcuts.wording import HEADERS, LEGEND, describe_alarms, describe_shortcuts, list_cells
from visionlib.explanation.reliance import Reliance, wording

_WORDS = ("property alone", "gives away", "property made equal", "accuracy of a class")


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


def tabulate_reliance(result: Reliance) -> tuple[RenderableType, ...]:
    """Lay out what the network loses with each property made equal, and the definitions."""
    table = Table(box=box.SIMPLE_HEAD, title="the network with each property made equal", title_justify="left")
    for header in wording.HEADERS:
        is_wide = header in wording.HEADERS[-2:]
        table.add_column(header, justify="left" if header in _WORDS else "right", no_wrap=not is_wide)
    for entry in result.properties:
        table.add_row(*map(Text, wording.list_cells(entry)), style="bold" if entry.is_given_away else "")
    lines = [Text(line, style="yellow") for line in wording.describe_reliances(result)]
    return table, *lines, Text(wording.describe_reliance(result)), Text(wording.LEGEND, style="dim")
