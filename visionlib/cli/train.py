"""`visionlib train`."""

import functools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import (
    DEFAULT_RECIPE,
    ConfigOption,
    DebugOption,
    ImageSizeOption,
    InitOption,
    JsonOption,
    RecipeOption,
    ResizeOption,
    SkipBrokenOption,
    TrustOption,
)
from visionlib.cli.settings import resolve_config, with_setting_options
from visionlib.errors import ConfigError, RunError
from visionlib.models.names import MODEL_NAMES
from visionlib.runs import Run, open_run, read_training
from visionlib.training.config import TrainConfig


@with_setting_options
def train(
    dataset: Annotated[
        str | None,
        typer.Argument(
            help="A name or a path, as for `visionlib data`; with --resume the path of its data, if it has moved.",
            show_default=False,
        ),
    ] = None,
    recipe: RecipeOption = DEFAULT_RECIPE,
    config: ConfigOption = None,
    init: InitOption = None,
    out: Annotated[Path | None, typer.Option(help="Run folder to create. Default: runs/DATASET-MODEL-TIME.")] = None,
    image_size: ImageSizeOption = None,
    resize: ResizeOption = None,
    skip_broken: SkipBrokenOption = False,
    without: Annotated[
        Path | None,
        typer.Option(
            help="Leave out the training images that this file lists, by index or file name: a CSV file, as of "
            "`visionlib inspect --folds 5 --candidates`, or one name in each line. A column `new_label` relabels them "
            "instead."
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this interrupted run bit-exactly, with its own data and settings.")
    ] = None,
    go_on: Annotated[
        bool,
        typer.Option(
            "--continue",
            help="Go on with the run at --out if it has begun, and do nothing if it is finished: one command for every "
            "restart.",
        ),
    ] = False,
    max_seconds: Annotated[
        float | None,
        typer.Option(
            help="Train for this time, instead of the recipe's number of epochs. The number of steps is planned again "
            "while they go, so that a busy machine takes no longer."
        ),
    ] = None,
    pace: Annotated[
        Path | None,
        typer.Option(help="Repeat the steps of this finished run with --max-seconds, with its data and settings."),
    ] = None,
    devices: Annotated[
        int, typer.Option(help="Number of training processes: one per GPU, or each on a fraction of the CPU cores.")
    ] = 1,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
    **settings: Any,
) -> None:
    """Train a network on a dataset, into a run folder.

    An interrupt finishes the step, saves, and prints the command that continues the run.

    Example: visionlib train cifar10 --recipe quick --out runs/first
    """
    if resume is not None:
        _refuse_with_resume(
            recipe,
            {
                "config": config,
                "init": init,
                "out": out,
                "image_size": image_size,
                "resize": resize,
                "skip_broken": skip_broken or None,
                "without": without,
                "continue": go_on or None,
                "max_seconds": max_seconds,
                "pace": pace,
                **settings,
            },
        )
    elif dataset is None:
        raise ConfigError("DATASET", "there is none to train on", "name one, or an interrupted run with --resume")
    resolved = resolve_config(recipe, config, settings)

    from visionlib.training.launch import is_launched, launch_processes

    if devices != 1 and not is_launched():
        raise typer.Exit(launch_processes(devices, sys.argv[1:]))
    from visionlib.data import load_dataset
    from visionlib.training import train_run
    from visionlib.training.distributed import find_process_group
    from visionlib.training.pace import Pace

    if resume is not None:
        run = train_run.resume(resume, dataset=dataset, log=log)
    else:
        assert dataset is not None
        source = functools.partial(
            load_dataset,
            dataset,
            image_size=image_size,
            skip_broken=skip_broken,
            resize=resize,
            stream=train_run.is_streaming(resolved),
        )
        given = None if pace is None else Pace.from_run(open_run(pace))
        if pace is not None and not isinstance(resolved, TrainConfig):
            resolved = _settings_of(open_run(pace), resolved)
        run = train_run.train(
            source,
            resolved,
            init=init or "auto",
            without=without,
            out=out,
            max_seconds=max_seconds,
            pace=given,
            go_on=go_on,
            log=log,
        )
    if not find_process_group().is_first:
        return
    result = read_training(run)
    if result is None:
        raise RunError(run.path, "lost its training.json while it ended", "train again")
    if json:
        print_json({"run": str(run.path), **result.whole})
        return
    accuracy = result.test_accuracy
    reached = "" if accuracy is None else f", test accuracy {accuracy:.2%}"
    typer.echo(
        f"{run.path}: {result.epochs:.5g} epochs in {result.seconds_training:.1f} s "
        f"({result.images_per_second:,.0f} images/s){reached}\n"
        f"next: visionlib test {run.path}"
    )


def _settings_of(run: Run, given: dict[str, Any]) -> TrainConfig:
    """Read the settings of a run, under the given ones; only the user may name a network that is not built in."""
    from visionlib.training.provenance import read_settings

    settings = read_settings(run)
    if settings.model not in MODEL_NAMES and "model" not in given:
        raise ConfigError("pace", f"{run.path} trained the network {settings.model}", "name it with --model")
    return settings.replace(**given)


def _refuse_with_resume(recipe: str, given: dict[str, Any]) -> None:
    named = ["--recipe"] if recipe != DEFAULT_RECIPE else []
    named += [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if named:
        raise ConfigError(", ".join(named), "a resumed run keeps the settings that it began with", "leave them out")
