"""Mistakes as tables for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.cli.source_column import SourceCell, describe_folder
from visionlib.data.class_names import embed_name
from visionlib.evaluation.mistakes import Mistakes
from visionlib.evaluation.votes.opinions import Opinions
from visionlib.evaluation.wording import UNKNOWN, percent

_MAX_NAME_LENGTH = 24
_DEFINITIONS = (
    "loss in nats; margin is the probability of the prediction minus that of the truth; probabilities are not "
    "calibrated"
)
_RANKED_BY = {"loss": "loss", "margin": "margin", "confidence": "probability of the prediction"}


def tabulate_mistakes(
    mistakes: Mistakes, opinions: Opinions | None, count: int, folder: str | None = None
) -> tuple[RenderableType, ...]:
    """Lay out the first confident mistakes, the first of the others, and the definitions.

    Args:
        mistakes: ranked.
        opinions: votes on them, if there are any.
        count: most mistakes of either kind.
        folder: that their files are in, if it is known.
    """
    records = (mistakes if opinions is None else opinions).to_dict()["mistakes"]
    has_sources = any(record["source"] for record in records)
    parts: list[RenderableType] = [*describe_folder(folder, (record["source"] for record in records))]
    for is_confident, title in (
        (True, f"confident and wrong: probability of at least {mistakes.confident_from:g}"),
        (False, "the other mistakes"),
    ):
        chosen = [record for record in records if record["is_confident"] is is_confident]
        if chosen:
            shown = f"{min(count, len(chosen)):,} of {len(chosen):,}"
            parts.append(
                _tabulate(f"{title}, {shown}", chosen[:count], has_votes=opinions is not None, has_sources=has_sources)
            )
    fraction = f" ({percent(len(mistakes) / mistakes.n, 2)})" if mistakes.n else ""
    ranking = f"by {mistakes.logits} logits; largest {_RANKED_BY[mistakes.ranked_by]} first"
    notes = [f"{len(mistakes):,} of {mistakes.n:,} test images are wrong{fraction}, {ranking}", _DEFINITIONS]
    if opinions is not None:
        notes.append(_describe_opinions(opinions))
    return (*parts, Text("\n".join(notes), style="dim"))


def _describe_opinions(opinions: Opinions) -> str:
    counts = opinions.counts
    without = f"; no votes for {counts['no votes']:,}" if counts["no votes"] else ""
    return (
        f"people agree, {percent(opinions.agreement, 0)} of them on one class, with the label of {counts['model']:,} "
        f"(the model's mistakes), on another class for {counts['label']:,} (the label's; for "
        f"{opinions.label_as_predicted:,} it is the predicted one), and not with each other on "
        f"{counts['ambiguous']:,} (ambiguous){without}"
    )


def _tabulate(title: str, records: Sequence[dict[str, Any]], *, has_votes: bool, has_sources: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left", collapse_padding=has_sources)
    table.add_column("image", justify="right")
    if has_sources:
        table.add_column("file")
    table.add_column("truth")
    table.add_column("prob.", justify="right")
    table.add_column("predicted")
    for header in ("prob.", "loss", "margin"):
        table.add_column(header, justify="right")
    if has_votes:
        table.add_column("people")
        table.add_column("whose")
    for record in records:
        cells = [
            str(record["index"]),
            embed_name(record["true"], _MAX_NAME_LENGTH),
            percent(record["true_probability"]),
            embed_name(record["predicted"], _MAX_NAME_LENGTH),
            percent(record["confidence"]),
            f"{record['loss']:.2f}",
            f"{record['margin']:.3f}",
        ]
        if has_votes:
            people = UNKNOWN
            if record["people"] is not None:
                people = f"{embed_name(record['people'], _MAX_NAME_LENGTH)} {percent(record['people_share'], 0)}"
            cells += [people, record["kind"]]
        texts: list[RenderableType] = [*map(Text, cells)]
        table.add_row(*texts[:1], *([SourceCell(record["source"])] if has_sources else []), *texts[1:])
    return table
