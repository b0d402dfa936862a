"""`visionlib label-next`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, SeedOption, TrustOption
from visionlib.cli.picture_sources import PictureCounter, PicturesArgument, list_sources
from visionlib.runs import check_file_place

if TYPE_CHECKING:
    from rich.console import RenderableType

    from visionlib.inspection import PicturesToLabel

_TABLE_ROWS = 20


def label_next(
    run: Annotated[str, typer.Argument(help="A run folder, a hub folder, or the name of pretrained weights.")],
    images: PicturesArgument,
    count: Annotated[
        int,
        typer.Option("--count", "-n", min=1, help="Pictures to choose: as many as you label before training again."),
    ] = 100,
    csv: Annotated[Path | None, typer.Option(help="Write all chosen pictures, in order, as a CSV file.")] = None,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Choose the unlabelled pictures to label next: the network is unsure of them, and they stand for many others.

    Example: visionlib label-next runs/first unlabelled/ --count 200 --csv label-next.csv
    """
    if csv is not None:
        check_file_place(csv)

    from visionlib.inspection import choose_to_label

    seen = PictureCounter()
    chosen = choose_to_label(run, list_sources(images), count, seed=seed, device=device)
    for error in (*(error for _, error in chosen.errors), *[None] * chosen.n):
        seen.count(error)
    if csv is not None and chosen.pictures:
        chosen.write(csv)
        log(f"pictures to label: {csv}")
    if json:
        print_json({"run": run, **chosen.to_dict()})
    elif chosen.pictures:
        from visionlib.cli.tables import print_tables

        print_tables(*_tabulate(chosen))
    seen.end("to label")


def _tabulate(chosen: "PicturesToLabel") -> "tuple[RenderableType, ...]":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from visionlib.cli.source_column import SourceCell
    from visionlib.evaluation.wording import percent

    table = Table(box=box.SIMPLE_HEAD, title="pictures to label next", title_justify="left", pad_edge=False)
    for header in ("rank", "file", "predicted", "confidence", "score", "reason"):
        table.add_column(header, justify="right" if header in ("rank", "confidence", "score") else "left")
    for one in chosen.pictures[:_TABLE_ROWS]:
        cells = (Text(one.predicted, style="bold"), percent(one.confidence), f"{one.score:.2f}", Text(one.reason))
        table.add_row(str(one.rank), SourceCell(one.file), *cells)
    more = len(chosen.pictures) - _TABLE_ROWS
    notes = [f"and {more:,} more; --csv FILE or --json has all"] if more > 0 else []
    return table, Text("\n".join([*notes, _explain(chosen)]), style="dim")


def _explain(chosen: "PicturesToLabel") -> str:
    """Say what was compared, and what the score is, under the table."""
    copies = f" {chosen.copies:,} near duplicates of them were left out." if chosen.copies else ""
    return (
        f"{len(chosen.pictures):,} of {chosen.n:,} pictures, each of another cluster of the {chosen.candidates:,} most "
        f"unsure ones.{copies}\n"
        "score: uncertainty of the pictures that one stands for, the sum of 1 - (confidence - that of the second class)"
    )
