"""`write_report`: the page of a run."""

import html
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.report.contents import Missing, read_contents
from visionlib.report.page import render_page
from visionlib.report.path_names import PathNames
from visionlib.runs import Run, check_file_place, open_run, read_json, write_bytes


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: the file.
        size_bytes: of the file.
        pictures: the images that have pictures, in a sentence.
        missing: parts that the run lacks, by name, with the command that makes each.
    """

    path: Path
    size_bytes: int
    pictures: str
    missing: dict[str, Missing]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "report": str(self.path),
            "bytes": self.size_bytes,
            "pictures": self.pictures,
            "missing": {name: {"reason": part.reason, "command": part.command} for name, part in self.missing.items()},
        }

    def _repr_html_(self) -> str:
        """Show the page in a notebook: embedded in a frame, since notebooks block frames of local files."""
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
    with_paths: bool = False,
    with_files: bool = True,
    make: bool = False,
    device: str = "auto",
    debug: bool = False,
    log: Callable[[str], None] = lambda line: None,
) -> Report:
    """Write the results of a run as one self-contained HTML file, which works offline.

    The page is built from the run's folder, and from the data for its pictures. It shows the command for each part
    that the run lacks. The same run gives the same bytes. Only `make` loads the network.

    Args:
        run: a finished run, or its folder.
        out: the file. Default: `report.html` in the run.
        against: a run on the same test images to compare with.
        dataset: the run's data, or its path, if it has moved; without data there are no pictures.
        is_full: include a picture of every test image, not only of mistakes and a sample.
        with_paths: show the paths of the run, the data and the command, and the operating system; by default the page
            has only names, so that it can be passed on.
        with_files: name the file of each image by its path within the data's folder, never above it.
        make: first compute the parts that the run lacks; see `visionlib.report.parts`.
        device: device to compute them on, as in `TrainConfig.device`.
        debug: log the traceback of a part that cannot be computed, too.
        log: takes a line for each part that is computed.
    Raises:
        RunError: if the run is unfinished or damaged, or has no predictions; or the runs have other test images.
        DataError: if `make` needs the data, and it cannot be read.
        ConfigError: if the file cannot be written.
    """
    opened = run if isinstance(run, Run) else open_run(run)
    other = against if against is None or isinstance(against, Run) else open_run(against)
    path = opened.report if out is None else Path(out)
    check_file_place(path)
    if not opened.predictions.is_file():
        read_json(opened.model)  # an unfinished run lacks it, too, and its remedy is another one
        raise RunError(opened.path, "has no predictions to report", f"make them with: visionlib test {opened.path}")
    if make:
        from visionlib.report.parts import make_missing_parts

        dataset = make_missing_parts(opened, dataset, device=device, debug=debug, log=log)
    contents = read_contents(opened, dataset=dataset, against=other)
    known = (
        path,
        opened.path,
        None if other is None else other.path,
        None if isinstance(dataset, Dataset) else dataset,
    )
    names = PathNames.of_run(contents.config, known, with_paths=with_paths)
    page, choice = render_page(contents, names, is_full=is_full, with_files=with_files)
    content = page.encode("utf-8", "replace")  # a path need not be valid Unicode
    try:
        write_bytes(path, content)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be written ({error.strerror})", "name another file with --out") from error
    return Report(path, len(content), choice.words, contents.missing)
