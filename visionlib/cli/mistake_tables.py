"""Mistakes as tables for the terminal."""

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data.class_names import embed_name
from visionlib.evaluation.mistakes import Mistakes
from visionlib.evaluation.votes.opinions import Opinions

_WIDEST_NAME = 24
_NOTE = (
    "loss in nats; margin is the probability of the prediction minus that of the truth; probabilities are as the "
    "network gives them"
)
_RANKED_BY = {"loss": "loss", "margin": "margin", "confidence": "probability of the prediction"}


def tabulate_mistakes(found: Mistakes, opinions: Opinions | None, count: int) -> tuple[RenderableType, ...]:
    """Lay out the first confident mistakes, the first of the others, and what the figures mean."""
    records = (found if opinions is None else opinions).to_dict()["mistakes"]
    parts: list[RenderableType] = []
    for is_confident, title in (
        (True, f"confident and wrong: probability of at least {found.confident_from:g}"),
        (False, "the other mistakes"),
    ):
        chosen = [record for record in records if record["is_confident"] is is_confident]
        if chosen:
            shown = f"{min(count, len(chosen)):,} of {len(chosen):,}"
            parts.append(_tabulate(f"{title}, {shown}", chosen[:count], has_votes=opinions is not None))
    share = f" ({len(found) / found.n:.2%})" if found.n else ""
    ranking = f"largest {_RANKED_BY[found.ranked_by]} first"
    notes = [f"{len(found):,} of {found.n:,} test images are wrong{share}, by {found.logits} logits; {ranking}", _NOTE]
    if opinions is not None:
        notes.append(describe_opinions(opinions))
    return (*parts, Text("\n".join(notes), style="dim"))


def describe_opinions(opinions: Opinions) -> str:
    """Say whose the mistakes are."""
    counts = opinions.counts
    told = (
        f"people agree, {opinions.agreement:.0%} of them on one class, with the label of {counts['model']:,} "
        f"(the model's mistakes), on another class for {counts['label']:,} (the label's; for "
        f"{opinions.label_as_predicted:,} it is the predicted one), and not with each other on "
        f"{counts['ambiguous']:,} (ambiguous)"
    )
    return told + (f"; no votes for {counts['no votes']:,}" if counts["no votes"] else "")


def _tabulate(title: str, records: Sequence[dict[str, Any]], *, has_votes: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(title), title_justify="left")
    table.add_column("image", justify="right")
    table.add_column("truth")
    table.add_column("prob.", justify="right")
    table.add_column("predicted")
    table.add_column("prob.", justify="right")
    table.add_column("loss", justify="right")
    table.add_column("margin", justify="right")
    if has_votes:
        table.add_column("people")
        table.add_column("whose")
    for record in records:
        cells = [
            str(record["index"]),
            embed_name(record["true"], _WIDEST_NAME),
            f"{record['true_probability']:.1%}",
            embed_name(record["predicted"], _WIDEST_NAME),
            f"{record['confidence']:.1%}",
            f"{record['loss']:.2f}",
            f"{record['margin']:.3f}",
        ]
        if has_votes:
            people = "n/a"
            if record["people"] is not None:
                people = f"{embed_name(record['people'], _WIDEST_NAME)} {record['people_share']:.0%}"
            cells += [people, record["kind"]]
        table.add_row(*map(Text, cells))
    return table
