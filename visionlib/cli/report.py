"""`visionlib report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionlib.cli.console import DebugOption, JsonOption, log, print_json
from visionlib.runs import check_file_place, open_run

if TYPE_CHECKING:
    from visionlib.data import Dataset
    from visionlib.report import Report


def report(
    run: Annotated[Path, typer.Argument(help="A run folder that `visionlib train` has made.")],
    out: Annotated[Path | None, typer.Option(help="File to write. Default: report.html in the run.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another run on the same test images, to lay beside this one.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="A picture of every test image, not only of mistakes and a sample.")
    ] = False,
    make: Annotated[
        bool,
        typer.Option("--make", help="First make what the run lacks: maps, their quality, neighbours, duplicates ..."),
    ] = False,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's data lies now, if it has moved; it must be the same.")
    ] = None,
    device: Annotated[str, typer.Option(help="What to compute on with --make: auto, cpu, cuda, cuda:1, mps.")] = "auto",
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Write everything about a run as one HTML file that works offline: figures, images, maps, the way to repeat it.

    Example: visionlib report runs/first --make
    """
    from visionlib.report import write_report

    if out is not None:
        check_file_place(out)
    source: str | Dataset | None = dataset
    if make:
        from visionlib.cli.page_parts import make_missing_parts

        source = make_missing_parts(open_run(run), dataset, device=device, log=log)
    written = write_report(run, out=out, against=against, dataset=source, is_full=full)
    if json:
        print_json(written.to_dict())
        return
    tell_report(written)


def tell_report(written: "Report") -> None:
    """Say where the page lies, how large it is, what it shows and what it lacks, and how to open it."""
    typer.echo(f"{written.path}: {written.size_bytes / 1e6:.2f} MB, {written.pictures}")
    for name, part in written.missing.items():
        typer.echo(f"  without {name.replace('_', ' ')}, which can be made with: {part.command}")
    typer.echo(f"open it in a browser: {written.path.resolve().as_uri()}")
