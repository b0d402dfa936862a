"""From a network in memory to its `Evaluation` on a split."""

from typing import Literal

from torch import nn

from visionlib.data import Dataset, ImageSplit
from visionlib.data.augmentation import mirror_images
from visionlib.errors import ConfigError, ModelError
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.scoring import score_logits
from visionlib.inference.prediction import predict_logits

_NOTE = "a network in memory has no images that were held out of its training; evaluate a run to get it"


def evaluate_model(
    model: nn.Module,
    split: Dataset | ImageSplit,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Evaluation:
    """Score a network on a split, as it is and with mirror averaging; the network is afterwards as it was.

    Args:
        model: gives logits, a row per image; it computes where its weights lie.
        split: images and labels, or a dataset, of which the test split is scored.
        mean: per channel, as fractions of 255, as the network was trained with; by default that of the dataset's
            training images.
        std: likewise.
        side_px: height of the images that the network takes in, if it works on shrunk ones.
        batch_size: images at a time.
        precision: format of the convolutions.
    Raises:
        ConfigError: if mean and deviation are needed and not given, as a split alone does not know them.
        DataError: if the dataset has no test split.
        ModelError: if the network does not give a row of finite logits per image, one for each class.
    """
    if isinstance(split, Dataset):
        if mean is None or std is None:
            known = split.train
            mean = known.mean if mean is None else mean
            std = tuple(deviation or 1.0 for deviation in known.std) if std is None else std
        split = split.test
    if mean is None or std is None:
        raise ConfigError(
            "mean, std", "are not known of a split alone", "give those that the network was trained with, or a dataset"
        )
    logits, mirror_logits = (
        predict_logits(
            model, images, mean=mean, std=std, side_px=side_px, batch_size=batch_size, precision=precision
        ).cpu()
        for images in (split.images, mirror_images(split.images))
    )
    if logits.shape[1] != len(split.classes):
        problem = f"gives {logits.shape[1]} logits and the images are of {len(split.classes)} classes"
        raise ModelError(type(model).__name__, problem, "evaluate it on the classes that it was made for")
    return score_logits(logits, split.labels.cpu(), split.classes, mirror_logits=mirror_logits, note=_NOTE)
