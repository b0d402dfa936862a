"""Arguments and options that several commands share, each declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from visionlib.errors import ConfigError
from visionlib.runs import trust_runs
from visionlib.training.recipes import RECIPES

DEFAULT_RECIPE = "auto"

_debugging = False


def is_debugging() -> bool:
    """Whether `--debug` was given."""
    return _debugging


def _remember_debug(value: bool) -> bool:
    # Set once, while the command line is parsed: errors are handled outside of the command.
    global _debugging
    _debugging = value
    return value


def _remember_trust(value: bool) -> bool:
    if value:
        trust_runs()
    return value


JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON alone; messages go to stderr.")]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", callback=_remember_debug)]

TrustOption = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Import the code, and read the data, that the run names, although it was made elsewhere.",
        callback=_remember_trust,
    ),
]

RunArgument = Annotated[Path, typer.Argument(help="A run folder made by `visionlib train`.")]
DatasetArgument = Annotated[str, typer.Argument(help="A name or a path, as for `visionlib data`.", show_default=False)]
MovedDatasetOption = Annotated[
    str | None, typer.Option("--dataset", help="Path of the run's data, if it has moved; it must be the same data.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="Device to compute on: auto, cpu, cuda, cuda:1 or mps.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        help=f"Measured settings to start from: auto fits them to the data and the time; or {', '.join(RECIPES)}.",
    ),
]
ConfigOption = Annotated[Path | None, typer.Option("--config", help="A TOML file of settings, over the recipe's.")]
ImageSizeOption = Annotated[
    int | None,
    typer.Option("--image-size", help="Resize images to this many pixels. Default: as they are, if all are alike."),
]

ResizeOption = Annotated[
    Literal["crop", "whole"] | None,
    typer.Option(
        "--resize",
        help="How pictures of another size become squares: crop, the default, takes the largest centred square; "
        "whole takes all of it and changes its aspect ratio.",
    ),
]

InitOption = Annotated[
    str | None,
    typer.Option(
        "--init",
        help="Weights to begin with: a run, a checkpoint file, a hub folder, the name of pretrained weights, or `none` "
        "for random ones. Without --recipe, fewer than 2,000 color images begin with `cifar10`.",
        show_default=False,
    ),
]
SkipBrokenOption = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out pictures that cannot be read, and name them in a warning.")
]


def parse_index(text: str | None) -> tuple[int, ...] | None:
    """Parse a list of stable image ids, as `3,14,15`; None stays None.

    Raises:
        ConfigError: if the text is no such list.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError("--of", f"{text!r} is no list of indices", "write it like 3,14,15") from None
