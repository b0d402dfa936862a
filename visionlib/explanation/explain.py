"""`explain` and `explain_run`: maps of the evidence for a class in images, for a network or a run."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.eval_mode import Precision
from visionlib.explanation.explanation import Explanation
from visionlib.explanation.methods import DEFAULT_METHOD, make_map_maker
from visionlib.explanation.selection import select_images
from visionlib.explanation.stored_explanations import StoredExplanations
from visionlib.inference.device import choose_compute, compute_environment
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar
from visionlib.runs import Run, open_run

TARGETS = ("predicted", "true")
"""The default targets of `explain_run`."""


def explain(
    subject: nn.Module | TrainedModel | Run | str | os.PathLike[str],
    images: Dataset | ImageSplit | Tensor | None = None,
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
    """Map the evidence for a class in images.

    For a run without images, this is `explain_run`, which also stores the maps.

    Args:
        subject: a run or its folder, a trained model, or a network alone.
        images: stored pixels, uint8 of shape (n, c, h, w); a split; or a dataset, whose test split is explained. Only a
            run has a default: its worst mistakes and a sample of its other test images.
        method: one of `METHODS`.
        layers: names of layers to use instead of the method's own choice; maps of several are fused.
        target: the class to explain: `predicted`, `true`, or a class by name or number.
        n: number of test images of a run, if no images are given.
        seed: of the sample.
        mean: per channel, as fractions of 255, as the network was trained with; for a network alone. By default that of
            the dataset's training images.
        std: likewise; a std of 0 in the dataset counts as 1.
        side_px: height of the network's inputs, for a network alone; None does not resize.
        batch_size: images per forward and backward pass.
        precision: of convolutions and products; by default that of the run or trained model, fp32 for a network alone.
        dataset: new location of the run's data, if it has moved.
        device: of a run's network, as in `TrainConfig.device`.
    Raises:
        ConfigError: if the method or the class is unknown, true classes are not known, or mean and std are missing.
        ModelError: if the layer is unknown, its output is no map of positions, or the network returns no logits, or
            not one for each class.
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        DataError: if the dataset has no test split.
    """
    if not isinstance(subject, nn.Module) and any(value is not None for value in (mean, std, side_px)):
        raise ConfigError("mean, std, side_px", "are known already", "leave them out, or give the network alone")
    if images is None:
        if isinstance(subject, nn.Module | TrainedModel):
            raise ConfigError("images", "there are none to explain", "give a dataset, a split, or raw pixels")
        (explanation,) = explain_run(
            subject,
            [(method, layers)],
            [target],
            n=n,
            seed=seed,
            batch_size=batch_size,
            precision=precision,
            dataset=dataset,
            device=device,
        )
        return explanation
    if isinstance(subject, TrainedModel):
        model = replace(subject, precision=precision or subject.precision)
    elif isinstance(subject, nn.Module):
        if isinstance(images, Dataset):
            mean = images.train.mean if mean is None else mean
            std = tuple(value or 1.0 for value in images.train.std) if std is None else std
        classes = () if isinstance(images, Tensor) else images.classes
        model = TrainedModel.from_network(subject, mean, std, side_px, classes=classes, precision=precision or "fp32")
    else:
        model = TrainedModel.from_run(subject, device=device, precision=precision)
    if isinstance(images, Tensor):
        pixels, labels, index, sources = _check_pixels(images), None, None, None
    else:
        split = images.test if isinstance(images, Dataset) else images
        if model.classes and split.classes != model.classes:
            raise ConfigError("images", "have other classes than the network", "give images of the network's classes")
        pixels, labels, index, sources = split.images, split.labels, split.index, split.sources
    explanation = _explain_images(
        model, pixels, labels, index, method=method, layers=layers, target=target, batch_size=batch_size
    )
    return replace(explanation, sources=sources)


def explain_run(
    run: Run | str | os.PathLike[str],
    methods: Sequence[tuple[str, Sequence[str] | None]] = ((DEFAULT_METHOD, None),),
    targets: Sequence[str | int] = TARGETS,
    *,
    index: Sequence[int] | None = None,
    n: int = 500,
    seed: int = 0,
    batch_size: int = 100,
    precision: Precision | None = None,
    dataset: str | Path | Dataset | None = None,
    device: str = "auto",
) -> list[Explanation]:
    """Explain test images of a run by each method for each target, and store the maps in the run.

    Args:
        run: finished, or its folder.
        methods: names of methods, each with its layers; None for the method's own choice.
        targets: classes to explain, as in `explain`.
        index: test images by their stable ids. Default: the worst mistakes and a sample of the others.
        n: number of test images, if no index is given.
        seed: of the sample.
        batch_size: images per forward and backward pass.
        precision: of convolutions and products; by default that of the run's training.
        dataset: new location of the run's data, if it has moved.
        device: as in `TrainConfig.device`.
    Raises:
        VisionlibError: as `explain`; ConfigError also if two explanations would be the same.
    """
    run = run if isinstance(run, Run) else open_run(run)
    model = TrainedModel.from_run(run, device=device, precision=precision)
    data = load_run_data(run, dataset)
    split, selection = select_images(run, data.test, index=index, n=n, seed=seed)
    explanations = [
        replace(
            _explain_images(
                model,
                split.images,
                split.labels,
                split.index,
                method=method,
                layers=layers,
                target=target,
                batch_size=batch_size,
            ),
            sources=split.sources,
        )
        for method, layers in methods
        for target in targets
    ]
    StoredExplanations.from_explanations(
        explanations, dataset=data.name, content_hash=data.test.content_hash, seed=seed, selection=selection
    ).save(run)
    return explanations


def _explain_images(
    model: TrainedModel,
    images: UInt8[Tensor, "n c h w"],
    labels: Int64[Tensor, "n"] | None,
    index: Int64[Tensor, "n"] | None,
    *,
    method: str,
    layers: Sequence[str] | None,
    target: str | int,
    batch_size: int,
) -> Explanation:
    """Explain every image by one method; raises as `explain`."""
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    with compute_environment(choose_compute(str(model.device), model.precision)):
        logits = model.predict(images).logits.cpu()
        predictions = logits.argmax(1)
        names = model.classes or tuple(map(str, range(logits.shape[1])))
        classes, target_name = _choose_classes(target, predictions, labels, names)
        input_size = model.input_size(images)
        maker = make_map_maker(method, model.network, input_size, layers=layers, precision=model.precision)
        maps, gaps = [], []
        with progress_bar(f"explaining by {method}", len(images), "images") as advance:
            for chunk, explained in zip(torch.split(images, batch_size), torch.split(classes, batch_size), strict=True):
                if len(chunk):
                    made, gap = maker.make(model.network, model.prepare(chunk), explained.to(model.device))
                    maps.append(made.cpu())
                    gaps += [] if gap is None else [gap.cpu()]
                    advance(sum(map(len, maps)))
    return Explanation(
        maps=torch.cat(maps) if maps else torch.zeros(0, 1, 1),
        method=method,
        layers=tuple(layer.name for layer in maker.layers),
        target=target_name,
        classes=classes,
        probabilities=logits.softmax(1).gather(1, classes[:, None])[:, 0],
        predictions=predictions,
        labels=None if labels is None else labels.cpu(),
        index=torch.arange(len(images)) if index is None else index.cpu(),
        images=images.cpu(),
        class_names=names,
        input_size=input_size[1:],
        completeness_gaps=torch.cat(gaps) if gaps else None,
    )


def _choose_classes(
    target: str | int, predictions: Int64[Tensor, "n"], labels: Int64[Tensor, "n"] | None, names: tuple[str, ...]
) -> tuple[Int64[Tensor, "n"], str]:
    """Return the class to explain for each image, and the name of the target."""
    if target == "predicted":
        return predictions, "predicted"
    if target == "true":
        if labels is None:
            raise ConfigError("target", "the true classes are not known", "give a split, or explain `predicted`")
        return labels.cpu(), "true"
    number = target if isinstance(target, int) else names.index(target) if target in names else None
    if number is None or not 0 <= number < len(names):
        raise ConfigError(f"target {target}", "there is no such class", f"known are: {', '.join(names)}")
    return torch.full_like(predictions, number), names[number]


def _check_pixels(images: Tensor) -> Tensor:
    if images.ndim != 4 or images.dtype != torch.uint8:
        kind = str(images.dtype).removeprefix("torch.")
        problem = f"are {kind} of shape {tuple(images.shape)}"
        raise ConfigError("images", problem, "give raw pixels: uint8 of shape (n, channels, h, w)")
    return images
