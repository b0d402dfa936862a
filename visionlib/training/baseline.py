"""The baseline of a training: always answering the largest class."""

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from visionlib.data.class_names import embed_name
from visionlib.data.dataset import ImageSplit
from visionlib.data.description import describe_imbalance
from visionlib.training.config import TrainConfig

_CONFIDENCE = 0.95


def compare_with_largest_class(accuracy: float | None, split: ImageSplit) -> dict[str, Any]:
    """Compare an accuracy with the share of the largest class among the images that it was measured on.

    It is better if the share lies below the 95 % Wilson interval of the accuracy. That interval holds the shares that
    the score test does not reject, so the test answers the question.

    Returns:
        Fields of `training.json`: the class, its share, and whether the accuracy is better; None where it is unknown.
    Source: Wilson 1927, doi 10.1080/01621459.1927.10502953.
    """
    if accuracy is None or not len(split):
        return {"largest_class": None, "largest_class_share": None, "is_better_than_largest_class": None}
    name, count = max(split.per_class.items(), key=lambda item: item[1])
    share, z = count / len(split), NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    is_better = accuracy - share > z * math.sqrt(share * (1 - share) / len(split))
    return {"largest_class": name, "largest_class_share": share, "is_better_than_largest_class": is_better}


def describe_failure(outcome: Mapping[str, Any], config: TrainConfig, train: ImageSplit) -> str:
    """Say in a line that an accuracy is no better than the largest class, and what to try.

    Args:
        outcome: the accuracies of the training, and the fields of `compare_with_largest_class`.
        config: the settings of the training.
        train: the images that it learned from.
    """
    is_tested = outcome["test_accuracy"] is not None
    kind = "test" if is_tested else "held-out"
    accuracy = outcome["test_accuracy" if is_tested else "validation_accuracy"]
    balance = "--balance, " if describe_imbalance(train) else ""
    remedy = f"try {balance}more --epochs, a smaller --batch-size or the rate of visionlib lr-find; check the labels"
    if config.balance:
        remedy = "with --balance see the balanced accuracy of visionlib test as well"
    return (
        f"{kind} accuracy {accuracy:.2%} is no better than always answering {embed_name(outcome['largest_class'])}, "
        f"which is right on {outcome['largest_class_share']:.2%}: {remedy}"
    )
