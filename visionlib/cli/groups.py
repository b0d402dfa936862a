"""`visionlib groups`."""

from pathlib import Path
from typing import Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, MovedDatasetOption, RunArgument, SeedOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.runs import check_file_place


def groups(
    run: RunArgument,
    metadata: Annotated[
        Path | None,
        typer.Option(
            help="Further properties of the images: a CSV file with a column `index` or `file` that names them."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Images of each group in the picture.")] = 12,
    picture: Annotated[
        Path | None, typer.Option(help="Draw images of each weak group, as PNG or SVG by the name.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the images of all weak groups as a CSV file.")] = None,
    seed: SeedOption = 0,
    dataset: MovedDatasetOption = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Find groups of test images that a run classifies worse than others of the same classes, and describe them.

    Example: visionlib groups runs/first --picture groups.png --csv groups.csv
    """
    if picture is not None:
        check_picture_path(picture)
    if csv is not None:
        check_file_place(csv)

    from visionlib.cli.source_column import find_source_folder
    from visionlib.evaluation.groups import search_groups
    from visionlib.evaluation.groups.weak_groups import write_group_images
    from visionlib.inference.predictions import load_predictions

    stored = load_predictions(run)
    split = stored.load_images(dataset)
    found = search_groups(stored.predictions, split, metadata=metadata, seed=seed)
    found.save(stored.run)
    if picture is not None:
        from visionlib.evaluation.groups.wording import describe_groups
        from visionlib.evaluation.pictures.groups import draw_groups

        save_picture(draw_groups(found, split, count=count), picture, describe_groups(found))
        log(f"picture: {picture}")
    if csv is not None:
        write_group_images(found, csv)
        log(f"images of the weak groups: {csv}")
    if json:
        folder = find_source_folder(stored.run, dataset)
        print_json({"run": str(run), "split": "test", "source_folder": folder, **found.to_dict()})
    else:
        from visionlib.cli.group_tables import tabulate_groups
        from visionlib.cli.tables import print_tables

        print_tables(*tabulate_groups(found))
