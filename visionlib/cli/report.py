"""`visionlib report`."""

from pathlib import Path
from typing import Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, MovedDatasetOption, RunArgument, TrustOption


def report(
    run: RunArgument,
    out: Annotated[Path | None, typer.Option(help="File to write. Default: report.html in the run.")] = None,
    against: Annotated[
        Path | None, typer.Option(help="Another run on the same test images, to compare with this one.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Include a picture of every test image, not only of mistakes and a sample.")
    ] = False,
    with_paths: Annotated[
        bool, typer.Option("--with-paths", help="Show paths and the platform, not only names; mind who gets the page.")
    ] = False,
    files: Annotated[
        bool,
        typer.Option(help="Name the file of each image, by its path within the folder of the data, or leave it out."),
    ] = True,
    make: Annotated[
        bool,
        typer.Option("--make", help="First compute the missing parts: maps, their quality, neighbours, duplicates ..."),
    ] = False,
    dataset: MovedDatasetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Write the results of a run as one HTML file that works offline: figures, images, maps, how to reproduce it.

    Example: visionlib report runs/first --make
    """
    from visionlib.report import write_report

    report = write_report(
        run,
        out=out,
        against=against,
        dataset=dataset,
        is_full=full,
        with_paths=with_paths,
        with_files=files,
        make=make,
        device=device,
        debug=debug,
        log=log,
    )
    if json:
        print_json(report.to_dict())
        return
    typer.echo(f"{report.path}: {report.size_bytes / 1e6:.2f} MB, {report.pictures}")
    for name, part in report.missing.items():
        typer.echo(f"  without {name.replace('_', ' ')}, which can be made with: {part.command}")
    typer.echo(f"open it in a browser: {report.path.resolve().as_uri()}")
