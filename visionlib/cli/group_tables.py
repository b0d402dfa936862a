"""Weak groups as tables for the terminal."""

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.evaluation.groups.weak_groups import Group, WeakGroups
from visionlib.evaluation.groups.wording import describe_groups, describe_mistakes
from visionlib.evaluation.wording import interval, p_value, percent

_NUMBERS = ("n", "accuracy", "95 % interval", "same classes", "p")
_LEGEND = (
    "n and accuracy are of the half of the images that did not propose the group; same classes: accuracy of the other "
    "images of the group's classes; p: exact test within classes, adjusted for all groups that were tested"
)


def tabulate_groups(groups: WeakGroups) -> tuple[RenderableType, ...]:
    """Lay out the weak groups, the exact conditions of each, and the definitions."""
    notes = Text(
        "\n".join((describe_groups(groups), *([_LEGEND] if groups.groups else []), *groups.notes)), style="dim"
    )
    if not groups.groups:
        return (notes,)
    table = Table(box=box.SIMPLE_HEAD, title="weak groups", title_justify="left")
    table.add_column("")
    table.add_column("group")
    for header in _NUMBERS:
        table.add_column(header, justify="right", no_wrap=True)
    for number, group in enumerate(groups.groups, 1):
        table.add_row(
            str(number),
            Text(group.description),
            f"{group.n:,}",
            percent(group.accuracy),
            interval(group.confidence_interval),
            percent(group.expected_accuracy),
            p_value(group.p_adjusted, is_cell=True),
        )
    lines = [f"{number}  {_define(group)}" for number, group in enumerate(groups.groups, 1)]
    return table, Text("\n".join(lines)), Text(), notes


def _define(group: Group) -> str:
    exact = "; ".join(condition.definition for condition in group.conditions)
    return "; ".join(part for part in (exact, describe_mistakes(group)) if part)
