"""`visionlib train`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, print_json, tell
from visionlib.cli.settings import resolve_config, with_setting_options
from visionlib.errors import ConfigError
from visionlib.training.recipes import RECIPES

_DEFAULT_RECIPE = "quick"

ImageSizeOption = Annotated[
    int | None, typer.Option(help="Resize images to this many pixels. Default: as they are, if all are alike.")
]


@with_setting_options
def train(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A name or a path, as for `visionlib data`; with --resume where the data lies now.", show_default=False
        ),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help=f"Measured settings to start from: {', '.join(RECIPES)}.")
    ] = _DEFAULT_RECIPE,
    config: Annotated[Path | None, typer.Option(help="A TOML file of settings, over the recipe's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to make. Default: runs/DATASET-MODEL-TIME.")] = None,
    image_size: ImageSizeOption = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with an interrupted run, exactly; it brings its own data and settings.")
    ] = None,
    json: JsonOption = False,
    debug: DebugOption = False,
    **settings: Any,
) -> None:
    """Train a network on a dataset, into a run folder.

    An interrupt finishes the step, saves, and tells how to go on.

    Example: visionlib train cifar10 --recipe quick --out runs/first
    """
    if resume is not None:
        _refuse_with_resume(recipe, {"config": config, "out": out, "image_size": image_size, **settings})
    elif dataset is None:
        raise ConfigError("DATASET", "there is none to train on", "name one, or an interrupted run with --resume")
    resolved = resolve_config(recipe, config, settings)

    from visionlib.data import load_dataset
    from visionlib.runs import read_json
    from visionlib.training import train_run

    if resume is not None:
        run = train_run.resume(resume, dataset=dataset, tell=tell)
    else:
        assert dataset is not None
        run = train_run.train(load_dataset(dataset, image_size=image_size), resolved, out=out, tell=tell)
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


def _refuse_with_resume(recipe: str, given: dict[str, Any]) -> None:
    named = ["--recipe"] if recipe != _DEFAULT_RECIPE else []
    named += [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if named:
        raise ConfigError(", ".join(named), "a resumed run keeps the settings that it began with", "leave them out")
