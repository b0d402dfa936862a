"""`score_logits`: from logits and labels to an `Evaluation`; no network and no image is needed."""

from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from visionlib.errors import RunError
from visionlib.evaluation.calibration import Calibration, find_confidences, measure_calibration
from visionlib.evaluation.confusion import count_confusions
from visionlib.evaluation.coverage import measure_risk_coverage
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.ranking import count_among_best
from visionlib.evaluation.temperature import TemperatureScaling, fit_temperature

NONE_HELD_OUT = (
    "no images were held out of the training images to fit one on; train with --validation-fraction 0.1 to get it"
)
HeldOut = tuple[Float32[Tensor, "_ m"], Int64[Tensor, "_"]]
"""Logits and labels of images that were held out of the training images."""
_BEST_OF = 5


def score_logits(
    logits: Float32[Tensor, "n k"],
    labels: Int64[Tensor, "n"],
    classes: tuple[str, ...],
    *,
    mirror_logits: Float32[Tensor, "n k"] | None = None,
    held_out: HeldOut | None = None,
    note: str = NONE_HELD_OUT,
) -> Evaluation:
    """Score predictions against labels.

    Args:
        logits: one row per image; the largest is the prediction, the first of equals.
        labels: positions in `classes`.
        classes: as many names as logits have columns; those without images are told as such.
        mirror_logits: of the mirrored images, to score the average of both as well.
        held_out: what to fit a temperature on.
        note: why there is no temperature where `held_out` is not given.
    Raises:
        RunError: if the classes do not fit the logits or the labels, or a logit is not a number.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    _check(logits, labels, classes)
    mirror_correct = None
    if mirror_logits is not None:
        mirror_logits = mirror_logits.detach().cpu()
        _check(mirror_logits, labels, classes)
        mirror_correct = int(((logits + mirror_logits).argmax(1) == labels).sum())
    predicted = logits.argmax(1)
    wide = logits.double()
    calibration = measure_calibration(wide, labels)
    temperature = None
    if held_out is not None:
        _check(*held_out, classes)
        temperature, note = _scale(wide, labels, calibration, held_out)
    return Evaluation(
        confusion=count_confusions(labels, predicted, classes),
        calibration=calibration,
        coverage=measure_risk_coverage(find_confidences(wide), predicted == labels),
        top5_correct=count_among_best(logits, labels, _BEST_OF),
        mirror_correct=mirror_correct,
        temperature=temperature,
        temperature_note=note,
    )


def _scale(
    logits: Float64[Tensor, "n k"], labels: Int64[Tensor, "n"], before: Calibration, held_out: HeldOut
) -> tuple[TemperatureScaling | None, str]:
    """Fit a temperature on images held out, and measure what it does to the others; or say why there is none."""
    n = len(held_out[1])
    if not n:
        return None, NONE_HELD_OUT
    if not len(labels):
        return None, "there are no images to measure it on"
    temperature = fit_temperature(held_out[0].detach().cpu().double(), held_out[1].cpu())
    if temperature is None:
        told = "the network is right about all of them, or right by chance alone; hold out more"
        return None, f"none is best for the {n:,} images held out: {told}"
    return TemperatureScaling(temperature, n, before, measure_calibration(logits / temperature, labels)), ""


def _check(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "m"], classes: tuple[str, ...]) -> None:
    remedy = "score with the run's own data"
    if len(logits) != len(labels):
        raise RunError("logits", f"are of {len(logits)} images for {len(labels)} labels", remedy)
    if logits.shape[1] != len(classes):
        raise RunError("logits", f"have {logits.shape[1]} columns for {len(classes)} classes", remedy)
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        told = f"are {int(labels.min())}..{int(labels.max())} for {len(classes)} classes"
        raise RunError("labels", told, remedy)
    if not bool(logits.isfinite().all()):
        raise RunError("logits", "hold values that are not numbers", "the network is broken; train it again")
