"""Pictures as arguments: files, folders and a list on stdin, of which some may be broken."""

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer

from visionlib.cli.console import log
from visionlib.errors import ConfigError, VisionlibError

PicturesArgument = Annotated[
    list[str], typer.Argument(help="Pictures, and folders of them; - reads a list from stdin, one path a line.")
]


def list_sources(arguments: Iterable[str]) -> Iterator[str]:
    """Yield the arguments, in place of `-` the paths on stdin, as they are needed."""
    return itertools.chain.from_iterable(_read_list() if source == "-" else [source] for source in arguments)


def _read_list() -> Iterator[str]:
    """Yield the paths on stdin, one a line; names that are not UTF-8 stay what they are."""
    sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    for line in sys.stdin:
        if name := line.rstrip("\r\n"):
            yield name


class PictureCounter:
    """Counts files, and tells the broken ones."""

    def __init__(self) -> None:
        self._total = 0
        self._codes: list[int] = []

    def count(self, error: VisionlibError | None) -> None:
        """Count a file, and tell its error if it has one."""
        self._total += 1
        if error is not None:
            self._codes.append(error.exit_code)
            log(f"error: {error}")

    def end(self, purpose: str) -> None:
        """End the command if files were broken.

        Args:
            purpose: of the files, such as `to classify`.
        Raises:
            ConfigError: if there were no files.
            Exit: with 1 if some were broken, with 2 if nothing but wrong arguments was there.
        """
        if not self._total:
            raise ConfigError("IMAGE", f"there is none {purpose}", "name pictures, folders, or a list on stdin")
        if self._codes:
            raise typer.Exit(1 if self._total > len(self._codes) else min(self._codes))
