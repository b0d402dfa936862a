"""`train` and `resume`: from a dataset and settings to a finished run folder, in one go or in several."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from visionlib.data import Dataset, ImageSplit, hold_out, load_dataset
from visionlib.errors import ConfigError, RunError
from visionlib.models import build_model
from visionlib.runs import Run, create_run, open_run, read_json, write_json
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute, choose_compute, prepared_process
from visionlib.training.loop import Fit, accuracy, train_epochs
from visionlib.training.predictions import predict_split, save_predictions
from visionlib.training.provenance import describe_run, name_run
from visionlib.training.recipes import RECIPES
from visionlib.training.run_data import load_run_data
from visionlib.training.trained_model import ModelRecord, save_model


def train(
    dataset: str | Path | Dataset,
    config: TrainConfig = RECIPES["quick"],
    *,
    out: str | Path | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train a network, and leave a finished run folder: weights, history, test predictions, and how they came about.

    Args:
        dataset: a dataset, or what `load_dataset` takes.
        config: every setting; `RECIPES` holds the measured ones.
        out: the run folder to make; by default `runs/DATASET-MODEL-TIME`.
        tell: takes a line for people at the start and after each epoch.
    Returns:
        The finished run.
    Raises:
        ConfigError: if the settings do not fit the dataset or the machine.
        DataError: if the dataset cannot be loaded, or has no image to learn from.
        RunError: if `out` is there already.
        TrainingError: if the loss is not a number any more.
    """
    compute = choose_compute(config.device, config.precision, config.threads)
    tell(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    fit, validation = prepare_fit(source, config, compute)
    run = create_run(Path(out) if out is not None else name_run(source.name, config.model))
    write_json(run.config, describe_run(source, config, compute))
    tell(f"{source.name}: {len(fit.split):,} images to learn from, {config.model} -> {run.path}")
    return _train_run(run, source, fit, validation, tell)


def resume(
    run: Run | str | os.PathLike[str],
    *,
    dataset: str | Path | Dataset | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Go on with an interrupted training, to exactly the weights that it would have had without the interruption.

    Args:
        run: the run, or its folder.
        dataset: where its data lies now, if it has moved since.
        tell: takes a line for people at the start and after each epoch.
    Returns:
        The finished run.
    Raises:
        RunError: if the run is finished already or damaged, or its data is not what it began with.
        ConfigError: if this machine lacks what it was trained on.
        DataError: if the data cannot be read.
    """
    run = run if isinstance(run, Run) else open_run(run)
    if run.training.is_file():
        raise RunError(run.path, "is finished", f"test it with: visionlib test {run.path}")
    record = read_json(run.config)
    # On what it began with: another device, format or number of threads would round differently.
    told = {name: record["compute"][name] for name in ("device", "precision", "threads")}
    config = TrainConfig.from_dict({**record["config"], **told})
    compute = choose_compute(config.device, config.precision, config.threads)
    tell(str(compute))
    source = load_run_data(run, dataset)
    fit, validation = prepare_fit(source, config, compute)
    return _train_run(run, source, fit, validation, tell)


def prepare_fit(source: Dataset, config: TrainConfig, compute: Compute) -> tuple[Fit, ImageSplit]:
    """Lay out what stays the same through a run, and the images that are held out of it for validation.

    Raises:
        ConfigError: if nothing is left to learn from.
    """
    fit_split, validation = _hold_out_validation(source.train, config)
    mean, std = _choose_normalization(fit_split, config)
    return Fit(fit_split.to(compute.device), config, compute, mean, std), validation


def _train_run(run: Run, source: Dataset, fit: Fit, validation: ImageSplit, tell: Callable[[str], None]) -> Run:
    """Train from the run's last checkpoint, or from the start, to the end."""
    started = time.perf_counter()
    config, compute = fit.config, fit.compute
    model = build_model(config.model, classes=len(source.classes), channels=fit.split.channels, seed=config.seed).to(
        device=compute.device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    with prepared_process(compute):
        history = train_epochs(model, fit, validation, run, tell)
    record = ModelRecord(
        model=config.model,
        classes=source.classes,
        channels=fit.split.channels,
        input_size=fit.split.image_size,
        mean=fit.mean,
        std=fit.std,
    )
    weights_hash = save_model(run, model, record)
    outcome = _summarize_training(history, fit)
    if "test" in source.splits and len(source.test):
        predictions = predict_split(model, source.test, record, compute)
        save_predictions(run, predictions, source.test, weights_hash)
        outcome["test_accuracy"] = accuracy(predictions.logits, source.test.labels)
    write_json(run.training, {**outcome, "seconds_total": time.perf_counter() - started})
    return run


def _hold_out_validation(split: ImageSplit, config: TrainConfig) -> tuple[ImageSplit, ImageSplit]:
    """Part the training images into those to learn from and those to validate on, which may be none."""
    none = torch.zeros(0, dtype=torch.int64)
    fit, validation = (
        hold_out(split, config.validation_fraction, config.seed)
        if config.validation_fraction
        else (split, split.subset(none))
    )
    if len(fit) < 2:
        raise ConfigError("train split", f"{len(fit)} images are left to learn from", "give it more images")
    return fit, validation


def _choose_normalization(split: ImageSplit, config: TrainConfig) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation per channel; a channel of one value everywhere gets a deviation of 1."""
    if config.normalization == "half":
        return (0.5,) * split.channels, (0.5,) * split.channels
    return split.mean, tuple(deviation or 1.0 for deviation in split.std)


def _summarize_training(history: list[dict[str, Any]], fit: Fit) -> dict[str, Any]:
    seconds = sum(record["seconds"] for record in history)
    return {
        "epochs": len(history),
        "seconds_training": seconds,
        "images_per_second": len(history) * len(fit.split) / seconds,
        "training_loss": history[-1]["loss"],
        "validation_accuracy": history[-1]["validation_accuracy"],
        "test_accuracy": None,
    }
