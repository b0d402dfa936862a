"""The metrics of one run that a comparison prints side by side."""

import math
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F

from visionlib.evaluation.intervals import Interval, as_list, normal_quantile, wilson_interval
from visionlib.inference.predictions import StoredPredictions
from visionlib.inference.run_model import load_summary
from visionlib.runs import read_config, read_training


@dataclass(frozen=True)
class RunMetrics:
    """The metrics of one run.

    Attributes:
        name: of its folder; its path where another run's folder has the same name.
        path: of its folder.
        model: name of the network.
        n: number of test images.
        correct: number of correct predictions.
        mirror_correct: number of correct predictions with the logits of the mirror images averaged in.
        loss: cross-entropy in nats, the mean over images; None for no images.
        loss_interval: 95 % interval of that mean, by its standard error; None for fewer than two images.
        parameters: trainable parameters by the run's `summary.json`; None where the run has none.
        training_seconds: of training; None where the run does not record it.
        epochs: of the training, the last one perhaps a part; None where the run does not record it.
        seed: of the training; None where the run does not record it.
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
    epochs: float | None
    seed: int | None

    @property
    def accuracy(self) -> float | None:
        """Fraction of correct predictions; None for no images."""
        return self.correct / self.n if self.n else None

    @property
    def mirror_accuracy(self) -> float | None:
        """Fraction of correct predictions with mirror averaging; None for no images."""
        return self.mirror_correct / self.n if self.n else None

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
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


def measure_run(stored: StoredPredictions, name: str) -> RunMetrics:
    """Compute a run's metrics from its records; the network is not built, so that no user code is imported.

    Raises:
        RunError: if its records are damaged.
    """
    run, labels, logits = stored.run, stored.labels, stored.predictions.logits
    config, training = read_config(run), read_training(run)
    mirror_averaged, _ = stored.predictions.choose_logits(is_mirrored=True)
    losses = F.cross_entropy(logits.double(), labels, reduction="none")
    loss, interval = (losses.mean().item() if len(labels) else None), None
    if loss is not None and len(labels) > 1:
        reach = normal_quantile() * losses.std().item() / math.sqrt(len(labels))
        interval = (loss - reach, loss + reach)
    return RunMetrics(
        name=name,
        path=str(run.path),
        model=stored.record.model,
        n=len(labels),
        correct=int((logits.argmax(1) == labels).sum()),
        mirror_correct=int((mirror_averaged.argmax(1) == labels).sum()),
        loss=loss,
        loss_interval=interval,
        parameters=load_summary(run).trainable_params if run.summary.is_file() else None,
        training_seconds=None if training is None else training.seconds_training,
        epochs=None if training is None else training.epochs,
        seed=None if config.imported else config.config.seed,
    )
