"""`visionlib data`."""

from typing import Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, print_json, tell
from visionlib.cli.train import ImageSizeOption


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
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show what is in a dataset: splits, classes, statistics and warnings.

    Example: visionlib data cifar10 --download
    """
    from visionlib.cli.tables import print_tables, tabulate_dataset
    from visionlib.data import Dataset, load_dataset

    def describe(source: Dataset) -> dict[str, Any]:
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

    source = load_dataset(dataset, image_size=image_size, download=download)
    if json:
        print_json(describe(source))
        return
    for warning in source.warnings:
        tell(f"warning: {warning}")
    print_tables(*tabulate_dataset(source))
