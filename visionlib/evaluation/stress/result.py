"""`StressResult`: whether each image is classified correctly under each corruption, and all measures of it."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.data.corruption import CORRUPTIONS, STRENGTHS
from visionlib.evaluation.calibration import Calibration, fill_bins
from visionlib.evaluation.intervals import (
    Interval,
    as_list,
    difference_interval,
    mean_score_interval,
    wilson_interval,
)
from visionlib.evaluation.stress.scores import ClassFall, ConditionScore, StrengthScore
from visionlib.models.model_record import load_record
from visionlib.runs import Run
from visionlib.runs.results import save_result

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
    "per_class.drop_interval": "95 % interval of the drop by the MOVER method, from the same images",
}
"""The definition of each measure, also written to `stress.json`."""


@dataclass(frozen=True, eq=False)
class StressResult:
    """A network's predictions of the same images, as they are and corrupted in many ways.

    Attributes:
        corruptions: names of those measured, each at strength 1 to 5.
        clean: whether each image is classified correctly as it is.
        is_correct: the same for each corruption, strength, and image.
        clean_confidences: probability of each image's predicted class.
        confidences: the same for each corruption, strength, and image.
        labels: classes of the images.
        index: stable ids of the images.
        classes: names.
        n_split: images of the split that these were drawn from.
        seed: of the choice of images and of the corruptions.
        temperature: divisor of the logits; None if none was fitted.
        provenance: of the network, in words.
        content_hash: of the split.
    """

    corruptions: tuple[str, ...]
    clean: Bool[Tensor, "n"]
    is_correct: Bool[Tensor, "k s n"]
    clean_confidences: Float64[Tensor, "n"]
    confidences: Float64[Tensor, "k s n"]
    labels: Int64[Tensor, "n"]
    index: Int64[Tensor, "n"]
    classes: tuple[str, ...]
    n_split: int
    seed: int
    temperature: float | None
    provenance: str
    content_hash: str

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.labels)

    @cached_property
    def clean_score(self) -> ConditionScore:
        """The measures of the images as they are."""
        return _score("none", "none", 0, self.clean, self.clean_confidences)

    @cached_property
    def conditions(self) -> tuple[ConditionScore, ...]:
        """The measures of each corruption at each strength, in order."""
        return tuple(
            _score(name, CORRUPTIONS[name].kind, strength, self.is_correct[row, at], self.confidences[row, at])
            for row, name in enumerate(self.corruptions)
            for at, strength in enumerate(STRENGTHS)
        )

    @property
    def averaged(self) -> tuple[str, ...]:
        """The corruptions that means are over: the standard ones among those measured, or else all of them."""
        standard = tuple(name for name in self.corruptions if CORRUPTIONS[name].is_standard)
        return standard or self.corruptions

    @property
    def is_complete(self) -> bool:
        """Whether all standard corruptions are measured."""
        return set(self.corruptions) >= {name for name, entry in CORRUPTIONS.items() if entry.is_standard}

    @property
    def mean_accuracy(self) -> float:
        """Mean accuracy over the averaged corruptions and the strengths."""
        return float(self._averaged(self.is_correct).mean())

    @property
    def mean_corruption_accuracy(self) -> float | None:
        """Mean accuracy over the 15 standard corruptions at 5 strengths; None unless all are measured."""
        return self.mean_accuracy if self.is_complete else None

    @cached_property
    def mean_interval(self) -> Interval:
        """95 % interval of `mean_accuracy`."""
        return _interval(self._averaged(self.is_correct).mean((0, 1)))

    @cached_property
    def by_strength(self) -> tuple[StrengthScore, ...]:
        """The means over the averaged corruptions at strength 0, which is the images as they are, to 5."""
        is_correct, confidences = self._averaged(self.is_correct), self._averaged(self.confidences)
        columns = [(self.clean[None].double(), self.clean_confidences[None])]
        columns += [(is_correct[:, at], confidences[:, at]) for at in range(len(STRENGTHS))]
        return tuple(
            StrengthScore(
                strength, float(right.mean()), _interval(right.mean(0)), *_calibrate(right.bool(), confidence)
            )
            for strength, (right, confidence) in enumerate(columns)
        )

    @cached_property
    def per_class(self) -> tuple[ClassFall, ...]:
        """The loss of accuracy of each class that has images, the largest first."""
        labels = range(len(self.classes))
        falls = [self._measure_fall(label) for label in labels if bool((self.labels == label).any())]
        return tuple(sorted(falls, key=lambda fall: -fall.drop))

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "n": self.n,
            "n_split": self.n_split,
            "seed": self.seed,
            "network": self.provenance,
            "temperature": self.temperature,
            "clean": self.clean_score.to_dict(),
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
        """Write `stress.json`, with the hashes of the weights and of the split.

        Raises:
            RunError: if the run is unfinished, or cannot be written to.
        """
        hashes = {"content_hash": self.content_hash, "weights_sha256": load_record(run).weights_sha256}
        save_result(run.stress, {"split": "test", **hashes, **self.to_dict()})

    def _averaged(self, values: Tensor) -> Tensor:
        rows = [self.corruptions.index(name) for name in self.averaged]
        return values[rows].double()

    def _measure_fall(self, label: int) -> ClassFall:
        of_class = self.labels == label
        clean, right = self.clean[of_class].double(), self._averaged(self.is_correct)[:, :, of_class]
        scores, by_corruption = right.mean((0, 1)), right.mean((1, 2))
        n, correct = len(clean), int(clean.sum())
        interval = wilson_interval(correct, n)
        assert interval is not None
        worst = int(by_corruption.argmin())
        first, second = (correct / n, interval), (float(scores.mean()), _interval(scores))
        return ClassFall(
            name=self.classes[label],
            n=n,
            clean_accuracy=correct / n,
            accuracies=tuple(right.mean((0, 2)).tolist()),
            drop=first[0] - second[0],
            drop_interval=difference_interval(first, second, _correlate(clean, scores)),
            worst_corruption=self.averaged[worst],
            worst_accuracy=float(by_corruption[worst]),
        )

    def _repr_html_(self) -> str:
        """Return the table for a notebook."""
        from visionlib.evaluation.stress.cells import to_html

        return to_html(self)


def _score(
    name: str, kind: str, strength: int, is_correct: Bool[Tensor, "n"], confidences: Float64[Tensor, "n"]
) -> ConditionScore:
    calibration = _calibrate(is_correct, confidences)
    return ConditionScore(name, kind, strength, len(is_correct), int(is_correct.sum()), *calibration)


def _calibrate(is_correct: Bool[Tensor, "*n"], confidences: Float64[Tensor, "*n"]) -> tuple[float, float]:
    """Return the mean confidence and the expected calibration error of at least one prediction."""
    bins = fill_bins(confidences.flatten().numpy(), is_correct.flatten().numpy())
    calibration = Calibration(None, None, bins)
    assert calibration.mean_confidence is not None
    assert calibration.ece is not None
    return calibration.mean_confidence, calibration.ece


def _interval(scores: Float64[Tensor, "n"]) -> Interval:
    interval = mean_score_interval(scores.tolist())
    assert interval is not None
    return interval


def _correlate(first: Float64[Tensor, "n"], second: Float64[Tensor, "n"]) -> float:
    """Return Pearson's correlation; 0 where one of them does not vary."""
    if len(first) < 2 or not bool(first.std() > 0) or not bool(second.std() > 0):
        return 0.0
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1].clamp(-1, 1))
