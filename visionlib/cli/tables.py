"""Results as tables for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.cli.source_column import SourceCell, describe_folder, locate_sources
from visionlib.data import Dataset
from visionlib.data.description import describe_sizes
from visionlib.evaluation import Evaluation
from visionlib.evaluation.cells import HEADERS, LEGEND, class_rows, confused_pairs, overall_measures, overall_rows
from visionlib.evaluation.wording import percent
from visionlib.inference import PicturePrediction
from visionlib.inspection import DatasetInspection, Duplicates
from visionlib.summary.effective import EffectiveField


class _PipeConsole(Console):
    """A console whose pipe may be closed early, as by `head`; rich itself would exit with 1."""

    def on_broken_pipe(self) -> None:
        """Let `main` exit with 0."""
        raise BrokenPipeError


def print_tables(*parts: RenderableType) -> None:
    """Print to stdout, with colours on a terminal only, and without under `NO_COLOR`."""
    console = _PipeConsole()
    for part in parts:
        console.print(part)


def tabulate_evaluation(evaluation: Evaluation) -> tuple[RenderableType, ...]:
    """Tables of the measures of each class and of the split, with a legend."""
    table = Table(box=box.SIMPLE_HEAD, title="test accuracy", title_justify="left")
    for header in HEADERS:
        # On a narrow terminal names are shortened, never numbers.
        table.add_column(header, justify="right" if header != "class" else "left", no_wrap=header != "class")
    for name, *cells in class_rows(evaluation):
        table.add_row(Text(name, no_wrap=True, overflow="ellipsis"), *cells)
    table.add_section()
    for row in overall_rows(evaluation):
        table.add_row(*row, style="bold")
    measures = Table.grid(padding=(0, 2, 0, 0))
    measures.add_column(no_wrap=True)
    measures.add_column(justify="right", no_wrap=True)
    measures.add_column(style="dim")
    for measure in overall_measures(evaluation):
        measures.add_row(measure.name, measure.value, Text(measure.meaning))
    pairs = Table.grid(padding=(0, 2, 0, 0))
    for rank, line in enumerate(confused_pairs(evaluation)):
        pairs.add_row("" if rank else "most confused", Text(line))
    return table, measures, Text(), pairs, Text(), Text(LEGEND, style="dim")


def tabulate_answers(answers: Sequence[PicturePrediction], *, has_header: bool) -> RenderableType:
    """A row for each file with its likeliest class, and the next ones with their percentages."""
    table = Table(box=box.SIMPLE_HEAD if has_header else None, show_header=has_header, expand=True, pad_edge=False)
    table.add_column("file", ratio=5)
    table.add_column("class", ratio=3)
    table.add_column("probability", justify="right", width=11, no_wrap=True)
    table.add_column("next", ratio=5)
    table.add_column("", width=7, no_wrap=True)
    for answer in answers:
        (name, probability), *others = answer.top
        following = ", ".join(f"{other} {percent(value)}" for other, value in others)
        mark = Text("unusual" if answer.is_unusual else "", style="yellow")
        class_cell = Text(name, style="bold", no_wrap=True, overflow="ellipsis")
        next_cell = Text(following, style="dim", no_wrap=True, overflow="ellipsis")
        table.add_row(SourceCell(answer.file), class_cell, percent(probability), next_cell, mark)
    return table


def tabulate_dataset(dataset: Dataset) -> tuple[RenderableType, ...]:
    """Tables of the splits with their statistics, and of the images per class."""
    splits = Table(box=box.SIMPLE_HEAD, title=Text(dataset.name), title_justify="left")
    for header in ("split", "images", "size", "mean", "std"):
        splits.add_column(header, justify="left" if header == "split" else "right")
    for name, split in dataset.splits.items():
        height, width = split.image_size
        mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (split.mean, split.std))
        splits.add_row(Text(name), f"{len(split):,}", f"{split.channels} x {height} x {width}", mean, std)
    classes = Table(box=box.SIMPLE_HEAD)
    classes.add_column("class")
    for name in dataset.splits:
        classes.add_column(name, justify="right")
    for position, label in enumerate(dataset.classes):
        counts = [list(split.per_class.values())[position] for split in dataset.splits.values()]
        classes.add_row(Text(label), *(f"{count:,}" for count in counts))
    return splits, classes, Text(describe_sizes(dataset)), Text(f"content hash {dataset.content_hash}", style="dim")


def tabulate_odd_images(inspection: DatasetInspection, count: int = 10) -> tuple[RenderableType, ...]:
    """A table of the odd images, the first `count` of each kind."""
    if not inspection.odd:
        return (count_odd_images(inspection),)
    table = Table(box=box.SIMPLE_HEAD, title="images to look at", title_justify="left")
    sources = [odd.source for odd in inspection.odd]
    headers = ("kind", "split", "index", *(["file"] if any(sources) else []), "class", "detail")
    for header in headers:
        table.add_column(header, justify="right" if header == "index" else "left")
    for oddity, total in inspection.count_odd().items():
        for odd in [odd for odd in inspection.odd if odd.oddity == oddity][:count]:
            files = [SourceCell(odd.source)] if any(sources) else []
            table.add_row(oddity, Text(odd.split), str(odd.index), *files, Text(odd.label), Text(odd.detail))
        if total > count:
            table.add_row(oddity, *([""] * (len(headers) - 2)), f"and {total - count:,} more; --json lists all")
        table.add_section()
    return *describe_folder(locate_sources(inspection.dataset), sources), table


def count_odd_images(inspection: DatasetInspection) -> Text:
    """The number of odd images of each kind, in a line."""
    counts = inspection.count_odd()
    if not counts:
        return Text("no image is constant or nearly so, tiny before resizing, or odd in colour or mode")
    listed = ", ".join(f"{count:,} {oddity}" for oddity, count in counts.items())
    return Text(f"images to look at: {listed}; --odd lists them")


def tabulate_effective(before: EffectiveField, after: EffectiveField) -> tuple[RenderableType, ...]:
    """A table of a layer's effective receptive field before and after training."""
    title = Text(f"effective receptive field of {after.layer}, {after.n:,} test images")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("square that holds")
    for header in ("before training", "after training"):
        table.add_column(header, justify="right")
    for fraction in after.sides:
        table.add_row(percent(fraction, 0), *(f"{field.sides[fraction]} px" for field in (before, after)))
    table.add_section()
    table.add_row("std", *(f"{field.std[0]:.1f} x {field.std[1]:.1f} px" for field in (before, after)))
    (top, bottom), (left, right) = after.box
    field = f"{bottom - top + 1} x {right - left + 1} pixels"
    return table, Text(f"of the gradient of the middle unit, whose receptive field is {field}", style="dim")


