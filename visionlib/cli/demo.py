"""`visionlib demo`: train, test and report, offline, on images that the library draws itself."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, SeedOption
from visionlib.runs import Run, read_json
from visionlib.training.config import TrainConfig

if TYPE_CHECKING:
    from visionlib.evaluation import Evaluation

_SETTINGS = TrainConfig(model="resnet20", epochs=8, peak_learning_rate=0.4)
"""Two cores train it in a minute or two. At full resolution from the start: shrunk objects of six pixels look alike."""


def demo(
    out: Annotated[Path | None, typer.Option(help="Run folder to create. Default: runs/shapes-resnet20-TIME.")] = None,
    seed: SeedOption = 0,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Train a small network on the built-in `shapes` dataset, test it, and write its report page.

    Example: visionlib demo
    """
    from visionlib.report import write_report

    run, evaluation = run_demo(out, seed=seed, log=log)
    page = write_report(run, make=True, log=log)
    if json:
        print_json({"run": str(run.path), **read_json(run.training), "test": evaluation.to_dict(), **page.to_dict()})
        return

    from visionlib.cli.tables import print_tables, tabulate_evaluation

    print_tables(*tabulate_evaluation(evaluation))
    typer.echo(f"\nfiles in {run.path}:")
    for path, content in (
        (run.weights, "the trained weights"),
        (run.config, "settings, data hash, versions, device: everything to reproduce the run"),
        (run.history, "loss and accuracy of each epoch"),
        (run.predictions, "logits and embedding of every test image"),
        (run.evaluation, "the table above as JSON"),
        (run.report, "everything on one page: images, maps, mistakes, layers; offline, in one file"),
    ):
        typer.echo(f"  {path.name:<18} {content}")
    typer.echo(f"\nopen the page in a browser: {page.path.resolve().as_uri()}")
    typer.echo("now your own images: visionlib train FOLDER, with FOLDER/train/CLASS/*.png")


def run_demo(out: Path | None, *, seed: int, log: Callable[[str], None]) -> "tuple[Run, Evaluation]":
    """Train and test on `shapes`; `docs/make.py` draws its picture from this, too."""
    from visionlib.evaluation import evaluate
    from visionlib.training import train

    run = train("shapes", _SETTINGS.replace(seed=seed), out=out, log=log)
    return run, evaluate(run)
