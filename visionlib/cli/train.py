"""`visionlib train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, print_json, tell
from visionlib.cli.settings import resolve_config, with_setting_options
from visionlib.training.recipes import RECIPES

ImageSizeOption = Annotated[
    int | None, typer.Option(help="Resize images to this many pixels. Default: as they are, if all are alike.")
]


@with_setting_options
def train(
    dataset: Annotated[str, typer.Argument(help="A name or a path, as for `visionlib data`.")],
    recipe: Annotated[str, typer.Option(help=f"Measured settings to start from: {', '.join(RECIPES)}.")] = "quick",
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings, over the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make. Default: runs/DATASET-MODEL-TIME.")] = None,
    image_size: ImageSizeOption = None,
    json: JsonOption = False,
    debug: DebugOption = False,
    **settings: Any,
) -> None:
    """Train a network on a dataset, into a run folder.

    Example: visionlib train cifar10 --recipe quick --out runs/first
    """
    resolved = resolve_config(recipe, config, settings)

    from visionlib.data import load_dataset
    from visionlib.runs import read_json
    from visionlib.training.loop import train as train_run

    run = train_run(load_dataset(dataset, image_size=image_size), resolved, out=out, tell=tell)
    result = {"run": str(run.path), **read_json(run.training)}
    if json:
        print_json(result)
        return
    accuracy = result["test_accuracy"]
    reached = "" if accuracy is None else f", test accuracy {accuracy:.2%}"
    typer.echo(
        f"{run.path}: {result['epochs']} epochs in {result['seconds_training']:.1f} s "
        f"({result['images_per_second']:,.0f} images/s){reached}\n"
        f"next: visionlib test {run.path}"
    )
