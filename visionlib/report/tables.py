"""The page's tables: headers and cells as text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from visionlib.data.class_names import tidy_name
from visionlib.evaluation import Comparison, Evaluation, StressResult
from visionlib.evaluation.intervals import wilson_interval
from visionlib.evaluation.shortcuts import wording as shortcut_wording
from visionlib.evaluation.stress.cells import (
    CLASS_HEADERS,
    CONDITION_HEADERS,
    STRENGTH_HEADERS,
    class_rows,
    condition_rows,
    mean_row,
    strength_rows,
)
from visionlib.evaluation.wording import count, interval, number, percent, points, points_interval
from visionlib.explanation.quality import Estimate, MapQuality
from visionlib.explanation.reliance import Reliance
from visionlib.explanation.reliance import wording as reliance_wording
from visionlib.inspection import Duplicates, EmbeddingMap
from visionlib.report.charts.class_bar import draw_class_bar
from visionlib.runs.training_records import EpochRecord
from visionlib.summary import ModelSummary

Cell = str | Markup
_PAIRS = 20


@dataclass(frozen=True)
class Table:
    """A table as text.

    Attributes:
        caption: title of the table.
        headers: of the columns.
        rows: cells; the first of each row is its header.
        names: number of text columns at the left; the others are numbers.
        total: last row; none if empty.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    names: int = 1
    total: tuple[Cell, ...] = ()


def tabulate_classes(evaluation: Evaluation) -> Table:
    """List the accuracy of each class with its interval, as numbers and as a bar."""
    overall, overall_interval = evaluation.accuracy, evaluation.confidence_interval
    rows = tuple(
        (
            Markup('<button type="button" data-class="{}">{}</button>').format(label, tidy_name(score.name)),
            f"{score.n:,}",
            percent(score.accuracy, 2),
            interval(score.confidence_interval),
            draw_class_bar(score.accuracy, score.confidence_interval, overall),
            percent(score.precision, 2),
            number(score.f1, 3),
        )
        for label, score in enumerate(evaluation.per_class)
    )
    bar = draw_class_bar(overall, overall_interval, None)
    total = ("all", f"{evaluation.n:,}", percent(overall, 2), interval(overall_interval), bar, "", "")
    headers = ("class", "n", "accuracy", "95 % interval", "0 to 100 %", "precision", "F1")
    return Table("Accuracy of each class, with its 95 % Wilson interval", headers, rows, total=total)


def tabulate_stress(result: StressResult) -> tuple[Table, Table, Table]:
    """List confidence by strength, the classes by their fall, and the accuracy of each condition, in %."""
    rows = tuple(row for _, group in condition_rows(result) for row in group)
    conditions = Table("Accuracy under each corruption, %", CONDITION_HEADERS, rows, total=mean_row(result))
    by_strength = Table("Accuracy and confidence under corruption", STRENGTH_HEADERS, tuple(strength_rows(result)))
    by_class = Table(
        "Accuracy of each class by strength, the largest fall first, %", CLASS_HEADERS, tuple(class_rows(result))
    )
    return by_strength, by_class, conditions


def tabulate_shortcuts(result: Reliance) -> tuple[Table, Table]:
    """List how well each property alone predicts the class, and what the network loses with each made equal."""
    alone = Table(
        "What simple properties alone tell of the class of training images",
        shortcut_wording.HEADERS,
        tuple(shortcut_wording.list_cells(score) for score in result.shortcuts.scores),
    )
    equal = Table(
        "The network on test images, with each property made equal",
        reliance_wording.HEADERS,
        tuple(reliance_wording.list_cells(entry) for entry in result.properties),
    )
    return alone, equal


def tabulate_history(history: Sequence[EpochRecord]) -> Table:
    """List the measures of each epoch."""
    rows = tuple(
        (
            str(record.epoch),
            f"{record.resolution_px}",
            f"{record.learning_rate:.4g}",
            f"{record.loss:.4f}",
            percent(record.training_accuracy, 2),
            percent(record.validation_accuracy, 2),
            percent(record.test_accuracy, 2),
            f"{record.seconds:.1f}",
            f"{record.images_per_second:,.0f}",
        )
        for record in history
    )
    headers = ("epoch", "px", "rate", "loss", "training", "held out", "test", "seconds", "images/s")
    return Table("Measures of each epoch", headers, rows)


def tabulate_reliability(evaluation: Evaluation) -> Table:
    """List the accuracy of each bin of confidence."""
    rows = tuple(
        (
            f"{entry.lowest:.3f} to {entry.highest:.3f}",
            f"{entry.n:,}",
            percent(entry.mean_confidence, 1),
            percent(entry.accuracy, 1),
            interval(entry.confidence_interval),
        )
        for entry in evaluation.calibration.bins
    )
    return Table("Accuracy by confidence", ("confidence", "n", "mean confidence", "accuracy", "95 % interval"), rows)


def tabulate_pairs(evaluation: Evaluation) -> Table:
    """List the most confused pairs."""
    rows = tuple(
        (
            tidy_name(pair.true),
            tidy_name(pair.predicted),
            f"{pair.count:,}",
            f"{pair.n:,}",
            percent(pair.share, 1),
            interval(pair.confidence_interval),
        )
        for pair in evaluation.confusion.find_confused_pairs(_PAIRS)
    )
    headers = ("true", "predicted", "count", "of", "fraction", "95 % interval")
    return Table("The most confused pairs of classes", headers, rows, names=2)


