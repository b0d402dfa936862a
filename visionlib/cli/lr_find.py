"""`visionlib lr-find`."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import (
    DEFAULT_RECIPE,
    ConfigOption,
    DatasetArgument,
    DebugOption,
    ImageSizeOption,
    InitOption,
    JsonOption,
    RecipeOption,
    ResizeOption,
    SkipBrokenOption,
)
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.cli.settings import resolve_config, with_setting_options

if TYPE_CHECKING:
    from visionlib.training import RateFinding


@with_setting_options
def lr_find(
    dataset: DatasetArgument,
    recipe: RecipeOption = DEFAULT_RECIPE,
    config: ConfigOption = None,
    init: InitOption = None,
    image_size: ImageSizeOption = None,
    resize: ResizeOption = None,
    skip_broken: SkipBrokenOption = False,
    lowest: Annotated[float, typer.Option(help="Learning rate of the first step.")] = 1e-3,
    highest: Annotated[
        float, typer.Option(help="Learning rate of the last step, unless the loss diverges before.")
    ] = 10.0,
    steps: Annotated[int, typer.Option(help="Largest number of steps, each on another batch.")] = 100,
    growth: Annotated[
        Literal["exponential", "linear"], typer.Option(help="Increase the rate by equal factors or by equal amounts.")
    ] = "exponential",
    plot: Annotated[
        Path | None,
        typer.Option(help="Save a plot of loss over learning rate, PNG or SVG by the name.", show_default=False),
    ] = None,
    json: JsonOption = False,
    debug: DebugOption = False,
    **settings: Any,
) -> None:
    """Find a learning rate: train with a growing one until the loss diverges, and suggest a peak.

    Where the losses are too few to tell, no rate is suggested, and the test to make is printed.

    Takes every setting of `visionlib train`; the trained weights are discarded.

    Example: visionlib lr-find cifar10 --recipe quick --plot rate.png
    """
    if plot is not None:
        check_picture_path(plot)
    resolved = resolve_config(recipe, config, settings)

    from visionlib.data import load_dataset
    from visionlib.training.rate_finder import find_learning_rate

    finding = find_learning_rate(
        load_dataset(dataset, image_size=image_size, skip_broken=skip_broken, resize=resize),
        resolved,
        init=init or "auto",
        lowest=lowest,
        highest=highest,
        steps=steps,
        growth=growth,
        log=log,
    )
    if plot is not None:
        from visionlib.training.rate_picture import draw_rate_finding

        save_picture(draw_rate_finding(finding), plot)
        log(f"drawn: {plot}")
    options = {
        "recipe": recipe if recipe != DEFAULT_RECIPE else None,
        "config": config,
        "init": init,
        "image_size": image_size,
        "resize": resize,
        "skip_broken": skip_broken,
    }
    if finding.suggestion is None:
        test = {"lowest": lowest, "highest": highest, **finding.next_test}
        following = _spell_command("lr-find", dataset, {**options, **settings, **test})
    else:
        following = _spell_command("train", dataset, {**options, **settings, **finding.settings})
    if json:
        print_json({"dataset": dataset, **finding.to_dict(), "next": following})
    else:
        _print_finding(finding, following)


def _print_finding(finding: "RateFinding", following: str) -> None:
    if finding.suggestion is None:
        typer.echo("suggested peak learning rate: none")
        typer.echo(f"  {finding.rule}")
    else:
        typer.echo(f"suggested peak learning rate: {finding.suggestion:g}")
        typer.echo(f"  it is {finding.rule}")
    if not finding.has_diverged:
        typer.echo(f"  up to {finding.rates[-1]:g} the loss did not diverge")
    typer.echo(f"next: {following}")


def _spell_command(command: str, dataset: str, options: Mapping[str, Any]) -> str:
    words = ["visionlib", command, dataset]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if isinstance(value, tuple):
            words.append(",".join(f"{share:g}" for share in value))
        elif value is not True:
            words.append(f"{value:g}" if isinstance(value, float) else str(value))
    return shlex.join(words)
