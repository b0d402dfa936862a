"""Whether a picture is unlike everything that a network was trained on.

The score is the energy of the logits, -logsumexp: it is high where no class has a large logit. The threshold comes from
images that were held out of the training, because a network is surer of those that it has learned. Energy was chosen by
measurement: docs/experiments.md, "pictures unlike anything in training", compares it with distances between embeddings.

Source: Liu et al. 2020, arXiv:2010.03759.
"""

import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from visionlib.models.model_record import Novelty

FALSE_ALARMS = 0.05


def mark_unusual(logits: Float[Tensor, "n k"], novelty: Novelty) -> Bool[Tensor, "n"]:
    """Return for each image whether it is unusual; logits that are not finite are."""
    return ~(energy(logits) <= novelty.threshold)


def energy(logits: Float[Tensor, "n k"]) -> Float32[Tensor, "n"]:
    """Return the energy of each image, higher for stranger ones."""
    return -logits.float().logsumexp(1)


def fit_novelty(logits: Float[Tensor, "n k"], *, is_held_out: bool) -> Novelty | None:
    """Fit the threshold; None for no images, or for logits that are not finite.

    Args:
        logits: of ordinary images.
        is_held_out: whether these were held out of the training.
    """
    if not len(logits) or not bool(logits.isfinite().all()):
        return None
    threshold = float(torch.quantile(energy(logits).double().cpu(), 1 - FALSE_ALARMS))
    return Novelty(threshold, len(logits), is_held_out, FALSE_ALARMS)
