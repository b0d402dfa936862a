"""Output of the commands: results on stdout, messages and errors on stderr."""

import os
import sys
from collections.abc import Mapping
from typing import Any

import typer

from visionlib.runs.json_records import encode_json


def log(line: str) -> None:
    """Show a message for people, on stderr, so that stdout holds results alone."""
    try:
        typer.echo(line, err=True)
    except BrokenPipeError:  # the reader has seen enough; a training goes on
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, PTH123  closed with the process


def print_error(line: str) -> None:
    """Show an error: one line on stderr, red where colours are welcome."""
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True, soft_wrap=True)
    console.print(Text("error: ", style="bold red") + Text(line, style="not bold default"))


def print_json(record: Mapping[str, Any]) -> None:
    """Print a result as JSON on stdout."""
    sys.stdout.write(encode_json(record, indent=2).decode() + "\n")
    sys.stdout.flush()
