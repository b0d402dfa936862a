"""Progress bars on a terminal, silence in a pipe; always on stderr, so that stdout holds results alone."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """What long work calls to tell how far it is."""

    def __call__(self, done: int, note: str = "") -> None:
        """Tell that `done` units of the total are finished, with an optional short note beside the bar."""


def is_interactive() -> bool:
    """Tell whether stderr is a terminal that a person watches."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """Show a bar with rate and time left while the block runs, or nothing where nobody watches.

    Args:
        description: what is being done, such as "decoding train".
        total: number of units in all.
        unit: plural name of what is counted, such as "images".
    """
    if not is_interactive():
        yield lambda done, note="": None
        return
    # rich costs 0.1 s to import: only those who see a bar pay for it.
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}}/{{task.total:,.0f}} {unit}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=total, note="", rate="")

        def advance(done: int, note: str = "") -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, note=note, rate=f"{speed:,.0f}/s" if speed else "")

        yield advance
