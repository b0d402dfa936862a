"""`visionlib mistakes`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, JsonOption, MovedDatasetOption, RunArgument, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.runs import check_file_place

if TYPE_CHECKING:
    from visionlib.evaluation.mistakes import Mistakes
    from visionlib.evaluation.votes.opinions import Opinions


def mistakes(
    run: RunArgument,
    by: Annotated[
        Literal["loss", "margin", "confidence"],
        typer.Option(
            help="Measure to rank by, largest first; margin is the confidence minus the true class's probability."
        ),
    ] = "loss",
    count: Annotated[int, typer.Option(min=1, help="Mistakes to show of each kind, confident and other.")] = 12,
    confident: Annotated[
        float, typer.Option(help="Probability of the predicted class from which a mistake counts as confident.")
    ] = 0.9,
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Average the logits with those of the mirror images.")
    ] = False,
    votes: Annotated[
        Path | None,
        typer.Option(
            help="Votes of annotators on each image, as CSV, npz or npy. They tell wrong predictions from wrong labels."
        ),
    ] = None,
    agreement: Annotated[
        float, typer.Option(help="Fraction of the votes for one class from which annotators agree; for --votes.")
    ] = 0.7,
    picture: Annotated[Path | None, typer.Option(help="Draw the shown mistakes, as PNG or SVG by the name.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write all mistakes, ranked, as a CSV file.")] = None,
    dataset: MovedDatasetOption = None,
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Show the test images that a run classifies wrong, the worst first, confident mistakes apart.

    Example: visionlib mistakes runs/first --by confidence --picture mistakes.png
    """
    if picture is not None:
        check_picture_path(picture)

    from visionlib.cli.source_column import find_source_folder
    from visionlib.evaluation.mistakes import find_mistakes, write_mistakes
    from visionlib.evaluation.votes.opinions import judge_mistakes
    from visionlib.evaluation.votes.votes import load_votes
    from visionlib.inference.predictions import load_predictions

    if csv is not None:
        check_file_place(csv)
    stored = load_predictions(run)
    ranked = find_mistakes(
        stored.predictions,
        stored.labels,
        stored.record.classes,
        index=stored.index,
        sources=stored.sources,
        by=by,
        confident_from=confident,
        mirror=mirror,
    )
    opinions = None
    if votes is not None:
        opinions = judge_mistakes(ranked, load_votes(votes, ranked.classes, stored.index), agreement=agreement)
    if picture is not None:
        from visionlib.evaluation.pictures.mistakes import describe_mistakes, draw_mistakes

        figure = draw_mistakes(ranked, stored.load_images(dataset).images, count=count, opinions=opinions)
        save_picture(figure, picture, describe_mistakes(ranked))
        log(f"picture: {picture}")
    if csv is not None:
        write_mistakes(ranked, csv, columns=() if opinions is None else opinions.records())
        log(f"all {len(ranked):,} mistakes: {csv}")
    folder = find_source_folder(stored.run, dataset)
    if json:
        print_json(
            {
                "run": str(run),
                "split": "test",
                "source_folder": folder,
                **_select(ranked if opinions is None else opinions, count),
            }
        )
    else:
        from visionlib.cli.mistake_tables import tabulate_mistakes
        from visionlib.cli.tables import print_tables

        print_tables(*tabulate_mistakes(ranked, opinions, count, folder))


def _select(result: "Mistakes | Opinions", count: int) -> dict[str, Any]:
    """Return the numbers of all mistakes, and the first `count` records of each kind."""
    fields = result.to_dict()
    records = fields.pop("mistakes")
    selected = {
        name: [record for record in records if record["is_confident"] is is_confident][:count]
        for name, is_confident in (("confident", True), ("others", False))
    }
    return {**fields, "mistakes": selected}