def tabulate_map(embedding_map: EmbeddingMap) -> Table:
    """List the center of each class on the map, and its spread."""
    low, high = embedding_map.positions.amin(0), embedding_map.positions.amax(0)
    scaled = (embedding_map.positions - (low + high) / 2) / (high - low).max() + 0.5
    rows = []
    for label, name in enumerate(embedding_map.classes):
        points = scaled[embedding_map.labels == label]
        if not len(points):
            continue
        center = points.median(0).values
        spread = (points - center).norm(dim=1).median()
        wrong = int((embedding_map.predictions[embedding_map.labels == label] != label).sum())
        cells = (f"{len(points):,}", f"{wrong:,}", f"{center[0]:.2f}", f"{1 - center[1]:.2f}", f"{spread:.3f}")
        rows.append((tidy_name(name), *cells))
    headers = ("class", "n", "wrong", "center, from the left", "from the top", "median distance from it")
    return Table("Positions of the classes on the map, as fractions of its side", headers, tuple(rows))


def tabulate_quality(quality: MapQuality) -> Table:
    """List the measures of each method, the best method first."""
    rows = tuple(
        (
            str(rank),
            method.method,
            sides(method.resolution),
            _mean(method.sanity),
            {True: "passed", False: "failed", None: "not known"}[method.is_passed],
            _mean(method.pointing_game),
            _mean(method.energy_in_mask),
            _mean(method.grid_pointing),
            _mean(method.deletion),
            _mean(method.insertion),
        )
        for rank, method in enumerate(quality.methods, 1)
    )
    headers = (
        *("rank", "method", "cells", "randomized weights", "sanity check", "pointing game"),
        *("on the object", "grid", "deletion", "insertion"),
    )
    return Table(f"Reliability of the maps, on {quality.n:,} images", headers, rows, names=2)


def tabulate_layers(summary: ModelSummary, model: str) -> Table:
    """List the shape, parameters and receptive field of each layer of a model of this name."""
    rows = tuple(
        (
            Markup('<span class="depth-{}">{}</span>').format(min(layer.depth, 6), tidy_name(layer.name) or "net"),
            layer.type,
            sides(layer.output_shape and layer.output_shape[1:]),
            f"{layer.params:,}",
            f"{layer.macs:,}",
            "global" if layer.is_global else sides(layer.receptive_field),
            sides(None if layer.jump is None else [float(step) for step in layer.jump]),
        )
        for layer in summary.layers
    )
    total = ("all", "", "", f"{summary.total_params:,}", f"{summary.macs:,}", "", "")
    headers = ("layer", "type", "output", "parameters", "MACs", "receptive field, px", "jump, px")
    return Table(f"Layers of {model} for an image of {sides(summary.input_size)}", headers, rows, 2, total)


def tabulate_duplicates(duplicates: Duplicates) -> Table:
    """Count the duplicates within and between splits."""
    rows = tuple(
        (
            " and ".join(entry["splits"])
            if entry["splits"][0] != entry["splits"][1]
            else f"within {entry['splits'][0]}",
            *(f"{entry[kind]:,}" for kind in ("exact", "near", "mirrored")),
            f"{entry['embedding']:,}" if "embedding" in entry else "n/a",
            f"{entry['with_two_labels']:,}",
        )
        for entry in duplicates.counts()
    )
    headers = ("splits", "exact", "near", "mirrored", "by embeddings alone", "with two labels")
    return Table("Pairs of duplicate images", headers, rows)


def tabulate_comparison(comparison: Comparison, name_model: Callable[[str], str]) -> tuple[Table, Table]:
    """Compare two runs, overall and class by class.

    Args:
        comparison: of the runs.
        name_model: shortens the names of the networks.
    """
    runs = tuple(
        (
            tidy_name(run.name),
            name_model(run.model),
            count(run.epochs),
            percent(run.accuracy, 2),
            interval(wilson_interval(run.correct, run.n)),
            percent(run.mirror_accuracy, 2),
            number(run.loss, 4),
        )
        for run in comparison.runs
    )
    classes = tuple(
        (
            tidy_name(entry.name),
            f"{entry.counts.n:,}",
            f"{entry.counts.only_first:,}",
            f"{entry.counts.only_second:,}",
            points(entry.counts.difference),
            points_interval(entry.interval),
        )
        for entry in comparison.pairs[0].per_class
    )
    run_headers = ("run", "network", "epochs", "accuracy", "95 % interval", "mirror averaged", "loss")
    class_headers = ("class", "n", "correct in the first only", "in the second only", "difference", "95 % interval")
    return (
        Table("Both runs", run_headers, runs, names=2),
        Table("Differences class by class, second minus first, in points", class_headers, classes),
    )


def sides(lengths: Sequence[float] | None) -> str:
    """Format the lengths of sides; nothing for None."""
    return "" if lengths is None else " x ".join(f"{length:g}" for length in lengths)


def _mean(figure: Estimate | None) -> str:
    return number(None if figure is None else figure.value, 2)
