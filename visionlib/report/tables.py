"""The page's tables: headers and cells as text, made out of a run's records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from visionlib.data.class_names import tidy_name
from visionlib.inspection import Duplicates, EmbeddingMap
from visionlib.report.charts.class_bar import draw_class_bar
from visionlib.report.contents import Contents
from visionlib.report.verdict import percent, span

Cell = str | Markup


@dataclass(frozen=True)
class Table:
    """A table as it is written.

    Attributes:
        caption: what it shows.
        headers: of the columns.
        rows: cells; the first of each row names it.
        names: how many columns at the left are text; the others are figures.
        total: row below, set apart; none if empty.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    names: int = 1
    total: tuple[Cell, ...] = ()


def tabulate_classes(evaluation: dict[str, Any]) -> Table:
    """Give each class its accuracy with interval, as figures and as a bar."""
    overall = evaluation["accuracy"]
    rows = tuple(
        (
            tidy_name(entry["class"]),
            f"{entry['n']:,}",
            percent(entry["accuracy"]),
            span(entry["confidence_interval"]),
            draw_class_bar(entry["accuracy"], entry["confidence_interval"], overall),
            percent(entry["precision"]),
            "n/a" if entry["f1"] is None else f"{entry['f1']:.3f}",
        )
        for entry in evaluation["per_class"]
    )
    bar = draw_class_bar(overall, evaluation["confidence_interval"], None)
    total = ("all", f"{evaluation['n']:,}", percent(overall), span(evaluation["confidence_interval"]), bar, "", "")
    headers = ("class", "n", "accuracy", "95 % interval", "0 to 100 %", "precision", "F1")
    return Table("Accuracy of each class, with its 95 % Wilson interval", headers, rows, total=total)


def tabulate_history(history: Sequence[dict[str, Any]]) -> Table:
    """Give each epoch its figures."""
    rows = tuple(
        (
            str(record["epoch"]),
            f"{record['resolution_px']}",
            f"{record['learning_rate']:.4g}",
            f"{record['loss']:.4f}",
            percent(record["training_accuracy"]),
            percent(record.get("validation_accuracy")),
            percent(record.get("test_accuracy")),
            f"{record['seconds']:.1f}",
            f"{record['images_per_second']:,.0f}",
        )
        for record in history
    )
    headers = ("epoch", "px", "rate", "loss", "training", "held out", "test", "seconds", "images/s")
    return Table("Figures of each epoch", headers, rows)


def tabulate_reliability(evaluation: dict[str, Any]) -> Table:
    """Give each bin of confidence its accuracy."""
    rows = tuple(
        (
            f"{entry['lowest']:.3f} to {entry['highest']:.3f}",
            f"{entry['n']:,}",
            percent(entry["mean_confidence"], 1),
            percent(entry["accuracy"], 1),
            span(entry["confidence_interval"]),
        )
        for entry in evaluation["calibration"]["reliability"]
    )
    return Table("Accuracy by confidence", ("confidence", "n", "mean confidence", "accuracy", "95 % interval"), rows)


def tabulate_pairs(evaluation: dict[str, Any]) -> Table:
    """Give the most confused pairs."""
    rows = tuple(
        (
            tidy_name(pair["class"]),
            tidy_name(pair["predicted"]),
            f"{pair['count']:,}",
            f"{pair['n']:,}",
            percent(pair["share"], 1),
            span(pair["confidence_interval"]),
        )
        for pair in evaluation["confusion"]["most_confused"]
    )
    headers = ("true", "taken for", "count", "of", "share", "95 % interval")
    return Table("The most confused pairs of classes", headers, rows, names=2)


def tabulate_map(found: EmbeddingMap) -> Table:
    """Give each class its middle on the map, and how far it is spread."""
    low, high = found.positions.amin(0), found.positions.amax(0)
    scaled = (found.positions - (low + high) / 2) / (high - low).max() + 0.5
    rows = []
    for label, name in enumerate(found.classes):
        places = scaled[found.labels == label]
        if not len(places):
            continue
        middle = places.median(0).values
        spread = (places - middle).norm(dim=1).median()
        wrong = int((found.predictions[found.labels == label] != label).sum())
        cells = (f"{len(places):,}", f"{wrong:,}", f"{middle[0]:.2f}", f"{1 - middle[1]:.2f}", f"{spread:.3f}")
        rows.append((tidy_name(name), *cells))
    headers = ("class", "n", "wrong", "middle, from the left", "from the top", "median distance from it")
    return Table("Where the classes lie on the map, as shares of its side", headers, tuple(rows))


