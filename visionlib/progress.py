"""Progress bars on a terminal and in a notebook, silence in a pipe.

On a terminal they are on stderr, so that stdout holds results alone.
"""

import importlib
import io
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bar

_NOTEBOOK_PAUSE_S = 0.2
"""Shortest time between two updates of a bar in a notebook: each is a message to the browser."""
_NOTEBOOK_COLUMNS = 110
_is_shown = ContextVar("_is_shown", default=False)
"""Whether a bar is on the screen: the bars of the work's parts would flicker below it."""


@runtime_checkable
class Progress(Protocol):
    """Callback of long work that reports progress."""

    def __call__(self, done: int, note: str = "") -> None:
        """Report that `done` units of the total are finished, with an optional short note beside the bar."""


def is_interactive() -> bool:
    """Return whether stderr is a terminal that a person watches."""
    is_watched = os.environ.get("TERM") != "dumb" and os.environ.get("RANK", "0") == "0"  # only rank 0 prints
    return is_watched and sys.stderr.isatty()


def is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


@contextmanager
def progress_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """Show a bar with rate and time left while the block runs, or nothing without a terminal or notebook.

    Nothing is shown within the block of another bar, either: that one counts the whole work.

    Args:
        description: what is being done, such as "decoding train".
        total: number of units in all.
        unit: plural name of what is counted, such as "images".
    """
    if _is_shown.get() or not (is_interactive() or is_notebook()):
        yield lambda done, note="": None
        return
    outside = _is_shown.set(True)
    try:
        if is_interactive():
            # rich takes 0.1 s to import: only where a bar is shown.
            from rich.console import Console

            with _make_bar(Console(stderr=True), unit) as bar:
                yield _make_advance(bar, description, total)
        else:
            with _notebook_bar(description, total, unit) as show:
                yield show
    finally:
        _is_shown.reset(outside)


@contextmanager
def _notebook_bar(description: str, total: int, unit: str) -> Iterator[Progress]:
    """Show the same bar as HTML: rich itself needs ipywidgets in a notebook, which many kernels lack."""
    from rich.console import Console

    display: Any = importlib.import_module("IPython.display").display
    console = Console(
        file=io.StringIO(), record=True, width=_NOTEBOOK_COLUMNS, color_system="truecolor", force_jupyter=False
    )
    bar = _make_bar(console, unit)
    advance = _make_advance(bar, description, total)
    shown = time.monotonic()

    def draw() -> dict[str, str]:
        console.print(bar.get_renderable())
        return _as_output(console.export_html(inline_styles=True, code_format="<pre>{code}</pre>"))

    handle = display(draw(), raw=True, display_id=True)

    def show(done: int, note: str = "") -> None:
        nonlocal shown
        advance(done, note)
        if time.monotonic() - shown >= _NOTEBOOK_PAUSE_S:
            handle.update(draw(), raw=True)
            shown = time.monotonic()

    try:
        yield show
    finally:
        handle.update(_as_output(""), raw=True)


def _as_output(html: str) -> dict[str, str]:
    return {"text/html": html, "text/plain": ""}


def _make_bar(console: "Console", unit: str) -> "Bar":
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
    return Bar(*columns, console=console, transient=True)


def _make_advance(bar: "Bar", description: str, total: int) -> Progress:
    task = bar.add_task(description, total=total, note="", rate="")

    def advance(done: int, note: str = "") -> None:
        speed = bar.tasks[0].speed
        bar.update(task, completed=done, note=note, rate=f"{speed:,.0f}/s" if speed else "")

    return advance
