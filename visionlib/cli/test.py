"""`visionlib test`."""

from pathlib import Path
from typing import Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, MovedDatasetOption, RunArgument, TrustOption
from visionlib.cli.picture_files import make_picture_folder


def test(
    run: RunArgument,
    dataset: MovedDatasetOption = None,
    predict: Annotated[
        bool, typer.Option("--predict", help="Predict again instead of using the stored predictions.")
    ] = False,
    selective: Annotated[
        bool,
        typer.Option("--selective", help="Also average six views of the images that the network is unsure of."),
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Images per forward pass when predicting.")] = 250,
    device: DeviceOption = "auto",
    pictures: Annotated[
        Path | None,
        typer.Option(help="Folder for pictures, each as PNG and SVG; it is made if absent.", show_default=False),
    ] = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Evaluate a run on its test images: accuracy overall and per class with intervals, calibration, confusion.

    Example: visionlib test runs/first --pictures runs/first/pictures
    """
    from visionlib.cli.tables import print_tables, tabulate_evaluation
    from visionlib.evaluation import evaluate

    if pictures is not None:
        make_picture_folder(pictures)
    evaluation = evaluate(
        run, dataset=dataset, predict=predict, batch_size=batch_size, device=device, selective=selective
    )
    if pictures is not None:
        from visionlib.evaluation.pictures.overview import save_evaluation_pictures

        for path in save_evaluation_pictures(evaluation, pictures):
            log(f"drawn: {path}")
    if json:
        print_json({"run": str(run), "split": "test", **evaluation.to_dict()})
    else:
        print_tables(*tabulate_evaluation(evaluation))
