"""How often the true class is among the few that a network thinks likeliest."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor


def count_among_best(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"], count: int) -> int | None:
    """Count the images whose true class is among the `count` with the largest logits.

    Of equal logits the first one counts as the larger, as it does for the prediction.

    Returns:
        Number of images; None where there are no more than `count` classes, as every class is among the best then.
    """
    if logits.shape[1] <= count:
        return None
    own = logits.gather(1, labels[:, None])
    positions = torch.arange(logits.shape[1])
    is_before = (logits > own) | ((logits == own) & (positions < labels[:, None]))
    return int((is_before.sum(1) < count).sum())
