"""`visionlib import`."""

from pathlib import Path
from typing import Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption
from visionlib.errors import ConfigError


def import_weights(
    checkpoint: Annotated[
        str, typer.Argument(help="A checkpoint file, a hub folder, or the name of pretrained weights.")
    ],
    out: Annotated[Path, typer.Option(help="Run folder to create.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Network of the weights: a built-in one, package.module:NAME or file.py:NAME. "
            "Default: the built-in one that has these tensors.",
            show_default=False,
        ),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Class names in the order of the logits: cat,dog. Default: the dataset's.", show_default=False
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="Images that the network is for, as for `visionlib data`.", show_default=False),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Mean per channel, as fractions of 255: 0.49,0.48,0.45. Default: of the dataset's training images.",
            show_default=False,
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Std per channel, as fractions of 255: 0.25,0.24,0.26.", show_default=False)
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(min=1, help="Side of the images in pixels. Default: the dataset's, or 32.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Make a run from weights that were trained elsewhere, so that `test`, `explain` and `report` work on it.

    Nothing is unpickled that could run code.

    Example: visionlib import resnet18.pt --dataset cifar10 --out runs/imported
    """
    from visionlib.training.import_checkpoint import import_checkpoint, summarize_import

    run = import_checkpoint(
        checkpoint,
        model,
        out=out,
        classes=None if classes is None else tuple(name.strip() for name in classes.split(",")),
        dataset=dataset,
        mean=_parse_numbers("--mean", mean),
        std=_parse_numbers("--std", std),
        image_size=image_size,
        device=device,
        log=log,
    )
    result = summarize_import(run)
    if json:
        print_json(result)
        return
    n, accuracy = result["test_n"], result["test_accuracy"]
    reached = "" if accuracy is None else f", accuracy {accuracy:.2%} of {n:,} test images"
    place = "" if accuracy is not None else " --dataset DATASET"
    typer.echo(
        f"{run.path}: {result['model']}, {len(result['classes'])} classes{reached}\n"
        f"next: visionlib test {run.path}{place}"
    )


def _parse_numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(option, f"{text!r} is no list of numbers", "write it like 0.49,0.48,0.45") from None
