"""`Reliance`: the accuracy of a network with each property made equal, and how much of its maps lies there."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from visionlib.evaluation.comparison.paired import PairedCounts, score_interval
from visionlib.evaluation.intervals import Interval, as_list
from visionlib.evaluation.shortcuts import Shortcuts
from visionlib.evaluation.shortcuts.result import LEVEL, Positive
from visionlib.explanation.quality.estimate import Estimate
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.fields import Count, FieldError, Key, Unit, parse_record
from visionlib.runs.results import load_result, save_result

DEFINITIONS = {
    "counts": "images that are predicted correctly as they are (first) and with the property made equal (second)",
    "change": "accuracy with the property made equal minus accuracy as they are, with Tango's score interval of 95 %",
    "p_adjusted": "McNemar's exact test, by Holm's method over all properties; of a class, over all properties and "
    "their classes",
    "classes": "those that the property gives away in the training images; otherwise the class that loses most",
    "is_relied_on": f"the accuracy of a class that the property gives away falls, with an adjusted p below {LEVEL}",
    "map_fraction": "mean fraction of the maps' evidence in the region; area_fraction: of the pixels",
    "class_map_fraction": "the same over images of the classes that the property gives away",
}


@dataclass(frozen=True)
class Change:
    """Predictions of some images as they are and with a property made equal.

    Attributes:
        name: of the class; empty for all images.
        counts: images that are predicted correctly as they are (first), and with the property made equal (second).
        p: of McNemar's exact test.
        p_adjusted: by Holm's method over all changes of its kind.
    """

    name: Annotated[str, Key("class")]
    counts: PairedCounts
    p: Unit
    p_adjusted: Unit

    def __post_init__(self) -> None:
        if min(asdict(self.counts).values()) < 0 or not self.counts.n:
            raise FieldError("counts", "must be of some images")

    @property
    def accuracy(self) -> float:
        """Accuracy of the images as they are."""
        return (self.counts.both + self.counts.only_first) / self.counts.n

    @property
    def equal_accuracy(self) -> float:
        """Accuracy with the property made equal."""
        return (self.counts.both + self.counts.only_second) / self.counts.n

    @property
    def difference(self) -> float:
        """Change of the accuracy; negative for a fall."""
        return self.counts.difference or 0.0

    @property
    def interval(self) -> Interval | None:
        """Tango's interval of the change."""
        return score_interval(self.counts)

    @property
    def is_fall(self) -> bool:
        """Whether the accuracy falls significantly."""
        return self.difference < 0 and self.p_adjusted < LEVEL

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "class": self.name,
            "n": self.counts.n,
            "accuracy": self.accuracy,
            "equal_accuracy": self.equal_accuracy,
            "change": self.difference,
            "change_interval": as_list(self.interval),
            "counts": asdict(self.counts),
            "p": self.p,
            "p_adjusted": self.p_adjusted,
        }


@dataclass(frozen=True)
class PropertyReliance:
    """What a network makes of one property.

    Attributes:
        name: of the property.
        all_images: the change over all images.
        classes: the change of the classes that the property gives away, or of the class that loses most.
        is_given_away: whether these are classes that it gives away in the training images.
        area_fraction: fraction of the pixels in the property's region; None for one of whole images.
        map_fraction: fraction of the maps' evidence there; None without a region or maps.
        class_map_fraction: the same over images of the classes that it gives away; None without any.
    """

    name: Annotated[str, Key("property")]
    all_images: Change
    classes: tuple[Change, ...]
    is_given_away: bool
    area_fraction: Unit | None
    map_fraction: Estimate | None
    class_map_fraction: Estimate | None

    @property
    def is_relied_on(self) -> bool:
        """Whether the accuracy of a class that the property gives away falls significantly without it."""
        return self.is_given_away and any(change.is_fall for change in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        estimates = {name: getattr(self, name) for name in ("map_fraction", "class_map_fraction")}
        return {
            "property": self.name,
            "is_given_away": self.is_given_away,
            "is_relied_on": self.is_relied_on,
            "all_images": self.all_images.to_dict(),
            "classes": [change.to_dict() for change in self.classes],
            "area_fraction": self.area_fraction,
            **{name: None if entry is None else entry.to_dict() for name, entry in estimates.items()},
        }


@dataclass(frozen=True)
class Reliance:
    """Which properties tell the class in the training images, and what a network makes of them on other images.

    Attributes:
        shortcuts: of the images alone.
        n: images that the network predicted.
        n_split: images of the split that they were drawn from.
        n_maps: of them, that were explained.
        method: of the maps; empty without maps.
        seed: of the choice of images.
        content_hash: of the split.
        properties: those that can be made equal: the ones that give a class away first, then by the fall.
    """

    shortcuts: Shortcuts
    n: Positive
    n_split: Positive
    n_maps: Count
    method: str
    seed: Count
    content_hash: str
    properties: tuple[PropertyReliance, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "shortcuts": self.shortcuts.to_dict(),
            **{name: getattr(self, name) for name in ("n", "n_split", "n_maps", "method", "seed", "content_hash")},
            "properties": [entry.to_dict() for entry in self.properties],
            "definitions": dict(DEFINITIONS),
        }

    def save(self, run: Run) -> None:
        """Write `shortcuts.json`, with the hash of the weights.

        Raises:
            RunError: if the run is unfinished, or cannot be written to.
        """
        weights_sha256 = load_record(run).weights_sha256
        save_result(run.shortcuts, {"split": "test", "weights_sha256": weights_sha256, **self.to_dict()})


def load_reliance(run: Run) -> Reliance:
    """Read a run's `shortcuts.json`.

    Raises:
        RunError: if it is absent, damaged or of other weights.
    """

    def build(fields: Mapping[str, Any], _: object) -> Reliance:
        return parse_record(Reliance, fields)

    expected = {"weights_sha256": load_record(run).weights_sha256}
    return load_result(run.shortcuts, expected, build, remedy=f"visionlib shortcuts {run.path}", has_arrays=False)
