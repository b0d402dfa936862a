"""`Shortcuts`: how well each property alone predicts the class, and the classes that it gives away."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from visionlib.evaluation.comparison.paired import PairedCounts, score_interval
from visionlib.evaluation.intervals import Interval, as_list, wilson_interval
from visionlib.evaluation.shortcuts.prediction import BALANCED_PRECISION
from visionlib.runs.fields import Count, FieldError, Key, Range, Unit

Positive = Annotated[int, Range(1, 2**53)]
LEVEL = 0.05
LEAST_RECALL = 0.15
"""Fraction of a class's images, at least, that a property must give away for an alarm."""
LEAST_RATIO = 10
"""An alarm says that images of the class are flagged more than this many times as often as others.

Both limits are above honest data: blue alone flags up to 11 % of the airplanes of CIFAR-10, see `docs/inspection.md`.
"""
DEFINITIONS = {
    "accuracy": "of decision trees that see the property alone, on the images of the folds that they were not grown on",
    "majority_accuracy": "largest class share of each held-out fold, averaged over the images",
    "difference": "accuracy minus majority_accuracy, with Tango's score interval of 95 %",
    "p": "one-sided sign test of the images that only one of the two is right on",
    "p_adjusted": "Holm's, over all properties; of a class, over all properties and classes",
    "flagged": "an image is flagged as of a class where, among images with such values in the other folds, at least "
    f"{100 * BALANCED_PRECISION:.0f} % were of it if both sides had equally many images",
    "recall": "fraction of the class's images that are flagged as of it, with Wilson's interval of 95 %",
    "balanced_precision": "fraction of the flagged images that are of the class, if both sides had equally many images",
    "classes.p": f"exact one-sided test that the class's images are flagged at most {LEAST_RATIO} times as often as "
    "others",
    "alarm": f"recall of at least {LEAST_RECALL}, and an adjusted p of a class below {LEVEL}",
}


@dataclass(frozen=True)
class ClassSign:
    """How well a property tells one class from all others.

    Attributes:
        name: of the class.
        n: images of it.
        hits: of them, that the property flags as of the class.
        others: images of the other classes.
        false_hits: of them, that it flags as of the class.
        p: see `flagged_p`.
        p_adjusted: by Holm's method over all properties and classes.
    """

    name: Annotated[str, Key("class")]
    n: Positive
    hits: Count
    others: Positive
    false_hits: Count
    p: Unit
    p_adjusted: Unit

    def __post_init__(self) -> None:
        if self.hits > self.n or self.false_hits > self.others:
            raise FieldError("hits", "are more than images")

    @property
    def recall(self) -> float:
        """Fraction of the class's images that are flagged."""
        return self.hits / self.n

    @property
    def recall_interval(self) -> Interval | None:
        """Wilson's interval of the recall."""
        return wilson_interval(self.hits, self.n)

    @property
    def balanced_precision(self) -> float | None:
        """Fraction of the flagged images that are of the class, were both sides equally large; None without any."""
        false_rate = self.false_hits / self.others
        return self.recall / (self.recall + false_rate) if self.hits or self.false_hits else None

    @property
    def is_alarm(self) -> bool:
        """Whether the property gives the class away."""
        return self.recall >= LEAST_RECALL and self.p_adjusted < LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            **{"class" if name == "name" else name: value for name, value in asdict(self).items()},
            "recall": self.recall,
            "recall_interval": as_list(self.recall_interval),
            "balanced_precision": self.balanced_precision,
            "is_alarm": self.is_alarm,
        }


