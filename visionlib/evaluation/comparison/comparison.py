"""`Comparison`: the metrics of runs on the same images, and the differences of each pair."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.data.class_names import embed_name
from visionlib.data.sources import Sources, name_sources
from visionlib.evaluation.comparison.paired import PairedCounts, score_interval
from visionlib.evaluation.comparison.run_metrics import RunMetrics
from visionlib.evaluation.intervals import CONFIDENCE, Interval, as_list
from visionlib.evaluation.spreadsheet import Cell, write_csv
from visionlib.evaluation.wording import p_value
from visionlib.inference.predictions import LogitsKind


@dataclass(frozen=True)
class ClassDifference:
    """The difference of two runs on the images of one class.

    Attributes:
        name: of the class.
        counts: of its images.
    """

    name: str
    counts: PairedCounts

    @property
    def interval(self) -> Interval | None:
        """95 % interval of the difference, Tango's; None for a class without images."""
        return score_interval(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
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
    """The difference of two runs on the same images.

    Attributes:
        first: position of the first run in `Comparison.runs`.
        second: position of the second run.
        counts: images that both, one or neither classifies correctly.
        interval: 95 % interval of the difference by a paired bootstrap; None for no images.
        p: p-value of McNemar's exact test, two-sided.
        adjusted_p: `p` adjusted by Holm for the number of pairs.
        only_first: positions in the split of the images that only the first classifies correctly.
        only_second: positions of the images that only the second classifies correctly.
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
    def is_significant(self) -> bool:
        """Whether the adjusted p-value is below 0.05."""
        return self.adjusted_p < 1 - CONFIDENCE


@dataclass(frozen=True, eq=False)
class Comparison:
    """Runs on the same test images.

    Attributes:
        classes: class names, the same for all.
        content_hash: of the test images.
        logits: `plain`, or `mirror-averaged` with the logits of the mirror images.
        runs: their metrics, in the order given.
        pairs: the tested pairs.
        resamples: number of each bootstrap.
        seed: of each bootstrap.
        notes: on the interpretation, a sentence each.
        index: stable image ids.
        labels: true classes.
        predicted: predicted classes, a row per run.
        confidence: probability of the predicted class, a row per run.
        true_probability: of the true class, a row per run.
        sources: files that the images were read from, by their stable ids; None if they are not known.
    """

    classes: tuple[str, ...]
    content_hash: str
    logits: LogitsKind
    runs: tuple[RunMetrics, ...]
    pairs: tuple[PairComparison, ...]
    resamples: int
    seed: int
    notes: tuple[str, ...]
    index: Int64[Tensor, "n"]
    labels: Int64[Tensor, "n"]
    predicted: Int64[Tensor, "r n"]
    confidence: Float64[Tensor, "r n"]
    true_probability: Float64[Tensor, "r n"]
    sources: Sources | None = None

    def describe(self, pair: PairComparison) -> str:
        """Describe the difference of a pair in sentences."""
        first, second = (embed_name(self.runs[position].name) for position in (pair.first, pair.second))
        n, more = pair.counts.n, pair.counts.only_second - pair.counts.only_first
        if pair.difference is None or pair.interval is None:
            return "There is no image to compare them on."
        if not pair.counts.only_first + pair.counts.only_second:
            return f"{first} and {second} are right and wrong on the same ones of {n:,} images."
        better, worse = (second, first) if more > 0 else (first, second)
        low, high = pair.interval if better == second else (-pair.interval[1], -pair.interval[0])
        if more:
            subject = f"{better} is right on {abs(more):,} more of {n:,} images than {worse}"
        else:
            subject = f"{first} and {second} are right equally often, on different ones of {n:,} images"
        interval = f"95 % interval {100 * low:.2f} to {100 * high:.2f}"
        numbers = f"{100 * abs(pair.difference):.2f} points, {interval}, {self._describe_p(pair)}."
        if pair.is_significant:
            meaning = f"The choice of test images hardly explains that: {better} does better on images like these."
        else:
            meaning = "That may well be chance, and does not show that they are equally good either."
        return f"{subject}: {numbers} {meaning}"

    def _describe_p(self, pair: PairComparison) -> str:
        adjustment = f", by Holm for {len(self.pairs)} pairs," if len(self.pairs) > 1 else ""
        return f"McNemar's exact p{adjustment} {p_value(pair.adjusted_p)}"

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON; images by their stable ids."""
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
                    "only_first_source": name_sources(self.sources, self.index[pair.only_first]),
                    "only_second_source": name_sources(self.sources, self.index[pair.only_second]),
                    "per_class": [entry.to_dict() for entry in pair.per_class],
                }
                for pair in self.pairs
            ],
            "notes": list(self.notes),
        }


def write_differing(comparison: Comparison, path: Path) -> None:
    """Write the images that only one run of a pair classifies correctly as a CSV file, whole or not at all.

    A row for each pair and image, in the order of the pairs and of the split. Names that a spreadsheet would evaluate
    get a leading apostrophe, see `spreadsheet.escape_formula`.

    Raises:
        ConfigError: if the file cannot be written.
    """
    header = [
        *("first", "second", "right", "position", "index", "source", "true"),
        *("first_predicted", "first_confidence", "second_predicted", "second_confidence"),
    ]
    rows: list[list[Cell]] = []
    for pair in comparison.pairs:
        names = [comparison.runs[run].name for run in (pair.first, pair.second)]
        correct = dict.fromkeys(pair.only_first.tolist(), names[0]) | dict.fromkeys(pair.only_second.tolist(), names[1])
        for position in sorted(correct):
            index = comparison.index[position]
            row: list[Cell] = [
                *names,
                correct[position],
                position,
                int(index),
                *name_sources(comparison.sources, index),
            ]
            row.append(comparison.classes[int(comparison.labels[position])])
            for run in (pair.first, pair.second):
                row.append(comparison.classes[int(comparison.predicted[run, position])])
                row.append(float(comparison.confidence[run, position]))
            rows.append(row)
    write_csv(path, header, rows)
