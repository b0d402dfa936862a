"""What the commands share: where results and messages go, and the options that all of them have."""

import json
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

_debugging = False


def is_debugging() -> bool:
    """Tell whether `--debug` was given."""
    return _debugging


def _remember_debug(value: bool) -> bool:
    # Set once, while the command line is read; whoever handles the error stands outside of it.
    global _debugging
    _debugging = value
    return value


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON alone; messages go to stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_remember_debug)]


def log(line: str) -> None:
    """Show a message for people, on stderr, so that stdout holds results alone."""
    typer.echo(line, err=True)


def print_error(line: str) -> None:
    """Show an error: one line on stderr, red where colours are welcome."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(line, style="not bold default"))


def print_json(record: Mapping[str, Any]) -> None:
    """Print a result as JSON on stdout."""
    sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()
