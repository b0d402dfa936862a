"""Results as tables for the terminal; the figures themselves are made elsewhere."""

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data import Dataset
from visionlib.evaluation import Evaluation
from visionlib.evaluation.cells import HEADERS, LEGEND, class_rows, confused_pairs, overall_measures, overall_row
from visionlib.inspection import DatasetInspection, Duplicates
from visionlib.summary.effective import EffectiveField


class _Paper(Console):
    """A console whose reader may leave early, as `head` does; rich itself would call that a failure."""

    def on_broken_pipe(self) -> None:
        """Let `main` end the command as done."""
        raise BrokenPipeError


def print_tables(*parts: RenderableType) -> None:
    """Print to stdout, with colours only where a person looks who wants them."""
    console = _Paper()
    for part in parts:
        console.print(part)


def tabulate_evaluation(evaluation: Evaluation) -> tuple[RenderableType, ...]:
    """Lay out the figures of each class, those of all, and what they mean."""
    table = Table(box=box.SIMPLE_HEAD, title="test accuracy", title_justify="left")
    for header in HEADERS:
        # Where it is narrow, names are cut short, and figures never are.
        table.add_column(header, justify="right" if header != "class" else "left", no_wrap=header != "class")
    for name, *cells in class_rows(evaluation):
        table.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *cells)
    table.add_section()
    table.add_row(*overall_row(evaluation), style="bold")
    figures = Table.grid(padding=(0, 2, 0, 0))
    figures.add_column(no_wrap=True)
    figures.add_column(justify="right", no_wrap=True)
    figures.add_column(style="dim")
    for figure in overall_measures(evaluation):
        figures.add_row(figure.name, figure.value, Text(figure.meaning))
    pairs = Table.grid(padding=(0, 2, 0, 0))
    for place, line in enumerate(confused_pairs(evaluation)):
        pairs.add_row("" if place else "most confused", Text(line))
    return table, figures, Text(), pairs, Text(), Text(LEGEND, style="dim")


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


def tabulate_odd_images(inspection: DatasetInspection, count: int = 10) -> tuple[RenderableType, ...]:
    """Lay out the odd images, the first `count` of each kind."""
    if not inspection.odd:
        return (count_odd_images(inspection),)
    table = Table(box=box.SIMPLE_HEAD, title="images to look at", title_justify="left")
    for header in ("what", "split", "index", "class", "detail"):
        table.add_column(header, justify="right" if header == "index" else "left")
    for oddity, total in inspection.count_odd().items():
        for odd in [odd for odd in inspection.odd if odd.oddity == oddity][:count]:
            table.add_row(oddity, Text(odd.split), str(odd.index), Text(odd.label), Text(odd.detail))
        if total > count:
            table.add_row(oddity, "", "", "", f"and {total - count:,} more; --json lists all")
        table.add_section()
    return (table,)


def count_odd_images(inspection: DatasetInspection) -> Text:
    """Say in a line how many images are odd, and in what."""
    counts = inspection.count_odd()
    if not counts:
        return Text("no image is constant or nearly so, tiny before resizing, or odd in colour or mode")
    told = ", ".join(f"{count:,} {oddity}" for oddity, count in counts.items())
    return Text(f"images to look at: {told}; --odd lists them")


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


def tabulate_duplicates(duplicates: Duplicates) -> tuple[RenderableType, ...]:
    """Lay out how many pairs there are within and between the splits."""
    table = Table(box=box.SIMPLE_HEAD, title="images that are there twice, in pairs", title_justify="left")
    kinds = ("exact", "near", "mirrored") if duplicates.is_near else ("exact",)
    alone = () if duplicates.by_embeddings is None else ("embedding",)
    for header in (
        "between",
        *kinds,
        "with two labels",
        "images in pairs",
        *(["apart: by embeddings"] if alone else []),
    ):
        table.add_column(header, justify="left" if header == "between" else "right")
    for entry in duplicates.counts():
        first, second = entry["splits"]
        here, there = entry["images"]
        counts = (f"{entry[kind]:,}" for kind in (*kinds, "with_two_labels"))
        images = f"{here:,}" if first == second else f"{here:,} and {there:,}"
        further = (f"{entry[kind]:,}" for kind in alone)
        table.add_row(
            Text(f"{first} and itself" if first == second else f"{first} and {second}"), *counts, images, *further
        )
    return (table, *_tell_cosines(duplicates))


def _tell_cosines(duplicates: Duplicates) -> tuple[Text, ...]:
    """Say how near the embeddings of the pairs are, if a run was asked."""
    cosines = sorted(pair.cosine for pair in duplicates.pairs if pair.cosine is not None)
    if not cosines:
        return ()
    told = f"lowest {cosines[0]:.3f}, median {cosines[len(cosines) // 2]:.3f}"
    return (Text(f"cosine of the embeddings of these pairs: {told}; those apart are less sure", style="dim"),)
