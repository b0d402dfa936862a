"""One number that makes a network's probabilities honest: what its logits are divided by.

Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
"""

import math
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float64, Int64
from torch import Tensor

from visionlib.evaluation.calibration import Calibration

_STEPS = 200
_TOLERANCE = 1e-12
_STEEPEST = 2.0**40


@dataclass(frozen=True)
class TemperatureScaling:
    """What a temperature does to the probabilities of images that it was not fitted on.

    Attributes:
        temperature: above 1 where the network claims too much; dividing by it changes no prediction.
        n: how many images it was fitted on, held out of the training images.
        before: what the probabilities are worth as they are.
        after: the same with the logits divided by the temperature.
    """

    temperature: float
    n: int
    before: Calibration
    after: Calibration

    def to_dict(self) -> dict[str, Any]:
        """Give every number as plain values for JSON."""
        return {
            "value": self.temperature,
            "n": self.n,
            "fitted_on": "images held out of the training images",
            "before": {"loss": self.before.loss, "ece": self.before.ece, "brier_score": self.before.brier_score},
            "after": {"loss": self.after.loss, **self.after.to_dict()},
        }


def fit_temperature(logits: Float64[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> float | None:
    """Find what to divide logits by, so that the negative log-likelihood of the labels is least.

    It is convex in 1 / temperature: Newton's method finds the zero of its slope, kept within a bracket by bisection.
    The same logits give the same figure, bit for bit.

    Args:
        logits: of images that the network has not learned from.
        labels: their classes.
    Returns:
        The temperature; None if none is best: for no images, for images that are all right, where the loss falls for
        ever with the temperature, and for logits that say no more than chance, where it falls as the temperature grows.
    """
    if not len(labels):
        return None
    # Above the logit of the true class, which leaves the probabilities as they are.
    above = logits - logits.gather(1, labels[:, None])

    def slope(inverse: float) -> tuple[float, float]:
        """Give first and second derivative of the mean loss by 1 / temperature."""
        probabilities = (above * inverse).softmax(1)
        weighed = probabilities * above
        means = weighed.sum(1)
        return float(means.mean()), float((weighed.mul_(above).sum(1) - means.square()).mean())

    low, high = 0.0, 1.0
    if slope(low)[0] >= 0 or float(above.max()) <= 0:
        return None
    while slope(high)[0] < 0:
        low, high = high, 2 * high
        if high > _STEEPEST:
            return None
    guess = (low + high) / 2
    for _ in range(_STEPS):
        first, second = slope(guess)
        low, high = (guess, high) if first < 0 else (low, guess)
        change = first / second if second > 0 else math.inf
        if abs(change) <= _TOLERANCE * guess or high - low <= _TOLERANCE * high:
            break
        guess = guess - change if low < guess - change < high else (low + high) / 2
    return 1 / guess
