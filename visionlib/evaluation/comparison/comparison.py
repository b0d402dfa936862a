"""`Comparison`: runs on the same images side by side, and each pair of them image by image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.evaluation.comparison.paired import Interval, PairedCounts, score_interval
from visionlib.evaluation.comparison.run_figures import RunFigures, as_list
from visionlib.evaluation.intervals import CONFIDENCE
from visionlib.evaluation.spreadsheet import Cell, write_csv
from visionlib.inference.predictions import LogitsKind


@dataclass(frozen=True)
class ClassDifference:
    """How two runs differ on the images of one class.

    Attributes:
        name: the class.
        counts: how often they are right on its images.
    """

    name: str
    counts: PairedCounts

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the difference, Tango's; None for a class without images."""
        return score_interval(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON."""
        return {
            "class": self.name,
            "n": self.counts.n,
            "only_first": self.counts.only_first,
            "only_second": self.counts.only_second,
            "difference": self.counts.difference,
            "confidence_interval": as_list(self.interval),
        }


@dataclass(frozen=True, eq=False)
class PairComparison:
    """Two runs, image by image.

    Attributes:
        first: place of the first run among the compared.
        second: place of the second.
        counts: how often both, one or neither is right.
        interval: 95 % interval of the difference by a paired bootstrap; None for no images.
        p: McNemar's exact test, two-sided.
        adjusted_p: the same, adjusted by Holm for the number of pairs; equal to `p` for a single pair.
        only_first: positions in the split of images that only the first gets right.
        only_second: positions of images that only the second gets right.
        per_class: one entry per class, in the order of the classes.
    """

    first: int
    second: int
    counts: PairedCounts
    interval: Interval | None
    p: float
    adjusted_p: float
    only_first: Int64[Tensor, "a"]
    only_second: Int64[Tensor, "b"]
    per_class: tuple[ClassDifference, ...]

    @property
    def difference(self) -> float | None:
        """Accuracy of the second minus that of the first; None for no images."""
        return self.counts.difference

    @property
    def is_told_apart(self) -> bool:
        """Whether the adjusted p-value is below 0.05."""
        return self.adjusted_p < 1 - CONFIDENCE


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs on the same test images.

    Attributes:
        classes: class names, the same for all.
        content_hash: of the test images.
        logits: what was compared: `plain`, or `mirror-averaged`.
        runs: their figures, in the order given.
        pairs: those that were tested.
        resamples: of each bootstrap.
        seed: of each bootstrap.
        notes: what a reader should know besides, a sentence each.
        index: what the images are called for good.
        labels: true classes.
        predicted: predicted classes, a row per run.
        confidence: probability of the predicted class, a row per run.
        true_probability: of the true class, a row per run.
    """

    classes: tuple[str, ...]
    content_hash: str
    logits: LogitsKind
    runs: tuple[RunFigures, ...]
    pairs: tuple[PairComparison, ...]
    resamples: int
    seed: int
    notes: tuple[str, ...]
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predicted: Int64[Tensor, "r n"]
    confidence: Float64[Tensor, "r n"]
    true_probability: Float64[Tensor, "r n"]

    def describe(self, pair: PairComparison) -> str:
        """Say in words what the figures of a pair mean."""
        first, second = (embed_name(self.runs[place].name) for place in (pair.first, pair.second))
        n, more = pair.counts.n, pair.counts.only_second - pair.counts.only_first
        if pair.difference is None or pair.interval is None:
            return "There is no image to compare them on."
        if not pair.counts.only_first + pair.counts.only_second:
            return f"{first} and {second} are right and wrong on the same ones of {n:,} images."
        better, worse = (second, first) if more > 0 else (first, second)
        low, high = pair.interval if better == second else (-pair.interval[1], -pair.interval[0])
        if more:
            told = f"{better} is right on {abs(more):,} more of {n:,} images than {worse}"
        else:
            told = f"{first} and {second} are right equally often, on different ones of {n:,} images"
        interval = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
        figures = f"{100 * abs(pair.difference):.2f} points, {interval}, {self.describe_p(pair)}."
        if pair.is_told_apart:
            meaning = f"The choice of test images hardly explains that: {better} does better on images like these."
        else:
            meaning = "That may well be chance, and does not show that they are equally good either."
        return f"{told}: {figures} {meaning}"

    def describe_p(self, pair: PairComparison) -> str:
        """Say the p-value, and whether it is adjusted for several pairs."""
        name = (
            "McNemar's exact p" if len(self.pairs) == 1 else f"McNemar's exact p, by Holm for {len(self.pairs)} pairs,"
        )
        return f"{name} {format_p(pair.adjusted_p)}"

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain values for JSON; images by what they are called for good."""
        return {
            "split": "test",
            "content_hash": self.content_hash,
            "n": len(self.labels),
            "logits": self.logits,
            "confidence": CONFIDENCE,
            "bootstrap": {"resamples": self.resamples, "seed": self.seed},
            "runs": [run.to_dict() for run in self.runs],
            "pairs": [
                {
                    "first": self.runs[pair.first].name,
                    "second": self.runs[pair.second].name,
                    "both": pair.counts.both,
                    "only_first": pair.counts.only_first,
                    "only_second": pair.counts.only_second,
                    "neither": pair.counts.neither,
                    "difference": pair.difference,
                    "confidence_interval": as_list(pair.interval),
                    "mcnemar_p": pair.p,
                    "holm_p": pair.adjusted_p,
                    "meaning": self.describe(pair),
                    "only_first_index": self.index[pair.only_first].tolist(),
                    "only_second_index": self.index[pair.only_second].tolist(),
                    "per_class": [entry.to_dict() for entry in pair.per_class],
                }
                for pair in self.pairs
            ],
            "notes": list(self.notes),
        }


def write_differing(comparison: Comparison, path: Path) -> None:
    """Write the images that one of a pair gets right and the other wrong as a CSV file, whole or not at all.

    A row for each pair and image, in the order of the pairs and of the split. Names that a spreadsheet would compute
    get an apostrophe in front, see `spreadsheet.escape_formula`.

    Raises:
        ConfigError: if the file cannot be written.
    """
    header = [
        *("first", "second", "right", "position", "index", "true"),
        *("first_predicted", "first_confidence", "second_predicted", "second_confidence"),
    ]
    rows: list[list[Cell]] = []
    for pair in comparison.pairs:
        names = [comparison.runs[place].name for place in (pair.first, pair.second)]
        right = dict.fromkeys(pair.only_first.tolist(), names[0]) | dict.fromkeys(pair.only_second.tolist(), names[1])
        for position in sorted(right):
            row: list[Cell] = [*names, right[position], position, int(comparison.index[position])]
            row.append(comparison.classes[int(comparison.labels[position])])
            for place in (pair.first, pair.second):
                row.append(comparison.classes[int(comparison.predicted[place, position])])
                row.append(float(comparison.confidence[place, position]))
            rows.append(row)
    write_csv(path, header, rows)


def format_p(p: float) -> str:
    """Write a p-value: two digits, or that it is below what anyone needs to know."""
    return "below 1e-16" if p < 1e-16 else f"= {p:.2g}"
