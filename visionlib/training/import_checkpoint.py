"""`import_checkpoint`: a run folder from weights that were trained elsewhere, so that every command works on them."""

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visionlib.data import Dataset, load_dataset
from visionlib.errors import ConfigError
from visionlib.inference.device import choose_compute
from visionlib.inference.predictions import predict_split, save_predictions
from visionlib.inference.run_model import save_model, save_summary
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.checkpoints import load_weights
from visionlib.models.initial_weights import InitialWeights, open_weights
from visionlib.models.layout import initialize_lazy, prepare_layout
from visionlib.models.model_record import ModelRecord
from visionlib.models.recognition import build_for, count_outputs_and_channels
from visionlib.runs import Run, create_run, write_json
from visionlib.training.provenance import describe_import

_SIDE_PX = 32


def import_checkpoint(
    checkpoint: str | os.PathLike[str],
    model: str | None = None,
    *,
    out: str | os.PathLike[str],
    classes: tuple[str, ...] | None = None,
    dataset: str | Path | Dataset | None = None,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    image_size: int | None = None,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
) -> Run:
    """Make a run from weights that were trained elsewhere.

    Args:
        checkpoint: what `visionlib.models.open_weights` takes: a file, a hub folder, or the name of pretrained weights.
        model: what `build_model` takes; by default a built-in network that has exactly these tensors.
        out: the run folder to make.
        classes: names in the order of the logits; by default those of the dataset.
        dataset: with the images that the network is for; its test split is predicted. Without it, name it to each
            command that reads images.
        mean: per channel, as fractions of 255, as in the training; by default of the dataset's training images.
        std: per channel, as fractions of 255.
        image_size: side of the images in pixels; by default that of the dataset, or 32.
        device: to predict on, as in `TrainConfig.device`.
        log: takes a line about each value that was not given.
    Raises:
        ModelError: if the file is absent, damaged, needs unpickling, or fits no network or not this one.
        ConfigError: if classes, mean or std are not known, or contradict the weights or the dataset.
        RunError: if `out` exists already.
        DataError: if the dataset cannot be loaded.
    """
    weights = open_weights(checkpoint, model)
    name, network = build_for(model, weights)
    if model is None:
        log(f"recognized: {name}")
    source = load_dataset(dataset, image_size=image_size) if isinstance(dataset, str | Path) else dataset
    outputs, channels = count_outputs_and_channels(network, weights)
    classes = _choose_classes(weights, outputs, classes, source)
    mean, std = _choose_normalization(weights, channels, mean, std, source, log)
    input_size = _choose_input_size(weights, image_size, source)
    initialize_lazy(network, (channels, *input_size))
    load_weights(prepare_layout(network), weights.path)
    compute = choose_compute(device, "fp32")
    provenance = f"checkpoint {checkpoint}"
    trained = TrainedModel(network.eval().to(compute.device), mean, std, input_size[0], classes, "fp32", provenance)
    has_images = source is not None and "test" in source.splits and len(source.test) > 0
    predictions = predict_split(trained, source.test, compute=compute) if source is not None and has_images else None
    run = create_run(Path(out))
    origin = {"source": weights.source, "path": str(weights.path.resolve()), "sha256": weights.sha256}
    write_json(run.config, describe_import(source, name, compute, origin))
    pictures_size = input_size if source is None else source.train.image_size
    record = ModelRecord(name, classes, channels, input_size, mean, std, image_size=pictures_size)
    kept = save_model(run, network, record)
    save_summary(run, network, kept)
    if source is not None and predictions is not None:
        save_predictions(run, predictions, source.test, kept.weights_sha256)
    return run


def _choose_classes(
    weights: InitialWeights, outputs: int, classes: tuple[str, ...] | None, source: Dataset | None
) -> tuple[str, ...]:
    known = {
        "classes": classes,
        "the dataset": None if source is None else source.classes,
        "the weights": weights.classes,
    }
    given = {origin: names for origin, names in known.items() if names is not None}
    if not given:
        remedy = f"name {outputs} of them by --classes, in the order of the logits, or a dataset by --dataset"
        raise ConfigError("classes", "are not known of weights alone", remedy)
    for origin, names in given.items():
        if len(names) != outputs:
            problem = f"{origin} has {len(names)} names, and the network has {outputs} logits"
            raise ConfigError("classes", problem, f"name {outputs}, in the order of the logits")
        if len(set(names)) < len(names):
            raise ConfigError("classes", f"a name of {origin} occurs twice", "name each class once")
    (first, names), *others = given.items()
    for origin, other in others:
        if other != names:
            at = next(at for at, pair in enumerate(zip(names, other, strict=True)) if pair[0] != pair[1])
            problem = f"number {at} is {names[at]} by {first}, and {other[at]} by {origin}"
            raise ConfigError("classes", problem, "both must be in the order of the logits; leave one out, or reorder")
    return names


def _choose_normalization(
    weights: InitialWeights,
    channels: int,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    source: Dataset | None,
    log: Callable[[str], None],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if (mean is None) != (std is None):
        raise ConfigError("mean, std", "one of them is given alone", "give both, or neither")
    if source is not None and source.train.channels != channels:
        problem = f"has images of {source.train.channels} channels, and the weights are for {channels}"
        raise ConfigError(source.name, problem, "choose the dataset that they were trained on")
    mean, std = mean or weights.mean, std or weights.std
    if mean is None or std is None:
        if source is None:
            raise ConfigError("mean, std", "are not known of weights alone", "give both, or a dataset by --dataset")
        mean, std = source.train.mean, tuple(value or 1.0 for value in source.train.std)
        log("mean and std are those of the dataset's training images: give others if the training had others")
    if not len(mean) == len(std) == channels:
        raise ConfigError(
            "mean, std", f"{len(mean)} and {len(std)} values for {channels} channels", "give one per channel"
        )
    if not all(0 < value <= 1 for value in std) or not all(0 <= value <= 1 for value in mean):
        raise ConfigError("mean, std", f"{mean} and {std} are out of range", "give fractions of 255, std above 0")
    return mean, std


def _choose_input_size(weights: InitialWeights, image_size: int | None, source: Dataset | None) -> tuple[int, int]:
    if image_size is not None:
        return image_size, image_size
    if weights.input_size is not None:
        return weights.input_size
    return (_SIDE_PX, _SIDE_PX) if source is None else source.train.image_size


def summarize_import(run: Run) -> dict[str, Any]:
    """Return the record of an imported run, and the accuracy on its test images, if it has some."""
    from visionlib.inference.predictions import load_predictions
    from visionlib.models.model_record import load_record
    from visionlib.training.loop import accuracy

    record, test_accuracy, n = load_record(run), None, 0
    if run.predictions.is_file():
        stored = load_predictions(run)
        test_accuracy, n = accuracy(stored.predictions.logits, stored.labels), len(stored.labels)
    return {"run": str(run.path), **asdict(record), "test_accuracy": test_accuracy, "test_n": n}
