"""Temperature scaling: one divisor of all logits that calibrates a network's probabilities.

Source: Guo et al. 2017, arXiv:1706.04599, section 4.2.
"""

import sys

from jaxtyping import Float64, Int64
from torch import Tensor

_MAX_INVERSE = 2.0**40


def fit_temperature(logits: Float64[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> float | None:
    """Find the temperature with the least negative log-likelihood of the labels.

    The loss is convex in 1 / temperature; the optimum is the zero of its derivative. The same logits give the same
    temperature, bit for bit.

    Args:
        logits: of images that the network was not trained on.
        labels: their classes.
    Returns:
        The temperature; None without a finite optimum: for no images, for images that are all correct (the loss falls
        with the temperature down to 0), and for logits no better than chance (it falls as the temperature grows).
    """
    from scipy.optimize import brentq

    if not len(labels):
        return None
    # Subtracting the logit of the true class leaves the probabilities unchanged.
    relative = logits - logits.gather(1, labels[:, None])

    def slope(inverse: float) -> float:
        """Derivative of the mean loss by 1 / temperature."""
        return float(((relative * inverse).softmax(1) * relative).sum(1).mean())

    low, high = 0.0, 1.0
    if slope(low) >= 0 or float(relative.max()) <= 0:
        return None
    while slope(high) < 0:
        low, high = high, 2 * high
        if high > _MAX_INVERSE:
            return None
    # Only the relative tolerance counts, as logits may be of any scale.
    return 1 / float(brentq(slope, low, high, xtol=sys.float_info.min, rtol=4 * sys.float_info.epsilon, maxiter=1000))