@dataclass(frozen=True)
class PropertyScore:
    """How well a property alone predicts the class.

    Attributes:
        name: of the property.
        counts: images that the largest class (first) and the property (second) are right on.
        p: of the one-sided sign test.
        p_adjusted: by Holm's method over all properties.
        signs: classes with an alarm, or the one that is told best; empty if no image of any class is flagged.
    """

    name: Annotated[str, Key("property")]
    counts: PairedCounts
    p: Unit
    p_adjusted: Unit
    signs: Annotated[tuple[ClassSign, ...], Key("classes")]

    def __post_init__(self) -> None:
        if min(asdict(self.counts).values()) < 0:
            raise FieldError("counts", "are negative")

    @property
    def accuracy(self) -> float | None:
        """Fraction of the images that the property predicts correctly."""
        return (self.counts.both + self.counts.only_second) / self.counts.n if self.counts.n else None

    @property
    def majority_accuracy(self) -> float | None:
        """Fraction of the images that are of the largest class of their fold."""
        return (self.counts.both + self.counts.only_first) / self.counts.n if self.counts.n else None

    @property
    def difference(self) -> float | None:
        """Accuracy minus that of the largest class."""
        return self.counts.difference

    @property
    def difference_interval(self) -> Interval | None:
        """Tango's interval of the difference."""
        return score_interval(self.counts)

    @property
    def alarms(self) -> tuple[ClassSign, ...]:
        """Classes that the property gives away."""
        return tuple(sign for sign in self.signs if sign.is_alarm)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "property": self.name,
            "n": self.counts.n,
            "accuracy": self.accuracy,
            "majority_accuracy": self.majority_accuracy,
            "difference": self.difference,
            "difference_interval": as_list(self.difference_interval),
            "counts": asdict(self.counts),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "is_alarm": bool(self.alarms),
            "classes": [sign.to_dict() for sign in self.signs],
        }


@dataclass(frozen=True)
class Shortcuts:
    """The result of a search for shortcuts.

    A property that predicts the class better than the largest class does is common in honest data: ships are in front
    of blue. An alarm says more: the property alone singles out images of a class, almost without others among them.

    Attributes:
        n: images that were measured.
        n_split: images of the split.
        folds: of the cross-validation.
        seed: of the folds and the sample.
        content_hash: of the split.
        majority_correct: images that are of the largest class of their fold.
        scores: of each property: those with an alarm first, then by their accuracy.
    """

    n: Positive
    n_split: Count
    folds: Count
    seed: Count
    content_hash: str
    majority_correct: Count
    scores: Annotated[tuple[PropertyScore, ...], Key("properties")]

    @property
    def is_alarm(self) -> bool:
        """Whether any property gives a class away."""
        return any(score.alarms for score in self.scores)

    def list_alarms(self) -> Mapping[str, tuple[tuple[str, ClassSign], ...]]:
        """List the properties that give a class away, by class, the one with the highest recall first."""
        found: dict[str, list[tuple[str, ClassSign]]] = {}
        for score in self.scores:
            for sign in score.alarms:
                found.setdefault(sign.name, []).append((score.name, sign))
        return {name: tuple(sorted(row, key=lambda entry: -entry[1].recall)) for name, row in found.items()}

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "n": self.n,
            "n_split": self.n_split,
            "folds": self.folds,
            "seed": self.seed,
            "content_hash": self.content_hash,
            "majority_correct": self.majority_correct,
            "majority_accuracy": self.majority_correct / self.n,
            "is_alarm": self.is_alarm,
            "alarms": [
                {"class": name, "properties": [entry for entry, _ in row]} for name, row in self.list_alarms().items()
            ],
            "properties": [score.to_dict() for score in self.scores],
            "definitions": dict(DEFINITIONS),
        }


def flagged_p(n: int, hits: int, others: int, false_hits: int) -> float:
    """P-value, one-sided, that images of the class are flagged at most ten times as often as others.

    Given the number of flagged images, those of the class among them have a binomial distribution, if few are flagged.

    Source: Przyborowski and Wilenski 1940, doi 10.1093/biomet/31.3-4.313.
    """
    from scipy.stats import binom

    expected = LEAST_RATIO * n / (LEAST_RATIO * n + others)
    return float(binom.sf(hits - 1, hits + false_hits, expected)) if hits else 1.0
