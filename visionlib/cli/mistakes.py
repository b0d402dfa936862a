"""`visionlib mistakes`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from visionlib.cli.console import DebugOption, JsonOption, log, print_json
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.runs import check_file_place

if TYPE_CHECKING:
    from visionlib.evaluation.mistakes import Mistakes
    from visionlib.evaluation.votes.opinions import Opinions
    from visionlib.inference.predictions import StoredPredictions


def mistakes(
    run: Annotated[Path, typer.Argument(help="A run folder that `visionlib train` has made.")],
    by: Annotated[
        Literal["loss", "margin", "confidence"],
        typer.Option(
            help="What to rank by, the largest first: the loss, how far the true class lies behind, or how sure it is."
        ),
    ] = "loss",
    count: Annotated[int, typer.Option(min=1, help="Mistakes to show: of the confident ones, and of the others.")] = 12,
    confident: Annotated[
        float, typer.Option(help="Probability of the predicted class from which a mistake counts as confident.")
    ] = 0.9,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average the logits with those of the mirror images.")
    ] = False,
    votes: Annotated[
        Path | None,
        typer.Option(help="What people say of each image, as CSV, npz or npy: tells whose mistake it is."),
    ] = None,
    agreement: Annotated[
        float, typer.Option(help="Share of the people that must choose the same class to agree; for --votes.")
    ] = 0.7,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the mistakes that are shown, as PNG or SVG by the name.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all mistakes, ranked, as a CSV file.")] = None,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's data lies now, if it has moved; for --picture.")
    ] = None,
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the test images that a run gets wrong, the worst first, those it was sure of apart.

    Example: visionlib mistakes runs/first --by confidence --picture mistakes.png
    """
    if picture is not None:
        check_picture_path(picture)

    from visionlib.evaluation.mistakes import find_mistakes
    from visionlib.evaluation.votes.opinions import judge_mistakes
    from visionlib.evaluation.votes.votes import load_votes
    from visionlib.inference.predictions import load_predictions

    if csv is not None:
        check_file_place(csv)
    kept = load_predictions(run)
    found = find_mistakes(
        kept.predictions,
        kept.labels,
        kept.record.classes,
        index=kept.index,
        by=by,
        confident_from=confident,
        mirror=mirror,
    )
    opinions = None
    if votes is not None:
        opinions = judge_mistakes(found, load_votes(votes, found.classes, kept.index), agreement=agreement)
    if picture is not None:
        _draw(kept, found, opinions, picture, count=count, dataset=dataset)
    if csv is not None:
        _write(found, opinions, csv)
    if json:
        print_json({"run": str(run), "split": "test", **_describe(found, opinions, count)})
    else:
        from visionlib.cli.mistake_tables import tabulate_mistakes
        from visionlib.cli.tables import print_tables

        print_tables(*tabulate_mistakes(found, opinions, count))


def _draw(
    kept: "StoredPredictions",
    found: "Mistakes",
    opinions: "Opinions | None",
    path: Path,
    *,
    count: int,
    dataset: str | None,
) -> None:
    from visionlib.evaluation.pictures.mistakes import describe_mistakes, draw_mistakes

    split = kept.load_images(dataset)
    figure = draw_mistakes(found, split.images, count=count, opinions=opinions)
    save_picture(figure, path, describe_mistakes(found))
    log(f"picture: {path}")


def _write(found: "Mistakes", opinions: "Opinions | None", path: Path) -> None:
    from visionlib.evaluation.mistakes import write_mistakes
    from visionlib.evaluation.votes.opinions import write_opinions

    if opinions is None:
        write_mistakes(found, path)
    else:
        write_opinions(opinions, path)
    log(f"all {len(found):,} mistakes: {path}")


def _describe(found: "Mistakes", opinions: "Opinions | None", count: int) -> dict[str, Any]:
    """Give the figures of all, and of either kind the first `count`."""
    whole = (found if opinions is None else opinions).to_dict()
    records = whole.pop("mistakes")
    apart = {
        name: [record for record in records if record["is_confident"] is is_confident][:count]
        for name, is_confident in (("confident", True), ("others", False))
    }
    return {**whole, "mistakes": apart}
