"""`choose_to_label`: of unlabelled pictures those whose labels are worth most, for a run or any network."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor, nn

from visionlib.errors import ConfigError, DataError
from visionlib.eval_mode import Precision
from visionlib.inference import Predictions, TrainedModel, load, predict_files
from visionlib.inference.pictures import read_images
from visionlib.inference.preprocessing import check_pixels
from visionlib.inspection.batch_choice import choose_batch
from visionlib.inspection.copies import CopyFinder
from visionlib.inspection.pictures_to_label import PicturesToLabel, PictureToLabel
from visionlib.inspection.unsure_pictures import Candidates, UnsurePictures
from visionlib.runs import Run

CANDIDATES_PER_CHOICE = 10
"""Of 4, 10, 20 and 50 the best, see docs/inspection.md; Zhdanov 2019 takes 10 and 50."""


@dataclass(frozen=True, eq=False)
class _Part:
    """Pictures that were predicted together.

    Attributes:
        images: those that could be read.
        predictions: of these; None if there are none.
        files: of these; empty for pixels in memory.
        errors: files that could not be read, and why.
    """

    images: UInt8[Tensor, "n c h w"] | None
    predictions: Predictions | None
    files: tuple[str, ...] = ()
    errors: tuple[tuple[str, DataError], ...] = ()


def choose_to_label(
    subject: nn.Module | TrainedModel | Run | str | os.PathLike[str],
    pictures: object,
    count: int = 100,
    *,
    seed: int = 0,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Precision | None = None,
    device: str = "auto",
) -> PicturesToLabel:
    """Choose pictures to label next: those of which the network is unsure, and which stand for many others.

    The `10 * count` pictures with the smallest difference of the two largest probabilities are kept, without near
    duplicates. Weighted k-means of their embeddings gives one for each of `count` clusters, see `choose_batch`. The
    choice is the same for the same pictures and seed. Memory holds the kept pictures and one batch, and not all files.

    Args:
        subject: a run or its folder, the name of pretrained weights, a network with its preprocessing, or one alone.
        pictures: pixels as stored, uint8 of shape (n, c, h, w); or files and folders, of which those that cannot be
            read are listed in the result; or arrays or Pillow's pictures, as `TrainedModel.predict` takes them.
        count: pictures to choose; fewer if there are fewer that are no copies.
        seed: of the clusters.
        mean: per channel, as fractions of 255, as the network was trained with; for a network alone.
        std: likewise.
        side_px: height of the network's inputs, for a network alone; None does not resize.
        batch_size: pictures per forward pass.
        precision: of convolutions and products; fp32 by default, that of a network with its preprocessing.
        device: of a run's network, as in `TrainConfig.device`.
    Raises:
        ConfigError: if count is below 1, the network tells fewer than two classes, or mean and std are missing or
            known already; or pictures have to be resized to an unknown size.
        VisionlibError: as `load` and `TrainedModel.predict`.
    """
    if count < 1:
        raise ConfigError("count", f"{count} is out of range", "ask for one picture or more")
    model = _prepare(subject, mean, std, side_px, precision=precision, device=device)
    unsure = UnsurePictures(CANDIDATES_PER_CHOICE * count)
    files: dict[int, str] = {}
    classes: tuple[str, ...] = ()
    errors: list[tuple[str, DataError]] = []
    n = 0
    for part in _predict(model, pictures, batch_size):
        errors += part.errors
        if part.images is None or part.predictions is None:
            continue
        classes = _name_classes(part.predictions)
        unsure.add(Candidates.from_predictions(n, part.predictions, part.images))
        files |= enumerate(part.files, n)
        files = {index: files[index] for index in unsure.kept.index.tolist() if index in files}
        n += len(part.images)
    chosen = _choose(unsure.kept, count, seed, classes, files) if n else ()
    return PicturesToLabel(chosen, n, len(unsure), unsure.copies, seed, tuple(errors))


def _prepare(
    subject: nn.Module | TrainedModel | Run | str | os.PathLike[str],
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    side_px: int | None,
    *,
    precision: Precision | None,
    device: str,
) -> TrainedModel:
    if isinstance(subject, nn.Module):
        return TrainedModel.from_network(subject, mean, std, side_px, precision=precision or "fp32")
    if any(value is not None for value in (mean, std, side_px)):
        raise ConfigError("mean, std, side_px", "are known already", "leave them out, or give the network alone")
    return subject if isinstance(subject, TrainedModel) else load(subject, device=device, precision=precision or "fp32")


def _predict(model: TrainedModel, pictures: object, batch_size: int) -> Iterator[_Part]:
    """Yield pictures with their predictions, batch by batch."""
    if isinstance(pictures, str | os.PathLike):
        pictures = [pictures]
    if isinstance(pictures, np.ndarray | Image.Image) or (
        isinstance(pictures, Sequence) and not all(isinstance(one, str | os.PathLike) for one in pictures)
    ):
        pictures = read_images(model, pictures)
    if isinstance(pictures, Tensor):
        check_pixels(pictures)
        for images in torch.split(pictures, batch_size) if len(pictures) else ():
            yield _Part(images, model.predict(images, batch_size=batch_size))
        return
    if not isinstance(pictures, Iterable):
        raise ConfigError("pictures", f"are a {type(pictures).__name__}", "give files, folders, or pixels")
    for batch in predict_files(model, pictures, batch_size=batch_size):
        pairs = list(zip(batch.files, batch.decoded, strict=True))
        decoded = [image for image in batch.decoded if isinstance(image, Tensor)]
        yield _Part(
            torch.stack(decoded) if decoded else None,
            batch.predictions,
            tuple(file for file, image in pairs if isinstance(image, Tensor)),
            tuple((file, error) for file, error in pairs if isinstance(error, DataError)),
        )


def _name_classes(predictions: Predictions) -> tuple[str, ...]:
    k = predictions.logits.shape[1]
    if k < 2:
        raise ConfigError("network", "tells one class alone, and so is unsure of none", "give one of two or more")
    return predictions.classes or tuple(map(str, range(k)))


def _choose(
    candidates: Candidates, count: int, seed: int, classes: tuple[str, ...], files: Mapping[int, str]
) -> tuple[PictureToLabel, ...]:
    copies = CopyFinder(candidates.images)
    choice = choose_batch(candidates.embeddings, candidates.uncertainty, count, seed=seed, is_copy=copies.is_copy)
    chosen = candidates.take(torch.tensor(choice.positions))
    rows = zip(chosen.index.tolist(), chosen.top.tolist(), chosen.probabilities.tolist(), strict=True)
    return tuple(
        PictureToLabel(
            rank=rank + 1,
            index=index,
            file=files.get(index),
            predicted=classes[first],
            confidence=confidence,
            second=classes[second],
            second_confidence=second_confidence,
            stands_for=choice.sizes[rank],
            score=choice.scores[rank],
            is_unusual=bool(chosen.is_unusual[rank]),
        )
        for rank, (index, (first, second), (confidence, second_confidence)) in enumerate(rows)
    )
