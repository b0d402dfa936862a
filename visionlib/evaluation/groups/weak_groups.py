"""`WeakGroups`: the groups that were proposed and tested, with the images of those that are weak."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from visionlib.evaluation.groups.conditions import Condition
from visionlib.evaluation.intervals import Interval, wilson_interval
from visionlib.evaluation.spreadsheet import write_csv
from visionlib.inference.predictions import load_predictions
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.fields import Count, FieldError, Unit, parse_record
from visionlib.runs.results import load_result, save_result

LEVEL = 0.05
Verdict = Literal["weak", "overlaps", "not significant"]
_COMMAND = "visionlib groups RUN"
_COLUMNS = ("group", "description", "index", "source", "true", "predicted", "is_correct", "is_tested")
DEFINITIONS = {
    "accuracy": "of the group's images in the half that did not propose it, with Wilson's interval of 95 %",
    "expected_accuracy": "of the other images of the same classes in that half, weighted by the group's classes",
    "p": "exact one-sided test within classes, on the testing half",
    "p_adjusted": "Holm's, over all groups that were tested",
}


@dataclass(frozen=True)
class GroupImages:
    """The images of a group from both halves: the mistakes first, by their loss, then the others in the split's order.

    Attributes:
        index: stable image ids.
        sources: files that they were read from; None where it is not known.
        true: class names.
        predicted: class names.
        is_tested: whether each is of the half that tested the group.
    """

    index: tuple[int, ...]
    sources: tuple[str | None, ...]
    true: tuple[str, ...]
    predicted: tuple[str, ...]
    is_tested: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len({len(column) for column in vars(self).values()}) > 1:
            raise FieldError("", "has columns of several lengths")

    def __len__(self) -> int:
        return len(self.index)

    def to_rows(self) -> list[tuple[int, str | None, str, str, bool, bool]]:
        """Return index, source, true and predicted class, is_correct and is_tested of each image."""
        columns = zip(self.index, self.sources, self.true, self.predicted, self.is_tested, strict=True)
        return [(index, source, true, said, true == said, tested) for index, source, true, said, tested in columns]


@dataclass(frozen=True)
class Group:
    """A group that one half of the images proposed and the other tested; its numbers are of the latter.

    Attributes:
        description: in words.
        conditions: an image is in the group if all of them are true of it.
        n: images.
        wrong: of them, that are predicted wrong.
        rest_n: images outside of the group, of any class.
        rest_wrong: of them, that are predicted wrong.
        expected_accuracy: of the other images of the same classes, weighted by the group's number of each; None if
            there are no others.
        p: of the exact one-sided test within classes.
        p_adjusted: by Holm's method over all groups that were tested.
        verdict: `weak`; `overlaps` for one that is significant by the images of a weaker group; `not significant`.
        taken_for: the class that most of its wrong images are predicted as; None without any.
        taken_for_n: number of these.
        images: of both halves; empty unless it is weak.
    """

    description: str
    conditions: tuple[Condition, ...]
    n: Count
    wrong: Count
    rest_n: Count
    rest_wrong: Count
    expected_accuracy: Unit | None
    p: Unit
    p_adjusted: Unit
    verdict: Verdict
    taken_for: str | None
    taken_for_n: Count
    images: GroupImages

    def __post_init__(self) -> None:
        if self.wrong > self.n or self.rest_wrong > self.rest_n or self.taken_for_n > self.wrong:
            raise FieldError("", "has more wrong images than images")

    @property
    def accuracy(self) -> float | None:
        """Fraction of the group's images in the testing half that are predicted correctly; None without any."""
        return (self.n - self.wrong) / self.n if self.n else None

    @property
    def confidence_interval(self) -> Interval | None:
        """Wilson's interval of the accuracy."""
        return wilson_interval(self.n - self.wrong, self.n)

    @property
    def rest_accuracy(self) -> float | None:
        """Accuracy of all other images of the testing half."""
        return (self.rest_n - self.rest_wrong) / self.rest_n if self.rest_n else None

    @property
    def rest_interval(self) -> Interval | None:
        """Wilson's interval of the accuracy of the rest."""
        return wilson_interval(self.rest_n - self.rest_wrong, self.rest_n)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            **asdict(self),
            "conditions": [{**asdict(entry), "definition": entry.definition} for entry in self.conditions],
            "accuracy": self.accuracy,
            "confidence_interval": self.confidence_interval,
            "rest_accuracy": self.rest_accuracy,
            "rest_interval": self.rest_interval,
        }


@dataclass(frozen=True)
class WeakGroups:
    """The result of a search for weak groups.

    Attributes:
        n: images of the split.
        wrong: of them, that are predicted wrong.
        n_halves: images of each half; either proposed groups, which the other tested.
        conditions: number of conditions that groups were made of.
        level: probability, at most, of any weak group in a network whose mistakes are random within each class.
        seed: of the halves and clusters.
        tested: all groups that were tested: the weak ones, then the others, each the weakest first.
        notes: sentences on what could not be used.
    """

    n: Count
    wrong: Count
    n_halves: tuple[Count, Count]
    conditions: Count
    level: Unit
    seed: Count
    tested: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """The weak groups, the weakest first."""
        return tuple(group for group in self.tested if group.verdict == "weak")

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            **{name: value for name, value in vars(self).items() if name != "tested"},
            "n_halves": list(self.n_halves),
            "notes": list(self.notes),
            "tested": len(self.tested),
            "groups": [group.to_dict() for group in self.groups],
            "not_weak": [group.to_dict() for group in self.tested if group.verdict != "weak"],
            "definitions": dict(DEFINITIONS),
        }

    def save(self, run: Run) -> None:
        """Write `groups.json`, with the hashes of the weights and of the test images of the run's predictions.

        Raises:
            RunError: if the run's predictions are absent or damaged, or the run cannot be written to.
        """
        stored = load_predictions(run)
        hashes = {"content_hash": stored.content_hash, "weights_sha256": stored.record.weights_sha256}
        save_result(run.groups, {"split": "test", **hashes, **self.to_dict()})


def load_groups(run: Run) -> WeakGroups:
    """Read a run's `groups.json`.

    Raises:
        RunError: if it is absent, damaged or of other weights.
    """

    def build(fields: Mapping[str, Any], _: object) -> WeakGroups:
        return parse_record(WeakGroups, {**fields, "tested": [*fields["groups"], *fields["not_weak"]]})

    expected = {"weights_sha256": load_record(run).weights_sha256}
    return load_result(run.groups, expected, build, remedy=_COMMAND, has_arrays=False)


def write_group_images(groups: WeakGroups, path: Path) -> None:
    """Write the images of the weak groups as a CSV file atomically, a row for each; an image may be in several groups.

    Raises:
        ConfigError: if the file cannot be written.
    """
    rows = [
        (number, group.description, *row)
        for number, group in enumerate(groups.groups, 1)
        for row in group.images.to_rows()
    ]
    write_csv(path, _COLUMNS, rows)
