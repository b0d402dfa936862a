"""The calibration of test images without and with the temperature that was fitted on held-out training images."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float32, Int64
from torch import Tensor

from visionlib.evaluation.calibration import Calibration

HeldOut = tuple[Float32[Tensor, "_ m"], Int64[Tensor, "_"]]
"""Logits and labels of held-out training images."""


@dataclass(frozen=True)
class TemperatureScaling:
    """A fitted temperature, and the calibration of other images without and with it.

    Attributes:
        temperature: divisor of the logits, above 1 for an overconfident network; it changes no prediction.
        n: number of held-out training images that it was fitted on.
        before: calibration of the test images.
        after: their calibration with the logits divided by the temperature.
    """

    temperature: float
    n: int
    before: Calibration
    after: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "value": self.temperature,
            "n": self.n,
            "fitted_on": "images held out of the training images",
            "before": {"loss": self.before.loss, "ece": self.before.ece, "brier_score": self.before.brier_score},
            "after": {"loss": self.after.loss, **self.after.to_dict()},
        }
