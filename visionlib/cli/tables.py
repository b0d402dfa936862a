"""Results as tables for the terminal; the figures themselves are made elsewhere."""

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data import Dataset
from visionlib.evaluation import ClassAccuracy, Evaluation
from visionlib.summary.effective import EffectiveField


def print_tables(*parts: RenderableType) -> None:
    """Print to stdout, with colours only where a person looks who wants them."""
    console = Console()
    for part in parts:
        console.print(part)


def tabulate_evaluation(evaluation: Evaluation) -> tuple[RenderableType, ...]:
    """Lay out accuracy per class and overall, and what the figures mean."""
    table = Table(box=box.SIMPLE_HEAD, title="test accuracy", title_justify="left")
    table.add_column("class")
    table.add_column("n", justify="right")
    table.add_column("accuracy", justify="right")
    table.add_column("95 % interval", justify="right")
    for entry in evaluation.per_class:
        table.add_row(Text(entry.name), *_accuracy_cells(entry))
    table.add_section()
    table.add_row("overall", *_accuracy_cells(evaluation), style="bold")
    loss = "n/a" if evaluation.loss is None else f"{evaluation.loss:.4f}"
    notes = f"loss {loss} nats, the mean over {evaluation.n:,} images; intervals are Wilson's"
    if evaluation.mirror_accuracy is not None:
        notes += f"\nwith mirror averaging: {evaluation.mirror_accuracy:.2%}"
    return table, Text(notes, style="dim")


def tabulate_dataset(dataset: Dataset) -> tuple[RenderableType, ...]:
    """Lay out the splits, their statistics, and the images per class."""
    splits = Table(box=box.SIMPLE_HEAD, title=Text(dataset.name), title_justify="left")
    for header in ("split", "images", "size", "channels", "mean", "deviation"):
        splits.add_column(header, justify="left" if header == "split" else "right")
    for name, split in dataset.splits.items():
        height, width = split.image_size
        mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (split.mean, split.std))
        splits.add_row(Text(name), f"{len(split):,}", f"{height} x {width}", str(split.channels), mean, std)
    classes = Table(box=box.SIMPLE_HEAD)
    classes.add_column("class")
    for name in dataset.splits:
        classes.add_column(name, justify="right")
    for position, label in enumerate(dataset.classes):
        counts = [list(split.per_class.values())[position] for split in dataset.splits.values()]
        classes.add_row(Text(label), *(f"{count:,}" for count in counts))
    return splits, classes, Text(f"content hash {dataset.content_hash}", style="dim")


def tabulate_effective(before: EffectiveField, after: EffectiveField) -> tuple[RenderableType, ...]:
    """Lay out what a layer really looks at, before and after training."""
    title = Text(f"effective receptive field of {after.layer}, {after.n:,} test images")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("square that holds")
    for header in ("before training", "after training"):
        table.add_column(header, justify="right")
    for share in after.sides:
        table.add_row(f"{share:.0%}", *(f"{field.sides[share]} px" for field in (before, after)))
    table.add_section()
    table.add_row("deviation", *(f"{field.std[0]:.1f} x {field.std[1]:.1f} px" for field in (before, after)))
    (top, bottom), (left, right) = after.box
    told = (
        f"of the gradient of the middle unit, which can see {bottom - top + 1} x {right - left + 1} pixels of an image"
    )
    return table, Text(told, style="dim")


def _accuracy_cells(entry: ClassAccuracy | Evaluation) -> tuple[str, str, str]:
    """Give n, accuracy and interval as text; n/a where there is no image, never 0 or NaN."""
    if entry.accuracy is None or entry.confidence_interval is None:
        return f"{entry.n:,}", "n/a", "n/a"
    low, high = entry.confidence_interval
    return f"{entry.n:,}", f"{entry.accuracy:.2%}", f"{low:.1%} - {high:.1%}"
