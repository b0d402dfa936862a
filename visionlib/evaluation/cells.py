"""An evaluation as the cells of its tables, the same on a terminal and in a notebook."""

from dataclasses import dataclass

from visionlib.data.class_names import embed_name, tidy_name
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.intervals import Interval
from visionlib.evaluation.selective import SelectiveAveraging
from visionlib.evaluation.temperature import TemperatureScaling
from visionlib.evaluation.wording import UNKNOWN, interval, number, percent

HEADERS = ("class", "n", "accuracy", "95 % interval", "precision", "F1")
LEGEND = (
    "accuracy of a class is its recall; precision is the fraction of the images predicted as the class that belong to "
    "it; intervals are Wilson's, of 95 %; that of the balanced accuracy combines those of the classes"
)
_PAIRS = 5
_COVERAGE = 0.8


@dataclass(frozen=True)
class Measure:
    """One measure of the whole split, as text.

    Attributes:
        name: of the measure.
        value: `n/a` where it is unknown.
        meaning: the definition, or the reason why the value is unknown.
    """

    name: str
    value: str
    meaning: str


def class_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return the cells of each class, below `HEADERS`."""
    return [
        (
            tidy_name(entry.name),
            f"{entry.n:,}",
            percent(entry.accuracy, 2),
            interval(entry.confidence_interval),
            percent(entry.precision, 2),
            number(entry.f1, 3),
        )
        for entry in evaluation.per_class
    ]


def overall_row(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the cells of the whole split, below `HEADERS`."""
    accuracy = (percent(evaluation.accuracy, 2), interval(evaluation.confidence_interval))
    return ("overall", f"{evaluation.n:,}", *accuracy, "", "")


def overall_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Return the row of the whole split and, where classes differ in size, that of the mean over the classes."""
    if evaluation.is_balanced:
        return [overall_row(evaluation)]
    balanced = (percent(evaluation.balanced_accuracy, 2), interval(evaluation.balanced_interval))
    return [overall_row(evaluation), ("balanced", "", *balanced, "", number(evaluation.macro_f1, 3))]


def overall_measures(evaluation: Evaluation) -> list[Measure]:
    """Return the measures below the table."""
    calibration, coverage = evaluation.calibration, evaluation.coverage
    measures = [
        Measure(
            "balanced accuracy",
            percent(evaluation.balanced_accuracy, 2),
            f"{_prefix(evaluation.balanced_interval)}mean over the classes with images",
        ),
        Measure("macro F1", number(evaluation.macro_f1, 3), "mean of F1 over the classes with images"),
        Measure(
            "loss",
            number(calibration.loss, 4),
            f"nats, the mean over {evaluation.n:,} images: the negative log-likelihood",
        ),
        Measure("calibration error", number(calibration.ece, 4), _describe_calibration(evaluation)),
        Measure("Brier score", number(calibration.brier_score, 4), "0 if certain and correct, 2 if certain and wrong"),
        Measure("risk-coverage area", number(coverage.area, 4), _describe_coverage(evaluation)),
        _temperature_measure(evaluation.temperature, evaluation.temperature_note),
    ]
    if (views := evaluation.selective) is not None:
        measures.insert(0, _selective_measure(views))
    if evaluation.mirror_correct is not None:
        meaning = f"{_prefix(evaluation.mirror_interval)}logits of image and mirror image; all else is without"
        measures.insert(0, Measure("with mirror averaging", percent(evaluation.mirror_accuracy, 2), meaning))
    if evaluation.top5_correct is not None:
        meaning = f"{_prefix(evaluation.top5_interval)}the class is among the five largest logits"
        measures.insert(0, Measure("top-5 accuracy", percent(evaluation.top5_accuracy, 2), meaning))
    return measures


def confused_pairs(evaluation: Evaluation) -> list[str]:
    """Describe the most confused pairs of classes, a line each."""
    return [
        f"{embed_name(pair.true)} taken for {embed_name(pair.predicted)}: "
        f"{pair.count:,} of {pair.n:,} ({percent(pair.share)}, {interval(pair.confidence_interval)})"
        for pair in evaluation.confusion.find_confused_pairs(_PAIRS)
    ]


def _describe_calibration(evaluation: Evaluation) -> str:
    confidence, accuracy = evaluation.calibration.mean_confidence, evaluation.accuracy
    definition = f"ECE: predicted class, {len(evaluation.calibration.bins)} bins of equal width"
    if confidence is None or accuracy is None:
        return definition
    return f"{definition}; mean confidence {percent(confidence)}, accuracy {percent(accuracy)}"


def _describe_coverage(evaluation: Evaluation) -> str:
    point = evaluation.coverage.at(_COVERAGE)
    if point is None or evaluation.accuracy is None:
        return "mean error rate over all coverages"
    return (
        f"error rate {percent(point.risk)} of the most confident {percent(point.coverage, 0)}, "
        f"{percent(1 - evaluation.accuracy)} of all"
    )


def _temperature_measure(scaling: TemperatureScaling | None, note: str) -> Measure:
    if scaling is None:
        return Measure("temperature", UNKNOWN, note)
    before, after = scaling.before, scaling.after
    changes = [
        f"{name} from {number(old, 4)} to {number(new, 4)}"
        for name, old, new in (
            ("loss", before.loss, after.loss),
            ("calibration error", before.ece, after.ece),
            ("Brier score", before.brier_score, after.brier_score),
        )
    ]
    meaning = f"fitted on {scaling.n:,} held-out training images; dividing the logits by it takes {', '.join(changes)}"
    return Measure("temperature", number(scaling.temperature, 3), meaning)


def _selective_measure(views: SelectiveAveraging) -> Measure:
    threshold = views.threshold
    origin = f"{threshold.source} (n = {threshold.n:,})" if threshold.n else threshold.source
    meaning = (
        f"{_prefix(views.interval)}six views of the {views.selected:,} images of a confidence of at most "
        f"{threshold.confidence:.3f}, {number(views.passes_per_image, 2)} passes an image; threshold: {origin}"
    )
    return Measure("with selective views", percent(views.accuracy, 2), meaning)


def _prefix(bounds: Interval | None) -> str:
    return "" if bounds is None else f"{interval(bounds)}; "
