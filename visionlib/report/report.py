"""`write_report`: the page of a run."""

import html
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.report.contents import Missing, read_contents
from visionlib.report.page import render_page
from visionlib.runs import Run, check_file_place, open_run, write_bytes


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: the file.
        size_bytes: of the file.
        pictures: which images it has pictures of, in a sentence.
        missing: parts that the run lacks, by name, with the command that makes each.
    """

    path: Path
    size_bytes: int
    pictures: str
    missing: dict[str, Missing]

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON."""
        return {
            "report": str(self.path),
            "bytes": self.size_bytes,
            "pictures": self.pictures,
            "missing": {name: {"reason": part.reason, "command": part.command} for name, part in self.missing.items()},
        }

    def _repr_html_(self) -> str:
        """Show the page in a notebook: as text in a frame, which works where frames of files do not."""
        page = html.escape(self.path.read_text(encoding="utf-8"), quote=True)
        return (
            f'<iframe srcdoc="{page}" sandbox="allow-scripts allow-downloads" width="100%" height="800" '
            f'title="report of a run"></iframe>'
        )


def write_report(
    run: Run | str | os.PathLike[str],
    *,
    out: str | os.PathLike[str] | None = None,
    against: Run | str | os.PathLike[str] | None = None,
    dataset: str | Path | Dataset | None = None,
    is_full: bool = False,
) -> Report:
    """Write everything that is known of a run as one HTML file, which needs nothing beside it and no network.

    It is made out of the run's folder, and of the data for the pictures; never from the network. What the run lacks
    stands there with the command that makes it. The same run gives the same bytes.

    Args:
        run: a finished run, or its folder.
        out: the file. Default: `report.html` in the run.
        against: a run on the same test images to lay beside.
        dataset: where the run's data lies now, if it has moved since; without data there are no pictures.
        is_full: with a picture of every test image, not only of mistakes and a sample.
    Raises:
        RunError: if the run is unfinished or damaged, or has no predictions; or the other one does not fit.
        ConfigError: if the file cannot be written.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    other = against if against is None or isinstance(against, Run) else open_run(against)
    place = opened.report if out is None else Path(out)
    check_file_place(place)
    if not opened.predictions.is_file():
        raise RunError(opened.path, "has no predictions to tell of", f"make them with: visionlib test {opened.path}")
    contents = read_contents(opened, dataset=dataset, against=other)
    page, choice = render_page(contents, is_full=is_full)
    content = page.encode("utf-8", "replace")  # a path may be no text
    try:
        write_bytes(place, content)
    except OSError as error:
        raise ConfigError(
            str(place), f"cannot be written ({error.strerror})", "name another file with --out"
        ) from error
    return Report(place, len(content), choice.words, contents.missing)