def tabulate_duplicates(duplicates: Duplicates) -> tuple[RenderableType, ...]:
    """A table of the number of pairs within and between the splits."""
    table = Table(box=box.SIMPLE_HEAD, title="duplicate images, in pairs", title_justify="left")
    kinds = ("exact", "near", "mirrored") if duplicates.is_near else ("exact",)
    alone = () if duplicates.by_embeddings is None else ("embedding",)
    embedding_headers = ["by embeddings alone"] if alone else []
    for header in ("between", *kinds, "with two labels", "images in pairs", *embedding_headers):
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
    note = "near ones are among the 32 most similar thumbnails of each image, by an index: docs/scaling.md"
    notes = () if duplicates.is_exhaustive else (Text(note, style="dim"),)
    return (table, *notes, *_describe_cosines(duplicates))


def _describe_cosines(duplicates: Duplicates) -> tuple[Text, ...]:
    """The cosine similarity of the embeddings of the pairs, if a network embedded them."""
    cosines = sorted(pair.cosine for pair in duplicates.pairs if pair.cosine is not None)
    if not cosines:
        return ()
    measures = f"lowest {cosines[0]:.3f}, median {cosines[len(cosines) // 2]:.3f}"
    note = "pairs by embeddings alone are less certain"
    return (Text(f"cosine similarity of the embeddings of these pairs: {measures}; {note}", style="dim"),)