def tabulate_quality(quality: dict[str, Any]) -> Table:
    """Give each method of maps its measures, the best method first."""
    rows = tuple(
        (
            str(entry["rank"]),
            entry["method"],
            " x ".join(map(str, entry["resolution"])),
            _figure(entry["sanity"]["correlation"]),
            {True: "passed", False: "failed", None: "not known"}[entry["sanity"]["is_passed"]],
            _share(entry["pointing_game"]),
            _share(entry["energy_in_mask"]),
            _share(entry["grid_pointing"]),
            _share(entry["deletion"]),
            _share(entry["insertion"]),
        )
        for entry in quality["methods"]
    )
    headers = (
        *("rank", "method", "cells", "when scrambled", "sanity check", "pointing game"),
        *("on the object", "grid", "deletion", "insertion"),
    )
    return Table(f"How far maps can be believed, on {quality['n']:,} images", headers, rows, names=2)


def tabulate_layers(summary: dict[str, Any]) -> Table:
    """Give each layer its shape, parameters and receptive field."""
    rows = tuple(
        (
            Markup('<span class="depth-{}">{}</span>').format(
                min(layer["depth"], 6), tidy_name(layer["name"]) or "net"
            ),
            layer["type"],
            _sides(layer["output_shape"] and layer["output_shape"][1:]),
            f"{layer['params']:,}",
            f"{layer['macs']:,}",
            layer["receptive_field"] if layer["receptive_field"] == "global" else _sides(layer["receptive_field"]),
            _sides(layer["jump"]),
        )
        for layer in summary["layers"]
    )
    total = ("all", "", "", f"{summary['total_params']:,}", f"{summary['macs']:,}", "", "")
    headers = ("layer", "type", "output", "parameters", "MACs", "receptive field, px", "jump, px")
    return Table(
        f"Layers of {summary['model']} for an image of {_sides(summary['input_size'])}", headers, rows, 2, total
    )


def tabulate_duplicates(found: Duplicates) -> Table:
    """Count what is there twice, within and between splits."""
    rows = tuple(
        (
            " and ".join(entry["splits"])
            if entry["splits"][0] != entry["splits"][1]
            else f"within {entry['splits'][0]}",
            *(f"{entry[kind]:,}" for kind in ("exact", "near", "mirrored")),
            f"{entry['embedding']:,}" if "embedding" in entry else "n/a",
            f"{entry['with_two_labels']:,}",
        )
        for entry in found.counts()
    )
    headers = ("splits", "exact", "near", "mirrored", "by embeddings alone", "with two labels")
    return Table("Pairs of images that are there twice", headers, rows)


def tabulate_comparison(contents: Contents) -> tuple[Table, Table] | None:
    """Lay two runs side by side, as a whole and class by class; None for a run alone."""
    comparison = contents.comparison
    if comparison is None:
        return None
    pair = comparison.pairs[0]
    runs = tuple(
        (
            tidy_name(run["name"]),
            run["model"],
            "n/a" if run["epochs"] is None else str(run["epochs"]),
            percent(run["accuracy"]),
            span(run["confidence_interval"]),
            percent(run["mirror_accuracy"]),
            "n/a" if run["loss"] is None else f"{run['loss']:.4f}",
        )
        for run in (figures.to_dict() for figures in comparison.runs)
    )
    classes = tuple(
        (
            tidy_name(entry["class"]),
            f"{entry['n']:,}",
            f"{entry['only_first']:,}",
            f"{entry['only_second']:,}",
            "n/a" if entry["difference"] is None else f"{100 * entry['difference']:+.2f}",
            _points(entry["confidence_interval"]),
        )
        for entry in (difference.to_dict() for difference in pair.per_class)
    )
    return (
        Table(
            "Both runs",
            ("run", "network", "epochs", "accuracy", "95 % interval", "mirror averaged", "loss"),
            runs,
            names=2,
        ),
        Table(
            "Differences class by class, second minus first, in points",
            ("class", "n", "right in the first alone", "in the second alone", "difference", "95 % interval"),
            classes,
        ),
    )


def _points(interval: Sequence[float] | None) -> str:
    return "n/a" if interval is None else f"{100 * interval[0]:+.2f} to {100 * interval[1]:+.2f}"


def _figure(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2f}"


def _share(figure: dict[str, Any] | None) -> str:
    return "n/a" if figure is None else f"{figure['value']:.2f}"


def _sides(sides: Sequence[float] | None) -> str:
    return "" if sides is None else " x ".join(f"{side:g}" for side in sides)
