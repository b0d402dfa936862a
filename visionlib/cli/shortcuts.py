"""`visionlib shortcuts`."""

from typing import Annotated

import typer

from visionlib.cli.console import print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, MovedDatasetOption, SeedOption, TrustOption


def shortcuts(
    run: Annotated[str, typer.Argument(help="A run folder, a hub folder, or the name of pretrained weights.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of test images to predict, chosen by seed.")] = 1000,
    maps: Annotated[int, typer.Option(min=0, help="Of them, images to explain; 0 for no maps.")] = 200,
    seed: SeedOption = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass.")] = 250,
    dataset: MovedDatasetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Find properties that alone tell the class of training images, and whether a run's network relies on them.

    Each property, such as brightness or a corner, is made the same in all test images: does the accuracy fall? And how
    much of the explanation maps lies on it?

    Example: visionlib shortcuts runs/first
    """
    from visionlib.explanation.reliance import measure_reliance

    result = measure_reliance(run, n=n, n_maps=maps, seed=seed, batch_size=batch_size, dataset=dataset, device=device)
    if json:
        print_json({"run": run, "split": "test", **result.to_dict()})
        return
    from visionlib.cli.shortcut_tables import tabulate_reliance, tabulate_shortcuts
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_shortcuts(result.shortcuts), *tabulate_reliance(result))
