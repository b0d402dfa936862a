"""`StressResult`: the measures of a network on corrupted images, and its record in a run."""

from dataclasses import dataclass
from typing import Annotated, Any

from visionlib.data.corruption import CORRUPTIONS, STRENGTHS
from visionlib.evaluation.intervals import as_list
from visionlib.evaluation.stress.scores import Bounds, ClassFall, ConditionScore, Positive, StrengthScore
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.fields import FieldError, Key, Unit, parse_record
from visionlib.runs.results import load_result, save_result

MADE_HERE = "made by visionlib"
"""The source of images that were corrupted here."""
DEFINITIONS = {
    "clean": "the same images without corruption",
    "conditions.confidence_interval": "95 % Wilson score interval of the accuracy, for images drawn at random",
    "averaged": "the corruptions that all means are over: the standard ones among those measured, or else all of them",
    "mean_corruption_accuracy": "mean accuracy over the 15 standard corruptions at 5 strengths of Hendrycks and "
    "Dietterich 2019, arXiv:1903.12261; null unless all are measured",
    "mean_accuracy": "mean accuracy over the averaged corruptions at 5 strengths",
    "mean_confidence_interval": "95 % interval of mean_accuracy: Wilson's with the effective number of images, since "
    "the predictions of one image under many corruptions depend on each other",
    "mean_confidence": "mean probability of the predicted class, with the fitted temperature where there is one",
    "ece": "expected calibration error: 15 bins of equal width by the probability of the predicted class",
    "by_strength.gap": "mean confidence minus accuracy; above 0 for an overconfident network",
    "per_class.drop": "clean accuracy minus the mean over the averaged corruptions and strengths; largest first",
    "per_class.drop_interval": "95 % interval of the drop, from the difference of each image",
}
"""The definition of each measure, also written to `stress.json`."""


@dataclass(frozen=True)
class StressResult:
    """The measures of a network on the same images, as they are and corrupted in many ways.

    Attributes:
        n: number of images.
        n_split: images of the split that these were drawn from.
        seed: of the choice of images and of the corruptions.
        network: where its weights come from, in words.
        source: of the corrupted images, in words.
        temperature: divisor of the logits; None if none was fitted.
        content_hash: of the split.
        clean: the measures of the images as they are.
        conditions: those of each corruption at strength 1 to 5, in order.
        averaged: the corruptions that means are over: the standard ones among those measured, or else all of them.
        mean_accuracy: over the averaged corruptions and the strengths.
        mean_interval: 95 % interval of that mean.
        by_strength: the means over the averaged corruptions at strength 0, which is the images as they are, to 5.
        per_class: the loss of accuracy of each class that has images, the largest first.
    """

    n: Positive
    n_split: Positive
    seed: int
    network: str
    source: str
    temperature: float | None
    content_hash: str
    clean: ConditionScore
    conditions: tuple[ConditionScore, ...]
    averaged: tuple[str, ...]
    mean_accuracy: Unit
    mean_interval: Annotated[Bounds, Key("mean_confidence_interval")]
    by_strength: tuple[StrengthScore, ...]
    per_class: tuple[ClassFall, ...]

    def __post_init__(self) -> None:
        expected = [(name, strength) for name in self.corruptions for strength in STRENGTHS]
        if not expected or [(score.corruption, score.strength) for score in self.conditions] != expected:
            raise FieldError("conditions", "lack a strength, or have one twice")
        if not self.averaged or not set(self.averaged) <= set(self.corruptions):
            raise FieldError("averaged", "must be some of the corruptions")
        if [score.strength for score in self.by_strength] != [0, *STRENGTHS]:
            raise FieldError("by_strength", "lacks a strength, or has one twice")
        if any(len(fall.accuracies) != len(STRENGTHS) for fall in self.per_class):
            raise FieldError("per_class.accuracies", f"must have {len(STRENGTHS)} items")

    @property
    def corruptions(self) -> tuple[str, ...]:
        """Names of the corruptions that were measured."""
        return tuple(dict.fromkeys(score.corruption for score in self.conditions))

    @property
    def is_complete(self) -> bool:
        """Whether all standard corruptions were measured."""
        return set(self.corruptions) >= {name for name, entry in CORRUPTIONS.items() if entry.is_standard}

    @property
    def mean_corruption_accuracy(self) -> float | None:
        """Mean accuracy over the 15 standard corruptions at 5 strengths; None unless all were measured."""
        return self.mean_accuracy if self.is_complete else None

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "n": self.n,
            "n_split": self.n_split,
            "seed": self.seed,
            "network": self.network,
            "source": self.source,
            "temperature": self.temperature,
            "content_hash": self.content_hash,
            "clean": self.clean.to_dict(),
            "mean_corruption_accuracy": self.mean_corruption_accuracy,
            "mean_accuracy": self.mean_accuracy,
            "mean_confidence_interval": as_list(self.mean_interval),
            "averaged": list(self.averaged),
            "by_strength": [score.to_dict() for score in self.by_strength],
            "per_class": [fall.to_dict() for fall in self.per_class],
            "conditions": [score.to_dict() for score in self.conditions],
            "definitions": DEFINITIONS,
        }

    def save(self, run: Run) -> None:
        """Write `stress.json`, with the hash of the weights.

        Raises:
            RunError: if the run is unfinished, or cannot be written to.
        """
        weights_sha256 = load_record(run).weights_sha256
        save_result(run.stress, {"split": "test", "weights_sha256": weights_sha256, **self.to_dict()})

    def _repr_html_(self) -> str:
        """Return the tables for a notebook."""
        from visionlib.evaluation.stress.cells import to_html

        return to_html(self)


def load_stress(run: Run) -> StressResult:
    """Read a run's `stress.json`.

    Raises:
        RunError: if it is absent, damaged or of other weights.
    """
    return load_result(
        run.stress,
        {"weights_sha256": load_record(run).weights_sha256},
        lambda fields, _: parse_record(StressResult, fields),
        remedy=f"visionlib stress {run.path}",
        has_arrays=False,
    )
