"""`visionlib data`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from visionlib.cli.console import DebugOption, JsonOption, print_json, tell
from visionlib.cli.pictures import check_picture_path, save_picture
from visionlib.cli.train import ImageSizeOption

if TYPE_CHECKING:
    from visionlib.data import Dataset
    from visionlib.inspection import Duplicates


def data(
    dataset: Annotated[
        str,
        typer.Argument(
            help="A name (shapes, cifar10, cifar100, fashion-mnist) or a path: an image folder with train/CLASS/*, "
            "a parquet file or folder, an official CIFAR archive or its folder, a folder of IDX files."
        ),
    ],
    download: Annotated[
        bool, typer.Option(help="Fetch what is absent, and verify it, or do without the network.")
    ] = True,
    image_size: ImageSizeOption = None,
    duplicates: Annotated[
        Literal["exact", "near"] | None,
        typer.Option(help="Look for images that are there twice: with equal pixels, or with alike ones as well."),
    ] = None,
    duplicates_picture: Annotated[
        Path | None,
        typer.Option(help="Draw pairs of duplicates, as PNG or SVG by the name; looks for near ones by itself."),
    ] = None,
    duplicates_csv: Annotated[
        Path | None, typer.Option(help="Write all pairs of duplicates as a table; looks for near ones by itself.")
    ] = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what is in a dataset: splits, classes, statistics and warnings; on request images that are there twice.

    Example: visionlib data cifar10 --duplicates near --duplicates-picture twice.png
    """
    if duplicates_picture is not None:
        check_picture_path(duplicates_picture)
    if duplicates_csv is not None:
        from visionlib.evaluation.spreadsheet import check_csv_path

        check_csv_path(duplicates_csv)
    from visionlib.cli.tables import print_tables, tabulate_dataset, tabulate_duplicates
    from visionlib.data import load_dataset

    source = load_dataset(dataset, image_size=image_size, download=download)
    found = None
    if duplicates or duplicates_picture or duplicates_csv:
        found = _find_duplicates(source, duplicates or "near", duplicates_picture, duplicates_csv)
    if json:
        print_json({**_describe(source), **({"duplicates": found.to_dict()} if found else {})})
        return
    for warning in source.warnings:
        tell(f"warning: {warning}")
    print_tables(*tabulate_dataset(source), *(tabulate_duplicates(found) if found else ()))


def _describe(source: "Dataset") -> dict[str, Any]:
    return {
        "dataset": source.name,
        "content_hash": source.content_hash,
        "classes": list(source.classes),
        "splits": {
            name: {
                "n": len(split),
                "image_size": list(split.image_size),
                "channels": split.channels,
                "per_class": split.per_class,
                "mean": list(split.mean),
                "std": list(split.std),
                "content_hash": split.content_hash,
            }
            for name, split in source.splits.items()
        },
        "warnings": list(source.warnings),
    }


def _find_duplicates(source: "Dataset", kind: str, picture: Path | None, table: Path | None) -> "Duplicates":
    from visionlib.inspection import draw_duplicates, find_duplicates, write_duplicates
    from visionlib.inspection.duplicate_picture import describe_duplicates

    found = find_duplicates(source, near=kind == "near")
    if picture is not None:
        save_picture(draw_duplicates(found, source), picture, describe_duplicates(found))
        tell(f"drawn: {picture}")
    if table is not None:
        write_duplicates(found, table)
        tell(f"written: {table}")
    return found
