"""`train` and `resume`: from a dataset and settings to a finished run folder, in one go or in several."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from visionlib.data import Dataset, ImageSplit, hold_out, load_dataset
from visionlib.errors import ConfigError, RunError
from visionlib.models import build_model
from visionlib.models.normalize import scale_width
from visionlib.runs import Run, create_run, open_run, read_json, write_json, write_json_lines
from visionlib.training.budget import fit_budget
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute, choose_compute, prepared_process
from visionlib.training.fit import Fit
from visionlib.training.initialization import initialize_model
from visionlib.training.loop import accuracy, train_epochs
from visionlib.training.predictions import predict_split, save_predictions
from visionlib.training.provenance import describe_run, name_run
from visionlib.training.recipes import RECIPES
from visionlib.training.run_data import load_run_data
from visionlib.training.run_summary import save_summary
from visionlib.training.schedule import share_px
from visionlib.training.tensorboard import check_tensorboard
from visionlib.training.trained_model import ModelRecord, save_model
from visionlib.training.world import ALONE, World, find_world, joined

_FEW_STEPS = 200


def train(
    dataset: str | Path | Dataset,
    config: TrainConfig = RECIPES["quick"],
    *,
    out: str | Path | None = None,
    max_seconds: float | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train a network, and leave a finished run folder: weights, history, test predictions, and how they came about.

    In a process that torchrun started, all of its processes train this network together, and the first one writes.

    Args:
        dataset: a dataset, or what `load_dataset` takes.
        config: every setting; `RECIPES` holds the measured ones.
        out: the run folder to make; by default `runs/DATASET-MODEL-TIME`.
        max_seconds: time for the epochs; as many are trained as fit into it here, instead of `config.epochs`.
        tell: takes a line for people at the start and after each epoch.
    Returns:
        The finished run.
    Raises:
        ConfigError: if the settings do not fit the dataset or the machine.
        DataError: if the dataset cannot be loaded, or has no image to learn from.
        RunError: if `out` is there already.
        TrainingError: if the loss is not a number any more, or another process died.
    """
    if config.tensorboard:
        check_tensorboard()
    world = find_world()
    compute = choose_compute(config.device, config.precision, config.threads, world, config.kernels)
    tell = tell if world.is_first else _stay_silent
    tell(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    fit, validation = prepare_fit(source, config, compute, world)
    if max_seconds is not None:
        config = fit_budget(fit, len(source.classes), max_seconds)
        fit = dataclasses.replace(fit, config=config)
        tell(f"{config.epochs} epochs fit into {max_seconds:.0f} s")
    with joined(world, compute.device):
        run = Run(world.hear(Path(out) if out is not None else name_run(source.name, config.model)))
        if world.is_first:
            write_json(create_run(run.path).config, describe_run(source, config, compute))
        tell(f"{source.name}: {len(fit.split):,} images to learn from, {config.model} -> {run.path}")
        if (steps := config.epochs * fit.steps_per_epoch) < _FEW_STEPS:
            tell(f"these are {steps} steps, few to learn in: more --epochs or a smaller --batch-size may help")
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
        ConfigError: if this machine lacks what it was trained on, or another number of processes trained it.
        TrainingError: as `train`.
        DataError: if the data cannot be read.
    """
    run = run if isinstance(run, Run) else open_run(run)
    if run.training.is_file():
        raise RunError(run.path, "is finished", f"test it with: visionlib test {run.path}")
    record = read_json(run.config)
    # On what it began with: another device, format or number of threads would round differently.
    told = {name: record["compute"][name] for name in ("device", "precision", "threads")}
    config = TrainConfig.from_dict({**record["config"], **told})
    world = find_world()
    if (processes := record["compute"].get("processes", 1)) != world.size:
        raise ConfigError(
            str(run.path),
            f"was begun by {_count_processes(processes)} and cannot go on in {_count_processes(world.size)}",
            f"resume it with --devices {processes}",
        )
    compute = _choose_same_compute(run, record["compute"], config, world)
    tell = tell if world.is_first else _stay_silent
    tell(str(compute))
    source = load_run_data(run, dataset)
    fit, validation = prepare_fit(source, config, compute, world)
    with joined(world, compute.device):
        return _train_run(run, source, fit, validation, tell)


def _choose_same_compute(run: Run, began: dict[str, Any], config: TrainConfig, world: World) -> Compute:
    """Compute with the kernels that a run began with, which no other kernels' bits are the same as."""
    had_own = began.get("kernels", "torch") == "own"
    compute = choose_compute(
        config.device, config.precision, config.threads, world, config.kernels if had_own else "off"
    )
    if had_own and compute.kernels != "own":
        raise ConfigError(
            str(run.path), f"was begun with kernels that cannot be had here: {compute.reason}", "resume it where it was"
        )
    return compute


def prepare_fit(source: Dataset, config: TrainConfig, compute: Compute, world: World = ALONE) -> tuple[Fit, ImageSplit]:
    """Lay out what stays the same through a run, and the images that are held out of it for validation.

    Raises:
        ConfigError: if nothing is left to learn from, or too little for each of the processes, or these are
            fewer than the parts of a step, or what only a GPU does is asked of something else.
    """
    if config.compile and not compute.device.startswith("cuda"):
        raise ConfigError("compile", f"it is made for GPUs, and this trains on {compute.device}", "leave it out")
    if world.size > 1 and config.parts > world.size:
        raise ConfigError(
            "parts", f"{config.parts} are more than the {world.size} processes that part a step", "take fewer"
        )
    fit_split, validation = _hold_out_validation(source.train, config)
    mean, std = _choose_normalization(fit_split, config)
    fit = Fit(fit_split.to(compute.device), config, compute, mean, std, world)
    smallest = len(fit_split) // fit.steps_per_epoch
    if config.parts > 1 and smallest < 2 * config.parts:
        raise ConfigError("parts", f"of {config.parts} each has less than two images of a step", "take fewer")
    if world.size > 1 and smallest < 2 * world.size:
        raise ConfigError(
            "batch_size",
            f"batches of {smallest} images are less than two for each of {world.size} processes",
            "set it higher, or take fewer processes",
        )
    return fit, validation


def _train_run(run: Run, source: Dataset, fit: Fit, validation: ImageSplit, tell: Callable[[str], None]) -> Run:
    """Train from the run's last checkpoint, or from the start, to the end."""
    config, compute = fit.config, fit.compute
    model = build_model(config.model, classes=len(source.classes), channels=fit.split.channels, seed=config.seed).to(
        device=compute.device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]
    with prepared_process(compute):
        initialize_model(model, fit.split, config, fit.mean, fit.std)
        progress = train_epochs(model, fit, validation, run, tell, source.splits.get("test"))
    if not fit.world.is_first:
        return run
    record = ModelRecord(
        model=config.model,
        classes=source.classes,
        channels=fit.split.channels,
        input_size=_input_size(fit),
        mean=fit.mean,
        std=fit.std,
    )
    weights_hash = save_model(run, model, record)
    save_summary(run, model, record)
    if len(validation):
        held_out = predict_split(model, validation, record, compute)
        save_predictions(run, held_out, validation, weights_hash, file=run.validation)
    history = progress.history
    outcome = _summarize_training(history, fit)
    if "test" in source.splits and len(source.test):
        predictions = predict_split(model, source.test, record, compute)
        save_predictions(run, predictions, source.test, weights_hash)
        outcome["test_accuracy"] = accuracy(predictions.logits, source.test.labels)
        history[-1].update(test_accuracy=outcome["test_accuracy"], test_n=len(source.test))
        write_json_lines(run.history, history)
    seconds = {"seconds_startup": progress.seconds_startup, "seconds_total": progress.seconds_total}
    write_json(run.training, {**outcome, **seconds})
    return run


def _input_size(fit: Fit) -> tuple[int, int]:
    """Height and width that the last step is trained at: a network is at its best at what it saw last."""
    height, width = fit.split.image_size
    side_px = share_px(fit.config.resolutions[-1], height)
    return side_px, scale_width(height, width, side_px)


def _count_processes(count: int) -> str:
    return f"{count} processes" if count > 1 else "one process"


def _stay_silent(line: str) -> None:
    pass


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
