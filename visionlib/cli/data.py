"""`visionlib data`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, ImageSizeOption, JsonOption, ResizeOption, SkipBrokenOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import check_file_place, open_run

if TYPE_CHECKING:
    from rich.console import RenderableType

    from visionlib.data import Dataset, ImageSplit
    from visionlib.inspection import DatasetInspection, Duplicates


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
    resize: ResizeOption = None,
    skip_broken: SkipBrokenOption = False,
    picture: Annotated[
        Path | None,
        typer.Option(help="Draw each class, as PNG or SVG by the name: how many images, their mean, and examples."),
    ] = None,
    per_class: Annotated[
        int, typer.Option(min=1, help="Examples of each class in the picture, as far as they fit.")
    ] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the examples in the picture, and of the check.")] = 0,
    odd: Annotated[
        bool,
        typer.Option(
            "--odd",
            help="List images that are constant or nearly so, grayscale, tiny, or of a rare mode.",
        ),
    ] = False,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Look for shortcuts in the training images: brightness, colour, sharpness, a corner, the border, "
            "image size or file mode that alone tells a class.",
        ),
    ] = False,
    duplicates: Annotated[
        Literal["exact", "near"] | None,
        typer.Option(help="Search duplicates: exact, with equal pixels, or near, changed and mirrored as well."),
    ] = None,
    duplicates_picture: Annotated[
        Path | None,
        typer.Option(help="Draw pairs of duplicates, as PNG or SVG by the name; implies --duplicates near."),
    ] = None,
    duplicates_csv: Annotated[
        Path | None, typer.Option(help="Write all pairs of duplicates as a CSV file; implies --duplicates near.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Compare embeddings of this run, trained on the same data: the cosine of each near duplicate, and "
            "further pairs; the run keeps them."
        ),
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Inspect a dataset: splits, classes, statistics; on request a picture, odd images, duplicates and shortcuts.

    Example: visionlib data cifar10 --picture classes.png --odd --check --duplicates near
    """
    _check_files(picture, duplicates_picture, duplicates_csv)
    if run is not None and duplicates == "exact":
        raise ConfigError("--run", "is only compared with near duplicates", "search them: --duplicates near")
    opened = None if run is None else open_run(run)
    from visionlib.data import load_dataset
    from visionlib.inspection import inspect_dataset

    source = load_dataset(dataset, image_size=image_size, download=download, skip_broken=skip_broken, resize=resize)
    is_near = duplicates_picture is not None or duplicates_csv is not None or opened is not None
    inspection = inspect_dataset(
        source,
        per_class=per_class,
        seed=seed,
        duplicates=duplicates or ("near" if is_near else None),
        run=opened,
        shortcuts=check,
    )
    if picture is not None:
        _draw_overview(inspection, source, picture)
    if inspection.duplicates is not None:
        _write_duplicates(inspection.duplicates, source, duplicates_picture, duplicates_csv)
    if json:
        print_json(_describe(source, inspection, picture, is_odd_asked=odd))
        return
    from visionlib.cli.tables import (
        count_odd_images,
        print_tables,
        tabulate_dataset,
        tabulate_duplicates,
        tabulate_odd_images,
    )

    for warning in source.warnings:
        log(f"warning: {warning}")
    duplicate_tables = () if inspection.duplicates is None else tabulate_duplicates(inspection.duplicates)
    odd_tables = tabulate_odd_images(inspection) if odd else (count_odd_images(inspection),)
    print_tables(*tabulate_dataset(source), *odd_tables, *duplicate_tables, *_tabulate_check(inspection))


def _tabulate_check(inspection: "DatasetInspection") -> "tuple[RenderableType, ...]":
    if inspection.shortcuts is None:
        return ()
    from visionlib.cli.shortcut_tables import tabulate_shortcuts

    return tabulate_shortcuts(inspection.shortcuts)


def _check_files(picture: Path | None, duplicates_picture: Path | None, duplicates_csv: Path | None) -> None:
    """Refuse, before anything is computed, files that cannot be written."""
    for path in (picture, duplicates_picture):
        if path is not None:
            check_picture_path(path)
    if duplicates_csv is not None:
        check_file_place(duplicates_csv)


def _draw_overview(inspection: "DatasetInspection", source: "Dataset", path: Path) -> None:
    from visionlib.inspection.overview_picture import describe_overview, draw_overview

    figure = draw_overview(inspection, source.split(inspection.shown).images)
    save_picture(figure, path, describe_overview(inspection))
    log(f"drawn: {path}")


def _write_duplicates(duplicates: "Duplicates", source: "Dataset", picture: Path | None, table: Path | None) -> None:
    if picture is not None:
        from visionlib.inspection import draw_duplicates
        from visionlib.inspection.duplicate_picture import describe_duplicates

        save_picture(draw_duplicates(duplicates, source), picture, describe_duplicates(duplicates))
        log(f"drawn: {picture}")
    if table is not None:
        from visionlib.inspection import write_duplicates

        write_duplicates(duplicates, table)
        log(f"written: {table}")


def _describe(
    source: "Dataset", inspection: "DatasetInspection", picture: Path | None, *, is_odd_asked: bool
) -> dict[str, Any]:
    """Return the result as plain values for JSON; of odd images the counts only, unless the list was asked for."""
    from visionlib.cli.source_column import locate_sources
    from visionlib.data.description import describe_sizes

    details = inspection.to_dict()
    result = {
        "dataset": source.name,
        "content_hash": source.content_hash,
        "source_folder": locate_sources(source.name),
        "classes": list(source.classes),
        "splits": {name: _describe_split(split) for name, split in source.splits.items()},
        "sizes": describe_sizes(source),
        "warnings": list(source.warnings),
        "odd": details["odd"] if is_odd_asked else {"counts": details["odd"]["counts"]},
    }
    if picture is not None:
        result["picture"] = {"file": str(picture), **details["examples"]}
    if inspection.duplicates is not None:
        result["duplicates"] = details["duplicates"]
    if inspection.shortcuts is not None:
        result["shortcuts"] = details["shortcuts"]
    return result


def _describe_split(split: "ImageSplit") -> dict[str, Any]:
    return {
        "n": len(split),
        "image_size": list(split.image_size),
        "channels": split.channels,
        "per_class": split.per_class,
        "mean": list(split.mean),
        "std": list(split.std),
        "modes": split.originals.count_modes() if split.originals is not None else {},
        "content_hash": split.content_hash,
    }
