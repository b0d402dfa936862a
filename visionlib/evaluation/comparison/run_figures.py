"""What a run comes to by itself: the figures that a comparison lays side by side."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import torch
import torch.nn.functional as F

from visionlib.errors import ModelError
from visionlib.evaluation.comparison.paired import Interval
from visionlib.evaluation.intervals import CONFIDENCE, wilson_interval
from visionlib.inference.predictions import StoredPredictions
from visionlib.inference.trained_model import ModelRecord
from visionlib.models import build_model
from visionlib.runs import read_json


@dataclass(frozen=True)
class RunFigures:
    """What a run comes to by itself.

    Attributes:
        name: what it is called here: its folder's name, or its path where names are alike.
        path: its folder.
        model: its network.
        n: test images.
        correct: how many of them are right, by the logits of the images as they are.
        mirror_correct: how many are right with the logits of the mirror images averaged in.
        loss: cross-entropy in nats, the mean over images; None for no images.
        loss_interval: 95 % interval of that mean, by its standard error; None for fewer than two images.
        parameters: of the network that can be learned; None if it cannot be built here.
        training_seconds: None where the run does not tell.
        epochs: that it was trained for; None where the run does not tell.
        seed: of its training; None where the run does not tell.
    """

    name: str
    path: str
    model: str
    n: int
    correct: int
    mirror_correct: int
    loss: float | None
    loss_interval: Interval | None
    parameters: int | None
    training_seconds: float | None
    epochs: int | None
    seed: int | None

    @property
    def accuracy(self) -> float | None:
        """Share that is right; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def mirror_accuracy(self) -> float | None:
        """Share that is right with mirror averaging; None for no images."""
        return self.mirror_correct / self.n if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON."""
        return {
            "name": self.name,
            "run": self.path,
            "model": self.model,
            "n": self.n,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "confidence_interval": as_list(wilson_interval(self.correct, self.n)),
            "mirror_accuracy": self.mirror_accuracy,
            "mirror_confidence_interval": as_list(wilson_interval(self.mirror_correct, self.n)),
            "loss": self.loss,
            "loss_interval": as_list(self.loss_interval),
            "parameters": self.parameters,
            "training_seconds": self.training_seconds,
            "epochs": self.epochs,
            "seed": self.seed,
        }


def measure_run(kept: StoredPredictions, name: str) -> RunFigures:
    """Give a run's figures.

    Args:
        kept: its predictions.
        name: what to call it.
    Raises:
        RunError: if its records are damaged.
    """
    labels = kept.labels
    config = read_json(kept.run.config).get("config", {})
    training = read_json(kept.run.training) if kept.run.training.is_file() else {}
    mirrored, _ = kept.predictions.choose_logits(is_mirrored=True)
    losses = F.cross_entropy(kept.predictions.logits.double(), labels, reduction="none")
    loss, interval = (losses.mean().item() if len(labels) else None), None
    if loss is not None and len(labels) > 1:
        reach = NormalDist().inv_cdf((1 + CONFIDENCE) / 2) * losses.std().item() / math.sqrt(len(labels))
        interval = (loss - reach, loss + reach)
    return RunFigures(
        name=name,
        path=str(kept.run.path),
        model=kept.record.model,
        n=len(labels),
        correct=int((kept.predictions.logits.argmax(1) == labels).sum()),
        mirror_correct=int((mirrored.argmax(1) == labels).sum()),
        loss=loss,
        loss_interval=interval,
        parameters=_count_parameters(kept.record),
        training_seconds=training.get("seconds_training"),
        epochs=training.get("epochs"),
        seed=config.get("seed"),
    )


def _count_parameters(record: ModelRecord) -> int | None:
    """Count what can be learned, without making room for it; None for a network that cannot be built here."""
    try:
        with torch.device("meta"):
            model = build_model(record.model, classes=len(record.classes), channels=record.channels)
    except ModelError:
        return None
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def as_list(interval: Interval | None) -> list[float] | None:
    """Give an interval as JSON has it."""
    return None if interval is None else list(interval)
