"""`Answers`: whether a network is right about each image under each corruption; the measures follow from them."""

from dataclasses import dataclass

from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from visionlib.data.corruption import CORRUPTIONS, STRENGTHS
from visionlib.evaluation.calibration import Calibration, fill_bins
from visionlib.evaluation.intervals import Interval, mean_difference_interval, mean_score_interval
from visionlib.evaluation.stress.result import StressResult
from visionlib.evaluation.stress.scores import ClassFall, ConditionScore, StrengthScore


@dataclass(frozen=True, eq=False)
class Answers:
    """A network's predictions of the same images, as they are and corrupted in many ways.

    Attributes:
        corruptions: names of those measured, each at strength 1 to 5.
        labels: classes of the images, at least one.
        clean: whether each image is classified correctly as it is.
        is_correct: the same for each corruption, strength and image.
        clean_confidences: probability of each image's predicted class.
        confidences: the same for each corruption, strength and image.
    """

    corruptions: tuple[str, ...]
    labels: Int64[Tensor, "n"]
    clean: Bool[Tensor, "n"]
    is_correct: Bool[Tensor, "k s n"]
    clean_confidences: Float64[Tensor, "n"]
    confidences: Float64[Tensor, "k s n"]

    @property
    def averaged(self) -> tuple[str, ...]:
        """The corruptions that means are over: the standard ones among those measured, or else all of them."""
        standard = tuple(name for name in self.corruptions if CORRUPTIONS[name].is_standard)
        return standard or self.corruptions

    def summarize(
        self,
        classes: tuple[str, ...],
        *,
        n_split: int,
        seed: int,
        network: str,
        source: str,
        temperature: float | None,
        content_hash: str,
    ) -> StressResult:
        """Measure all that `StressResult` holds, whose attributes the arguments are; `classes` are names."""
        scores = self._select(self.is_correct).double().mean((0, 1))
        return StressResult(
            n=len(self.labels),
            n_split=n_split,
            seed=seed,
            network=network,
            source=source,
            temperature=temperature,
            content_hash=content_hash,
            clean=_score("none", "none", 0, self.clean, self.clean_confidences),
            conditions=self._score_conditions(),
            averaged=self.averaged,
            mean_accuracy=float(scores.mean()),
            mean_interval=_interval(scores),
            by_strength=self._average_by_strength(),
            per_class=self._measure_falls(classes),
        )

    def _score_conditions(self) -> tuple[ConditionScore, ...]:
        """Score each corruption at each strength."""
        return tuple(
            _score(name, CORRUPTIONS[name].kind, strength, self.is_correct[row, at], self.confidences[row, at])
            for row, name in enumerate(self.corruptions)
            for at, strength in enumerate(STRENGTHS)
        )

    def _average_by_strength(self) -> tuple[StrengthScore, ...]:
        """Average over the averaged corruptions at strength 0, which is the images as they are, to 5."""
        is_correct, confidences = self._select(self.is_correct), self._select(self.confidences)
        pairs = [(self.clean[None], self.clean_confidences[None])]
        pairs += [(is_correct[:, at], confidences[:, at]) for at in range(len(STRENGTHS))]
        scores = [right.double().mean(0) for right, _ in pairs]
        return tuple(
            StrengthScore(strength, float(score.mean()), _interval(score), *_calibrate(*pair))
            for strength, (score, pair) in enumerate(zip(scores, pairs, strict=True))
        )

    def _measure_falls(self, classes: tuple[str, ...]) -> tuple[ClassFall, ...]:
        """Measure the loss of accuracy of each class that has images; the largest comes first."""
        present = sorted(set(self.labels.tolist()))
        return tuple(
            sorted((self._measure_fall(label, classes[label]) for label in present), key=lambda one: -one.drop)
        )

    def _measure_fall(self, label: int, name: str) -> ClassFall:
        of_class = self.labels == label
        clean, right = self.clean[of_class].double(), self._select(self.is_correct)[:, :, of_class].double()
        scores, by_corruption = right.mean((0, 1)), right.mean((1, 2))
        interval, worst = mean_difference_interval((clean - scores).tolist()), int(by_corruption.argmin())
        assert interval is not None
        clean_accuracy = float(clean.mean())
        return ClassFall(
            name=name,
            n=len(clean),
            clean_accuracy=clean_accuracy,
            accuracies=tuple(right.mean((0, 2)).tolist()),
            drop=clean_accuracy - float(scores.mean()),
            drop_interval=interval,
            worst_corruption=self.averaged[worst],
            worst_accuracy=float(by_corruption[worst]),
        )

    def _select(self, values: Tensor) -> Tensor:
        return values[[self.corruptions.index(name) for name in self.averaged]]


def _score(
    name: str, kind: str, strength: int, is_correct: Bool[Tensor, "n"], confidences: Float64[Tensor, "n"]
) -> ConditionScore:
    calibration = _calibrate(is_correct, confidences)
    return ConditionScore(name, kind, strength, len(is_correct), int(is_correct.sum()), *calibration)


def _calibrate(is_correct: Bool[Tensor, "*n"], confidences: Float64[Tensor, "*n"]) -> tuple[float, float]:
    """Return the mean confidence and the expected calibration error of at least one prediction."""
    calibration = Calibration(None, None, fill_bins(confidences.flatten().numpy(), is_correct.flatten().numpy()))
    assert calibration.mean_confidence is not None
    assert calibration.ece is not None
    return min(1.0, calibration.mean_confidence), calibration.ece


def _interval(scores: Float64[Tensor, "n"]) -> Interval:
    interval = mean_score_interval(scores.tolist())
    assert interval is not None
    return interval
