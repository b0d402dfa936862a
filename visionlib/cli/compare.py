"""`visionlib compare`."""

from pathlib import Path
from typing import Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, MovedDatasetOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.runs import check_file_place


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders, tested on the same images.")],
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average the logits with those of the mirror images.")
    ] = False,
    against_first: Annotated[
        bool, typer.Option("--against-first", help="Test each run against the first alone, instead of every pair.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the differences class by class, as PNG or SVG by the name.")
    ] = None,
    gallery: Annotated[
        Path | None,
        typer.Option(help="Draw images that only one run classifies correctly, as PNG or SVG by the name."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images per pair and direction; for --gallery.")] = 12,
    csv: Annotated[
        Path | None, typer.Option(help="Write all images that only one run classifies correctly, as a CSV file.")
    ] = None,
    dataset: MovedDatasetOption = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Test whether runs differ, by their predictions of the same test images.

    Example: visionlib compare runs/first runs/second --picture differences.png
    """
    for path in (picture, gallery):
        if path is not None:
            check_picture_path(path)

    from visionlib.evaluation.comparison.compare import compare_runs
    from visionlib.evaluation.comparison.comparison import write_differing

    if csv is not None:
        check_file_place(csv)
    comparison = compare_runs(runs, mirror=mirror, against_first=against_first, seed=seed)
    if picture is not None or gallery is not None:
        from visionlib.evaluation.pictures.comparison import describe_comparison, draw_differences, draw_differing
        from visionlib.inference.predictions import load_predictions

        description = describe_comparison(comparison)
        if picture is not None:
            save_picture(draw_differences(comparison), picture, description)
            log(f"picture: {picture}")
        if gallery is not None:
            images = load_predictions(runs[0]).load_images(dataset).images
            save_picture(draw_differing(comparison, images, count=count), gallery, description)
            log(f"picture: {gallery}")
    if csv is not None:
        write_differing(comparison, csv)
        log(f"images they differ on: {csv}")
    if json:
        print_json(comparison.to_dict())
    else:
        from visionlib.cli.comparison_tables import tabulate_comparison
        from visionlib.cli.tables import print_tables

        print_tables(*tabulate_comparison(comparison))
