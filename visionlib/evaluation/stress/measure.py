"""`stress`: the accuracy of a run's network, or of any other, on corrupted images."""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float64, UInt8
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.data.corruption import STRENGTHS, corrupt_images, find_corruptions
from visionlib.data.corruption.published import PublishedImages, open_published
from visionlib.data.random import Stream, random_order
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.eval_mode import Precision
from visionlib.evaluation.calibration import find_confidences
from visionlib.evaluation.stress.answers import Answers
from visionlib.evaluation.stress.result import MADE_HERE, StressResult
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.load import find_run
from visionlib.inference.predictions import check_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar
from visionlib.runs import Run


def stress(
    subject: nn.Module | TrainedModel | Run | str | os.PathLike[str],
    split: Dataset | ImageSplit | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    corruptions: str | Sequence[str] | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 250,
    precision: Precision | None = None,
    published: str | Path | None = None,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> StressResult:
    """Measure accuracy and calibration on images that are corrupted in many ways; the network is not changed.

    For a run without a split, its test split is taken, and the result is kept in the run.

    Args:
        subject: a run or its folder, the name of pretrained weights, a network with its preprocessing, or one alone.
        split: images with labels, or a dataset, whose test split is taken. Its training split supplies `mean` and `std`
            of a network alone where they are not given.
        n: number of images, chosen by seed; all if there are fewer.
        seed: of the choice of images and of the corruptions.
        corruptions: names of corruptions or kinds, see `find_corruptions`; None for all.
        mean: per channel, as fractions of 255, for a network alone.
        std: likewise.
        side_px: height of the inputs of a network alone, if it works on shrunk images.
        batch_size: images per forward pass.
        precision: of convolutions and products; by default that of the run or trained model, fp32 for a network alone.
        published: folder of CIFAR-10-C, whose files are measured instead of corruptions that are made here.
        dataset: new location of a run's data, if it has moved; data for weights that name none.
        device: of a run's network, as in `TrainConfig.device`.
    Raises:
        ConfigError: if n is below 1, there is no such corruption, the classes are others, or a network alone comes
            without a split or without mean and std.
        DataError: if the data cannot be read, or there are no images.
        RunError: if the run is unfinished or damaged, its data differs from the training data, or the network does not
            return finite logits, one for each class.
    """
    files = None if published is None else open_published(published)
    chosen = _choose(corruptions, files)
    for name, value in (("n", n), ("batch_size", batch_size)):
        if value < 1:
            raise ConfigError(name, f"{value} is out of range", "it must be at least 1")
    if not isinstance(subject, nn.Module) and any(value is not None for value in (mean, std, side_px)):
        raise ConfigError("mean, std, side_px", "are known already", "leave them out, or give the network alone")
    options: dict[str, Any] = {"n": n, "seed": seed, "corruptions": chosen, "files": files, "batch_size": batch_size}
    if isinstance(subject, nn.Module | TrainedModel):
        if split is None:
            raise ConfigError("split", "there is none to corrupt", "give a dataset or one of its splits")
        model = subject if isinstance(subject, TrainedModel) else _complete(subject, split, mean, std, side_px)
        return _measure(replace(model, precision=precision or model.precision), split, **options)
    run = find_run(subject)
    model = TrainedModel.from_run(run, device=device, precision=precision)
    if split is not None:
        return _measure(model, split, **options)
    if not run.training.is_file():
        return _measure(model, _load_named(model, subject, dataset), **options)
    result = _measure(model, load_run_data(run, dataset), **options)
    result.save(run)
    return result


def _choose(corruptions: str | Sequence[str] | None, files: PublishedImages | None) -> tuple[str, ...]:
    if corruptions is None and files is not None:
        return files.corruptions
    chosen = find_corruptions(corruptions if corruptions is None or isinstance(corruptions, str) else [*corruptions])
    absent = [name for name in chosen if files is not None and name not in files.corruptions]
    if files is not None and absent:
        raise ConfigError(
            f"corruption {absent[0]}", f"is not in {files.folder}", f"it has: {', '.join(files.corruptions)}"
        )
    return chosen


def _complete(
    network: nn.Module,
    split: Dataset | ImageSplit,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    side_px: int | None,
) -> TrainedModel:
    if isinstance(split, Dataset):
        mean = split.train.mean if mean is None else mean
        std = tuple(value or 1.0 for value in split.train.std) if std is None else std  # a constant is only shifted
    return TrainedModel.from_network(network, mean, std, side_px, classes=split.classes)


def _load_named(model: TrainedModel, subject: object, dataset: str | Path | Dataset | None) -> Dataset:
    """Load data for weights that come without, at the size of the network's images."""
    if dataset is None:
        raise RunError(str(subject), "is weights alone, and names no data", "name it with --dataset", is_usage=True)
    if isinstance(dataset, Dataset):
        return dataset
    side_px = None if model.image_size is None else model.image_size[0]
    return load_dataset(dataset, image_size=side_px, resize="whole" if model.resize == "whole" else None)


def _measure(
    model: TrainedModel,
    source: Dataset | ImageSplit,
    *,
    n: int,
    seed: int,
    corruptions: tuple[str, ...],
    files: PublishedImages | None,
    batch_size: int,
) -> StressResult:
    split = source.test if isinstance(source, Dataset) else source
    if model.classes and split.classes != model.classes:
        raise ConfigError("images", "have other classes than the network", "give images of the network's classes")
    if not len(split):
        raise DataError("images", "there are none to corrupt", "give a split with images")
    if files is not None and not torch.equal(files.labels, split.labels.cpu()):
        remedy = "give the test split of CIFAR-10 in its own order"
        raise DataError(files.folder, "has the labels of other images than the test split", remedy)
    positions = random_order(seed, 0, split.index.cpu(), Stream.STRESSED_IMAGES)[:n].sort().values
    sample = split.subset(positions.to(split.images.device))

    def corrupt(name: str, strength: int) -> UInt8[Tensor, "n c h w"]:
        if files is not None:
            return files.read(name, strength, positions)
        return corrupt_images(sample.images, sample.index, name, strength, seed=seed)

    return _collect(model, sample, corruptions, corrupt, batch_size).summarize(
        split.classes,
        n_split=len(split),
        seed=seed,
        network=model.provenance,
        source=MADE_HERE if files is None else f"files of {files.folder.resolve().name}",
        temperature=model.temperature,
        content_hash=split.content_hash,
    )


def _collect(
    model: TrainedModel,
    sample: ImageSplit,
    corruptions: tuple[str, ...],
    corrupt: Callable[[str, int], Tensor],
    batch_size: int,
) -> Answers:
    """Predict the images as they are, and under each corruption at each strength."""
    labels = sample.labels.cpu()

    def answer(images: UInt8[Tensor, "n c h w"]) -> tuple[Bool[Tensor, "n"], Float64[Tensor, "n"]]:
        logits = model.predict(images, batch_size=batch_size).logits.cpu()
        check_predictions(logits, labels, sample.classes)
        confidences = find_confidences(logits.double() / (model.temperature or 1.0))
        return logits.argmax(1) == labels, confidences.clamp(max=1)  # a sum may be rounded to more

    conditions = [(name, strength) for name in corruptions for strength in STRENGTHS]
    total = (1 + len(conditions)) * len(sample)
    with (
        compute_environment(choose_compute(str(model.device), model.precision)),
        progress_bar("corrupting and predicting", total, "images") as advance,
    ):
        answers = [answer(sample.images)]
        for name, strength in conditions:
            advance(len(answers) * len(sample), f"{name} {strength}")
            answers.append(answer(corrupt(name, strength)))
    shape = (len(corruptions), len(STRENGTHS), len(sample))
    (clean, *right), (clean_confidences, *confidences) = zip(*answers, strict=True)
    is_correct = torch.stack(right).view(shape)
    return Answers(corruptions, labels, clean, is_correct, clean_confidences, torch.stack(confidences).view(shape))
