"""`score_logits`: the `Evaluation` of logits and labels, without a network and without images."""

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor

from visionlib.evaluation.calibration import Calibration, find_confidences, measure_calibration
from visionlib.evaluation.confusion import count_confusions
from visionlib.evaluation.coverage import measure_risk_coverage
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.temperature import HeldOut, TemperatureScaling
from visionlib.inference.predictions import check_predictions
from visionlib.inference.temperature import fit_temperature

NONE_HELD_OUT = (
    "no images were held out of the training images to fit one on; train with --validation-fraction 0.1 to get it"
)
_TOP = 5


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
        logits: a row per image; its largest logit is the prediction, the first of equals.
        labels: positions in `classes`.
        classes: a name for each column of the logits; there may be classes without images.
        mirror_logits: of the mirror images, to score the average of both as well.
        held_out: images to fit a temperature on.
        note: the reason for a missing temperature where `held_out` is not given.
    Raises:
        RunError: if the classes do not fit the logits or the labels, or a logit is not a number.
    """
    logits, labels = logits.detach().cpu(), labels.cpu()
    check_predictions(logits, labels, classes)
    mirror_correct = None
    if mirror_logits is not None:
        mirror_logits = mirror_logits.detach().cpu()
        check_predictions(mirror_logits, labels, classes)
        mirror_correct = int(((logits + mirror_logits).argmax(1) == labels).sum())
    predicted = logits.argmax(1)
    precise = logits.double()
    calibration = measure_calibration(precise, labels)
    temperature = None
    if held_out is not None:
        check_predictions(*held_out, classes)
        temperature, note = _scale(precise, labels, calibration, held_out)
    return Evaluation(
        confusion=count_confusions(labels, predicted, classes),
        calibration=calibration,
        coverage=measure_risk_coverage(find_confidences(precise), predicted == labels),
        top5_correct=count_top_k(logits, labels, _TOP),
        mirror_correct=mirror_correct,
        temperature=temperature,
        temperature_note=note,
    )


def count_top_k(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"], top: int) -> int | None:
    """Count the images whose true class is among the `top` largest logits, the first of equals counting as larger.

    scikit-learn's `top_k_accuracy_score` breaks ties the other way, unlike the prediction.

    Returns:
        Number of images; None for no more than `top` classes, where it would be all.
    """
    if logits.shape[1] <= top:
        return None
    true = logits.gather(1, labels[:, None])
    is_before = (logits > true) | ((logits == true) & (torch.arange(logits.shape[1]) < labels[:, None]))
    return int((is_before.sum(1) < top).sum())


def _scale(
    logits: Float64[Tensor, "n k"], labels: Int64[Tensor, "n"], before: Calibration, held_out: HeldOut
) -> tuple[TemperatureScaling | None, str]:
    """Fit a temperature on the held-out images and measure its effect on the others, or explain why there is none."""
    n = len(held_out[1])
    if not n:
        return None, NONE_HELD_OUT
    if not len(labels):
        return None, "there are no images to measure it on"
    temperature = fit_temperature(held_out[0].detach().cpu().double(), held_out[1].cpu())
    if temperature is None:
        reason = "the network is right about all of them, or right by chance alone; hold out more"
        return None, f"none is best for the {n:,} images held out: {reason}"
    return TemperatureScaling(temperature, n, before, measure_calibration(logits / temperature, labels)), ""
