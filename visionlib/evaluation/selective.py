"""Selective test-time averaging: six views of the images that a network is unsure of, one of all others."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float32, Int64, UInt8
from torch import Tensor

from visionlib.data.augmentation import mirror_images
from visionlib.data.augmentation.crop import shift_images
from visionlib.errors import ConfigError
from visionlib.evaluation.calibration import find_confidences
from visionlib.evaluation.intervals import Interval, as_list, wilson_interval
from visionlib.evaluation.temperature import HeldOut
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.trained_model import TrainedModel

VIEWS = 6
_FALLBACK = 0.9
"""The confidence where no held-out images tell one."""


@dataclass(frozen=True)
class Threshold:
    """The confidence up to which an image gets more views.

    Attributes:
        confidence: of the image alone, the probability of the predicted class.
        n: held-out images that it was chosen on; 0 for the fixed fallback.
        source: where it comes from, in words.
    """

    confidence: float
    n: int
    source: str


@dataclass(frozen=True)
class SelectiveAveraging:
    """The accuracy with six views of the unsure images.

    Attributes:
        threshold: images of at most this confidence get six views.
        n: number of images.
        selected: those that got six views.
        correct: correct predictions.
    """

    threshold: Threshold
    n: int
    selected: int
    correct: int

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct predictions; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def interval(self) -> Interval | None:
        """95 % Wilson interval of the accuracy; None for no images."""
        return wilson_interval(self.correct, self.n)

    @property
    def passes_per_image(self) -> float | None:
        """Forward passes per image, the mean: one, and five more for each that was selected; None for no images."""
        return 1 + (VIEWS - 1) * self.selected / self.n if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "accuracy": self.accuracy,
            "confidence_interval": as_list(self.interval),
            "n": self.n,
            "correct": self.correct,
            "views": VIEWS,
            "selected": self.selected,
            "passes_per_image": self.passes_per_image,
            "threshold": self.threshold.confidence,
            "threshold_n": self.threshold.n,
            "threshold_source": self.threshold.source,
        }


def choose_threshold(held_out: HeldOut | None) -> Threshold:
    """Choose the lowest confidence that nine tenths of the wrong predictions on held-out images do not exceed.

    More views can change a prediction only where they are made; those above are not reached. The held-out images need
    no views of their own for it. Without held-out images, or errors on them, it is a fixed 0.9.
    """
    if held_out is None or not len(held_out[1]):
        return Threshold(_FALLBACK, 0, "fixed: no training images were held out to choose it on")
    logits, labels = held_out[0].double(), held_out[1]
    wrong = find_confidences(logits)[logits.argmax(1) != labels].sort().values
    if not len(wrong):
        return Threshold(_FALLBACK, 0, "fixed: no prediction on the held-out images is wrong")
    reached = -(-len(wrong) * 9 // 10)
    return Threshold(
        float(wrong[reached - 1]), len(labels), "nine tenths of the errors on held-out training images lie at or below"
    )


def select_unsure(logits: Float32[Tensor, "n k"], threshold: Threshold) -> Bool[Tensor, "n"]:
    """Return whether each image gets more views."""
    return find_confidences(logits.double()) <= threshold.confidence


def average_views(
    model: TrainedModel, images: UInt8[Tensor, "n c h w"], logits: Float32[Tensor, "n k"], *, batch_size: int = 250
) -> Float32[Tensor, "n k"]:
    """Average the logits of six views: the image, shifted by a pixel up left and down right, and the mirror images.

    Args:
        model: predicts the five others.
        images: pixels as stored.
        logits: of the images themselves.
        batch_size: images per forward pass.
    Returns:
        The mean; a shifted view counts half as much as one that is not.
    Raises:
        ConfigError: if the images are a single pixel high or wide.
    Source: Jordan 2024, arXiv:2404.00498, section 3.6.
    """
    if min(images.shape[2:]) < 2:
        raise ConfigError("images", "cannot be shifted, they are a pixel high or wide", "leave --selective out")
    total = logits.clone()
    with compute_environment(choose_compute(str(model.device), model.precision)):
        for offset in (0, 1, -1):
            offsets = torch.full((len(images), 2), offset, device=images.device)
            view = shift_images(images, offsets, 1) if offset else images
            weight = 0.5 if offset else 1.0
            for each in ([view] if offset else []) + [mirror_images(view)]:
                total += weight * model.predict(each, batch_size=batch_size).logits.cpu()
    return total / 4


def score_selectively(
    model: TrainedModel,
    images: UInt8[Tensor, "n c h w"],
    labels: Int64[Tensor, "n"],
    logits: Float32[Tensor, "n k"],
    threshold: Threshold,
    *,
    batch_size: int = 250,
) -> SelectiveAveraging:
    """Predict the unsure images by six views, and score all.

    Args:
        model: predicts the views.
        images: pixels as stored.
        labels: positions in the classes.
        logits: of the images themselves, which decide which images are unsure.
        threshold: never chosen on these images.
        batch_size: images per forward pass.
    """
    is_unsure = select_unsure(logits, threshold)
    predicted = logits.argmax(1)
    if bool(is_unsure.any()):
        averaged = average_views(model, images[is_unsure.to(images.device)], logits[is_unsure], batch_size=batch_size)
        predicted[is_unsure] = averaged.argmax(1)
    return SelectiveAveraging(threshold, len(labels), int(is_unsure.sum()), int((predicted == labels.cpu()).sum()))
