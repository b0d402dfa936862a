"""The files that images were read from, as a column of a table for the terminal."""

from collections.abc import Iterable
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.text import Text

from visionlib.data.class_names import tidy_path
from visionlib.runs import Run, read_config

_NARROWEST = 12


class SourceCell:
    """The source of one image, without its middle where the column is too narrow; `--json` has it whole."""

    def __init__(self, source: str | None) -> None:
        self._whole = tidy_path(source or "", longest=4096)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        length = cell_len(self._whole)
        return Measurement(min(_NARROWEST, length), length)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterable[RenderableType]:
        longest, shown = options.max_width, self._whole
        while cell_len(shown) > options.max_width and longest > 2:
            # Wide characters take two cells, so that fewer of them fit.
            shown = tidy_path(self._whole, longest)
            longest -= 1
        yield Text(shown, no_wrap=True, overflow="ellipsis")


def stack_sources(sources: Iterable[str | None]) -> RenderableType:
    """Put the sources of several images below each other in one cell."""
    return Group(*map(SourceCell, sources))


def find_source_folder(run: Run, moved: str | Path | None = None) -> str | None:
    """Return the folder that a run's sources are in, or the archive; None for a dataset that is known by name.

    Args:
        run: a run.
        moved: where its data is now, if it has moved.
    """
    path = moved if moved is not None else read_config(run).dataset.path
    return None if path is None else locate_sources(path)


def locate_sources(dataset: str | Path) -> str | None:
    """Return the absolute folder that a dataset's sources are in, or the archive; None if there is no such path."""
    path = Path(dataset).absolute()
    if not path.exists():
        return None
    return str(path.parent if path.suffix == ".parquet" and path.is_file() else path)


def describe_folder(folder: str | None, sources: Iterable[str | None]) -> tuple[Text, ...]:
    """Say above a table where its files are; nothing if neither is known."""
    if folder is None or not any(sources):
        return ()
    return (
        Text(f"files in {tidy_path(folder, longest=4096)}; --json has their whole names", style="dim", overflow="fold"),
    )
