"""An evaluation in words: what stands in its table and below, on a terminal as in a notebook."""

from dataclasses import dataclass

from visionlib.data.class_names import embed_name, tidy_name
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.intervals import Interval
from visionlib.evaluation.temperature import TemperatureScaling

HEADERS = ("class", "n", "accuracy", "95 % interval", "precision", "F1")
LEGEND = (
    "accuracy of a class is its recall; precision is the share of what is taken for the class that is of it; "
    "intervals are Wilson's, of 95 %"
)
UNKNOWN = "n/a"
_PAIRS = 5
_COVERAGE = 0.8


@dataclass(frozen=True)
class Figure:
    """One figure of the split as a whole.

    Attributes:
        name: what it is called.
        value: the figure itself; `n/a` where nothing is known.
        meaning: what it says, or why it is not known.
    """

    name: str
    value: str
    meaning: str


def class_rows(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Give the cells of each class, below `HEADERS`."""
    return [
        (
            tidy_name(entry.name),
            f"{entry.n:,}",
            _percent(entry.accuracy),
            _span(entry.confidence_interval),
            _percent(entry.precision),
            _number(entry.f1, 3),
        )
        for entry in evaluation.per_class
    ]


def overall_row(evaluation: Evaluation) -> tuple[str, ...]:
    """Give the cells of the split as a whole, below `HEADERS`."""
    accuracy = (_percent(evaluation.accuracy), _span(evaluation.confidence_interval))
    return ("overall", f"{evaluation.n:,}", *accuracy, "", "")


def overall_figures(evaluation: Evaluation) -> list[Figure]:
    """Give the figures below the table."""
    calibration, coverage = evaluation.calibration, evaluation.coverage
    figures = [
        Figure("balanced accuracy", _percent(evaluation.balanced_accuracy), "mean over the classes that have images"),
        Figure("macro F1", _number(evaluation.macro_f1, 3), "the same of F1"),
        Figure("loss", _number(calibration.loss, 4), _tell_loss(evaluation)),
        Figure("calibration error", _number(calibration.ece, 4), _tell_calibration(evaluation)),
        Figure("Brier score", _number(calibration.brier_score, 4), "0 is certainty that is right, 2 that is wrong"),
        Figure("risk-coverage area", _number(coverage.area, 4), _tell_coverage(evaluation)),
        _tell_temperature(evaluation.temperature, evaluation.temperature_note),
    ]
    if evaluation.mirror_correct is not None:
        told = f"{_told(evaluation.mirror_interval)}of image and mirror image; all else is without"
        figures.insert(0, Figure("with mirror averaging", _percent(evaluation.mirror_accuracy), told))
    if evaluation.top5_correct is not None:
        told = f"{_told(evaluation.top5_interval)}the class is among the five likeliest"
        figures.insert(0, Figure("top-5 accuracy", _percent(evaluation.top5_accuracy), told))
    return figures


def confused_pairs(evaluation: Evaluation) -> list[str]:
    """Tell the most confused pairs of classes, a line each."""
    return [
        f"{embed_name(pair.true)} taken for {embed_name(pair.predicted)}: "
        f"{pair.count:,} of {pair.n:,} ({pair.share:.1%}, {_span(pair.confidence_interval)})"
        for pair in evaluation.confusion.find_confused_pairs(_PAIRS)
    ]


def _tell_loss(evaluation: Evaluation) -> str:
    return f"nats, the mean over {evaluation.n:,} images: the negative log-likelihood"


def _tell_calibration(evaluation: Evaluation) -> str:
    confidence, accuracy = evaluation.calibration.mean_confidence, evaluation.accuracy
    definition = f"ECE: predicted class, {len(evaluation.calibration.bins)} bins of equal width"
    if confidence is None or accuracy is None:
        return definition
    return f"{definition}; it claims {confidence:.1%} on average and is right in {accuracy:.1%}"


def _tell_coverage(evaluation: Evaluation) -> str:
    point = evaluation.coverage.at(_COVERAGE)
    if point is None or evaluation.accuracy is None:
        return "mean share wrong over all coverages"
    return (
        f"answering the surest {point.coverage:.0%} alone leaves {point.risk:.1%} of them wrong, "
        f"of all it is {1 - evaluation.accuracy:.1%}"
    )


def _tell_temperature(scaling: TemperatureScaling | None, note: str) -> Figure:
    if scaling is None:
        return Figure("temperature", UNKNOWN, note)
    before, after = scaling.before, scaling.after
    changes = [
        f"{name} from {_number(old, 4)} to {_number(new, 4)}"
        for name, old, new in (
            ("loss", before.loss, after.loss),
            ("calibration error", before.ece, after.ece),
            ("Brier score", before.brier_score, after.brier_score),
        )
    ]
    told = f"fitted on {scaling.n:,} training images held out; dividing the logits by it takes {', '.join(changes)}"
    return Figure("temperature", _number(scaling.temperature, 3), told)


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.2%}"


def _number(figure: float | None, digits: int) -> str:
    return UNKNOWN if figure is None else f"{figure:.{digits}f}"


def _span(interval: Interval | None) -> str:
    return UNKNOWN if interval is None else f"{interval[0]:.1%} - {interval[1]:.1%}"


def _told(interval: Interval | None) -> str:
    return "" if interval is None else f"{_span(interval)}; "
