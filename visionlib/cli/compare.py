"""`visionlib compare`."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, MovedDatasetOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import check_file_place

_AGAINST = "--against"


class CompareCommand(TyperCommand):
    """A command whose option `--against` takes all values up to the next option, as a shell expands `runs/b*`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the option before each of its values, and parse."""
        return super().parse_args(ctx, _repeat_option(args))


def _repeat_option(arguments: list[str]) -> list[str]:
    repeated: list[str] = []
    is_listing = False
    for argument in arguments:
        if argument.startswith("-"):
            is_listing = argument == _AGAINST
        elif is_listing and repeated[-1] != _AGAINST:
            repeated.append(_AGAINST)
        repeated.append(argument)
    return repeated


def compare(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders, tested on the same images.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(
            _AGAINST,
            help="Compare two recipes by several seeds of each: the mean accuracy of the runs with that of these, two "
            "or more.",
        ),
    ] = None,
    paired: Annotated[
        bool, typer.Option("--paired", help="With --against: compare runs of the same seed with each other.")
    ] = False,
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
    """Test whether runs differ, or two recipes over seeds, by their predictions of the same test images.

    Example: visionlib compare runs/first runs/second --picture differences.png
    """
    if against is not None or paired:
        files = {"picture": picture, "gallery": gallery, "csv": csv, "dataset": dataset}
        about_runs = {**files, "against-first": against_first or None, "seed": seed or None}
        _compare_recipes(runs, against, about_runs, mirror=mirror, paired=paired, json=json)
        return
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


def _compare_recipes(
    runs: list[Path],
    against: list[Path] | None,
    about_runs: dict[str, Any],
    *,
    mirror: bool,
    paired: bool,
    json: bool,
) -> None:
    """Compare two recipes; `about_runs` holds the options that are about single runs."""
    if against is None:
        raise ConfigError("--paired", "there are no pairs of seeds", "name the runs of the other recipe with --against")
    if named := [f"--{name}" for name, value in about_runs.items() if value is not None]:
        raise ConfigError(", ".join(named), "is about single runs, not recipes", "leave it out, or compare two runs")
    from visionlib.evaluation.comparison.recipes import compare_recipes

    comparison = compare_recipes(runs, against, mirror=mirror, paired=paired)
    if json:
        print_json(comparison.to_dict())
        return
    from visionlib.cli.comparison_tables import tabulate_recipes
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_recipes(comparison))
