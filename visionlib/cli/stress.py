"""`visionlib stress`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, MovedDatasetOption, SeedOption, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture


def stress(
    run: Annotated[str, typer.Argument(help="A run folder, a hub folder, or the name of pretrained weights.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of test images, chosen by seed.")] = 1000,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Names of corruptions or kinds (noise, blur, weather, digital, extra, standard), as fog,noise. Can be "
            "repeated. Default: all."
        ),
    ] = None,
    seed: SeedOption = 0,
    plot: Annotated[
        Path | None, typer.Option(help="Draw accuracy over strength, as PNG or SVG by the name.", show_default=False)
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(help="Folder of CIFAR-10-C, whose files are measured instead.", show_default=False),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 250,
    dataset: MovedDatasetOption = None,
    precision: Annotated[
        Literal["fp32", "bf16"] | None,
        typer.Option(help="bf16 is faster on newer hardware. Default: that of the training.", show_default=False),
    ] = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Corrupt test images by noise, blur, weather and the like at five strengths, and measure accuracy and confidence.

    Example: visionlib stress runs/first --plot stress.png
    """
    if plot is not None:
        check_picture_path(plot)

    from visionlib.data.corruption import find_corruptions
    from visionlib.evaluation.stress import stress as measure

    names = [name for group in only for name in group.split(",")] if only else None
    find_corruptions(names)  # a wrong name is reported before anything is loaded
    result = measure(
        run,
        n=n,
        seed=seed,
        corruptions=names,
        batch_size=batch_size,
        published=published,
        precision=precision,
        dataset=dataset,
        device=device,
    )
    if plot is not None:
        from visionlib.evaluation.pictures.stress import describe_stress, draw_stress

        save_picture(draw_stress(result), plot, describe_stress(result))
        log(f"drawn: {plot}")
    if json:
        print_json({"run": run, "split": "test", **result.to_dict()})
        return
    from visionlib.cli.stress_tables import tabulate_stress
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_stress(result))
