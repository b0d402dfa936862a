"""`explain`: maps of where a network, or the network of a run, finds a class in images."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.methods import DEFAULT_METHOD, make_map_maker
from visionlib.explanation.selection import select_images
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.prediction import predict
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_model
from visionlib.progress import progress_bar
from visionlib.runs import Run, open_run

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with what it takes to show it images.

    Attributes:
        model: gives logits.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        side_px: height of what it takes in; None for the images as they are.
        classes: names.
        precision: format of its convolutions and products.
    """

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    side_px: int | None
    classes: tuple[str, ...]
    precision: Precision


def explain(
    subject: nn.Module | Run | str | os.PathLike[str],
    images: ImageSplit | Tensor | None = None,
    *,
    method: str = DEFAULT_METHOD,
    layers: Sequence[str] | None = None,
    target: str | int = "predicted",
    n: int = 100,
    seed: int = 0,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    side_px: int | None = None,
    batch_size: int = 100,
    precision: Precision | None = None,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> Explanation:
    """Map where a network finds a class.

    Args:
        subject: a run or its folder, whose network, normalisation and size of inputs are taken; or a network.
        images: a split, or raw pixels, uint8 of shape (n, c, h, w). Default for a run: its worst mistakes on its test
            split, and others by seed.
        method: one of `METHODS`.
        layers: names of layers to take instead of the method's own choice; maps of several are fused.
        target: the class that is explained: `predicted`, `true`, or one by name or number.
        n: test images of a run to take, if no images are given.
        seed: decides which those are that are no mistakes.
        mean: per channel, as fractions of 255; for a network alone. Default: that of the images.
        std: likewise.
        side_px: height of the network's inputs, for a network alone. Default: that of the images.
        batch_size: images at a time.
        precision: format of the convolutions and products. Default: fp32 for a network, the run's own for a run.
        dataset: where the run's data lies now, if it has moved since.
        device: what to compute on, for a run, as in `TrainConfig.device`.
    Raises:
        ConfigError: if there is no such method or class, or true classes are wanted of images without labels.
        ModelError: if there is no such layer, it has no height and width, or the network gives no logits.
        RunError: if the run is unfinished or damaged, or its data is another.
    """
    if isinstance(subject, nn.Module):
        if images is None:
            raise ConfigError("images", "there are none to explain", "give a split, or raw pixels")
        split = _as_split(images, ())
        names = () if isinstance(split, _Unlabelled) else split.classes
        known = Subject(subject, mean or split.mean, std or split.std, side_px, names, precision or "fp32")
        return explain_split(known, split, method=method, layers=layers, target=target, batch_size=batch_size)
    run = subject if isinstance(subject, Run) else open_run(subject)
    if mean or std or side_px:
        raise ConfigError("mean, std, side_px", "are the run's own", "leave them out, or give the network alone")
    known = load_subject(run, device=device, precision=precision)
    if images is None:
        images = select_images(run, load_run_data(run, dataset).test, n, seed)
    split = _as_split(images, known.classes)
    return explain_split(known, split, method=method, layers=layers, target=target, batch_size=batch_size)


def load_subject(run: Run, *, device: str = "auto", precision: Precision | None = None) -> Subject:
    """Load a run's network on a device, with what it takes to show it images."""
    compute = choose_compute(device)
    model, record = load_model(run)
    model.to(compute.device)
    return Subject(model, record.mean, record.std, record.input_size[0], record.classes, precision or compute.precision)


def explain_split(
    subject: Subject,
    split: ImageSplit,
    *,
    method: str = DEFAULT_METHOD,
    layers: Sequence[str] | None = None,
    target: str | int = "predicted",
    batch_size: int = 100,
) -> Explanation:
    """Explain every image of a split; see `explain`, whose arguments and errors these are."""
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    model = subject.model
    device = next(model.parameters(), torch.zeros(())).device
    with compute_environment(choose_compute(str(device))):
        logits = predict(
            model,
            split.images,
            mean=subject.mean,
            std=subject.std,
            side_px=subject.side_px,
            precision=subject.precision,
        ).logits.cpu()
        k = logits.shape[1]
        names = subject.classes if len(subject.classes) == k else tuple(map(str, range(k)))
        predictions = logits.argmax(1)
        classes, told = _choose_classes(target, predictions, split, names)
        blank = prepare_inputs(split.images[:1].to(device), subject.mean, subject.std, subject.side_px)
        shape = (split.channels, blank.shape[2], blank.shape[3]) if len(split) else (split.channels, *split.image_size)
        maker = make_map_maker(method, model, shape, layers=layers, precision=subject.precision)
        maps = []
        with progress_bar(f"explaining by {method}", len(split), "images") as advance:
            for start in range(0, len(split), batch_size):
                chunk = split.images[start : start + batch_size].to(device)
                inputs = prepare_inputs(chunk, subject.mean, subject.std, subject.side_px)
                maps.append(maker(model, inputs, classes[start : start + batch_size].to(device)).cpu())
                advance(start + len(chunk))
    return Explanation(
        maps=torch.cat(maps) if maps else torch.zeros(0, 1, 1),
        method=method,
        layers=tuple(layer.name for layer in maker.layers),
        target=told,
        classes=classes,
        probabilities=logits.softmax(1).gather(1, classes[:, None])[:, 0],
        predictions=predictions,
        labels=None if isinstance(split, _Unlabelled) else split.labels.cpu(),
        index=split.index.cpu(),
        images=split.images.cpu(),
        class_names=names,
        input_size=shape[1:],
    )


def _as_split(images: ImageSplit | Tensor, classes: tuple[str, ...]) -> ImageSplit:
    """Give a split; images alone become one without classes, since nothing is known of their labels."""
    if isinstance(images, ImageSplit):
        if classes and images.classes != classes:
            raise ConfigError("images", "have other classes than the run", "give images of the run's classes")
        return images
    if images.ndim != 4 or images.dtype != torch.uint8:
        kind = str(images.dtype).removeprefix("torch.")
        raise ConfigError(
            "images",
            f"are {kind} of shape {tuple(images.shape)}",
            "give raw pixels: uint8 of shape (n, channels, h, w)",
        )
    return _Unlabelled(
        images, torch.zeros(len(images), dtype=torch.int64), classes or ("?",), torch.arange(len(images))
    )


class _Unlabelled(ImageSplit):
    """Images of which no labels are known; the zeros that stand for them are never read."""


def _choose_classes(
    target: str | int, predictions: Int64[Tensor, "n"], split: ImageSplit, names: tuple[str, ...]
) -> tuple[Int64[Tensor, "n"], str]:
    """Give the class of each image that is to be explained, and what it is called."""
    if target == "predicted":
        return predictions, "predicted"
    if target == "true":
        if isinstance(split, _Unlabelled):
            raise ConfigError("target", "the true classes are not known", "give a split, or explain `predicted`")
        return split.labels.cpu(), "true"
    number = target if isinstance(target, int) else names.index(target) if target in names else None
    if number is None or not 0 <= number < len(names):
        raise ConfigError(f"target {target}", "there is no such class", f"known are: {', '.join(names)}")
    return torch.full_like(predictions, number), names[number]
