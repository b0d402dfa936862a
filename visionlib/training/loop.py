"""The only training loop: one function for a run, one for an epoch, one for a step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.data import Dataset, ImageSplit, hold_out, load_dataset
from visionlib.errors import ConfigError, TrainingError
from visionlib.models import build_model, predict_logits
from visionlib.progress import progress_bar
from visionlib.runs import Run, create_run, write_json, write_json_lines
from visionlib.training.batches import augment_images, epoch_batches, prepare_inputs
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute, choose_compute, prepared_process
from visionlib.training.predictions import predict_split, save_predictions
from visionlib.training.provenance import describe_run, name_run
from visionlib.training.recipes import RECIPES
from visionlib.training.schedule import one_cycle, resolution_px
from visionlib.training.trained_model import ModelRecord, save_model

_GLANCE_S = 1.0
"""How often the loss is read for the progress bar; each reading makes a GPU wait, so not every step."""


@dataclass(frozen=True)
class _Fit:
    """What stays the same through a run: the images to learn from, how they are shown, and on what."""

    split: ImageSplit
    config: TrainConfig
    compute: Compute
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.split) // self.config.batch_size)


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
    started = time.perf_counter()
    compute = choose_compute(config.device, config.precision, config.threads)
    tell(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    fit_split, validation = _hold_out_validation(source.train, config)
    mean, std = _choose_normalization(fit_split, config)
    fit = _Fit(fit_split.to(compute.device), config, compute, mean, std)
    model = build_model(config.model, classes=len(source.classes), channels=fit_split.channels, seed=config.seed).to(
        device=compute.device, memory_format=torch.channels_last
    )  # type: ignore[call-overload]

    run = create_run(Path(out) if out is not None else name_run(source.name, config.model))
    write_json(run.config, describe_run(source, config, compute))
    tell(f"{source.name}: {len(fit_split):,} images to learn from, {config.model} -> {run.path}")

    with prepared_process(compute):
        history = _train_epochs(model, fit, validation, run, tell)
    record = ModelRecord(
        model=config.model,
        classes=source.classes,
        channels=fit_split.channels,
        input_size=fit_split.image_size,
        mean=mean,
        std=std,
    )
    weights_hash = save_model(run, model, record)
    outcome = _summarize_training(history, fit)
    if "test" in source.splits and len(source.test):
        predictions = predict_split(model, source.test, record, compute)
        save_predictions(run, predictions, source.test, weights_hash)
        outcome["test_accuracy"] = _accuracy(predictions.logits, source.test.labels)
    write_json(run.training, {**outcome, "seconds_total": time.perf_counter() - started})
    return run


def _train_epochs(
    model: nn.Module, fit: _Fit, validation: ImageSplit, run: Run, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    config = fit.config
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=config.peak_learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=True,
    )
    history: list[dict[str, Any]] = []
    for epoch in range(config.epochs):
        record = _train_epoch(model, optimizer, fit, epoch)
        record["validation_accuracy"] = None
        if len(validation):
            logits = predict_logits(
                model, validation.images, mean=fit.mean, std=fit.std, precision=fit.compute.precision
            )
            record["validation_accuracy"] = _accuracy(logits, validation.labels)
        history.append(record)
        write_json_lines(run.history, history)
        tell(_describe_epoch(record, config.epochs))
    return history


def _train_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, fit: _Fit, epoch: int) -> dict[str, Any]:
    """Show every image once, and give the epoch's line of `history.jsonl`."""
    config, steps = fit.config, fit.steps_per_epoch
    side_px = resolution_px(epoch, config.epochs, config.resolutions, fit.split.image_size[0])
    loss_sum = torch.zeros((), device=fit.compute.device)
    correct = torch.zeros((), dtype=torch.int64, device=fit.compute.device)
    model.train()
    started = glanced = time.perf_counter()
    done = 0
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}", len(fit.split), "images") as show:
        for step, positions in enumerate(
            epoch_batches(fit.split, config.batch_size, seed=config.seed, epoch=epoch), epoch * steps
        ):
            rate = one_cycle(step, config.epochs * steps, config.peak_learning_rate, config.warmup_fraction)
            loss, hits = _train_step(model, optimizer, fit, positions, epoch, side_px, rate)
            loss_sum += loss * len(positions)
            correct += hits
            done += len(positions)
            if (now := time.perf_counter()) - glanced > _GLANCE_S:
                glanced = now
                show(done, f"loss {_finite(loss_sum, epoch, config) / done:.3f}")
        mean_loss = _finite(loss_sum, epoch, config) / done
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch + 1,
        "resolution_px": side_px,
        "learning_rate": rate,
        "loss": mean_loss,
        "training_accuracy": correct.item() / done,
        "seconds": seconds,
        "images_per_second": done / seconds,
    }


def _train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fit: _Fit,
    positions: Int64[Tensor, "n"],
    epoch: int,
    side_px: int,
    learning_rate: float,
) -> tuple[Float32[Tensor, ""], Int64[Tensor, ""]]:
    """Learn from one batch; give its mean loss and how many it got right, still on the device."""
    labels = fit.split.labels[positions]
    images = augment_images(fit.split.images[positions], fit.split.index[positions], fit.config, epoch)
    inputs = prepare_inputs(images, fit.mean, fit.std, side_px)
    for group in optimizer.param_groups:
        group["lr"] = learning_rate
    device_type = torch.device(fit.compute.device).type
    with torch.autocast(device_type, torch.bfloat16, enabled=fit.compute.precision == "bf16"):
        logits = model(inputs)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=fit.config.label_smoothing)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.detach(), (logits.detach().argmax(1) == labels).sum()


def _finite(loss_sum: Tensor, epoch: int, config: TrainConfig) -> float:
    value = loss_sum.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"epoch {epoch + 1}",
            "the loss is not a number any more",
            f"lower --peak-learning-rate, which is {config.peak_learning_rate:g}, or use --precision fp32",
        )
    return value


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


def _accuracy(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> float:
    return (logits.argmax(1).cpu() == labels.cpu()).float().mean().item()


def _summarize_training(history: list[dict[str, Any]], fit: _Fit) -> dict[str, Any]:
    seconds = sum(record["seconds"] for record in history)
    return {
        "epochs": len(history),
        "seconds_training": seconds,
        "images_per_second": len(history) * len(fit.split) / seconds,
        "training_loss": history[-1]["loss"],
        "validation_accuracy": history[-1]["validation_accuracy"],
        "test_accuracy": None,
    }


def _describe_epoch(record: dict[str, Any], epochs: int) -> str:
    held_out = record["validation_accuracy"]
    validation = "" if held_out is None else f"  held out {held_out:.2%}"
    return (
        f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}  {record['resolution_px']} px  "
        f"loss {record['loss']:.3f}  training accuracy {record['training_accuracy']:.2%}{validation}  "
        f"{record['seconds']:.1f} s  {record['images_per_second']:,.0f} images/s"
    )
