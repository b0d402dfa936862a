"""The only training loop: one function for a run's epochs, one for an epoch, one for a step."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.errors import TrainingError
from visionlib.models import predict_logits, prepare_inputs
from visionlib.progress import progress_bar
from visionlib.runs import Run, write_json_lines
from visionlib.training.averaging import WeightAverage
from visionlib.training.batches import augment_images, epoch_batches
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute
from visionlib.training.interruption import noticed_signals
from visionlib.training.optimizer import make_optimizer, set_rates
from visionlib.training.schedule import learning_rate, resolution_px
from visionlib.training.small_maps import small_maps_as_products
from visionlib.training.tensorboard import scalar_writer
from visionlib.training.world import ALONE, World

_GLANCE_S = 1.0
"""How often the loss is read for the progress bar; each reading makes a GPU wait, so not every step."""


@dataclass(frozen=True)
class Fit:
    """What stays the same through a run: the images to learn from, how they are shown, and on what."""

    split: ImageSplit
    config: TrainConfig
    compute: Compute
    mean: tuple[float, ...]
    std: tuple[float, ...]
    world: World = ALONE

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch is cut into; the last ones may be one image smaller."""
        return -(-len(self.split) // self.config.batch_size)

    @property
    def parts(self) -> int:
        """Parts that this process works through its images of a step in; several processes are parts themselves."""
        return self.config.parts if self.world.size == 1 else 1

    @property
    def number_format(self) -> torch.dtype:
        """What products are computed in."""
        return torch.bfloat16 if self.compute.precision == "bf16" else torch.float32


def train_epochs(
    model: nn.Module,
    fit: Fit,
    validation: ImageSplit,
    run: Run,
    tell: Callable[[str], None],
    test: ImageSplit | None = None,
) -> Progress:
    """Train from the run's last checkpoint, or from the start, through the last epoch; give how that went.

    `test` is scored every so many epochs where the settings ask for it, but for the last one: whoever saves the weights
    scores that.
    """
    config, world = fit.config, fit.world
    optimizer = make_optimizer(model, config, fit.number_format)
    average = WeightAverage(model, config, config.epochs * fit.steps_per_epoch)
    progress = load_checkpoint(run, model, optimizer, average, fit.compute.device, world)
    learner = world.wrap(model)
    if progress.epoch or progress.steps:
        tell(f"going on after epoch {progress.epoch} and {progress.steps} steps")
    checkpointer = Checkpointer(run, config.checkpoint_s, world)
    with (
        noticed_signals(is_one_of_several=world.size > 1) as interruption,
        scalar_writer(run, progress.epoch, is_wanted=config.tensorboard and world.is_first) as write_scalars,
    ):

        def pause() -> None:
            """Save what is due, and end if a signal came to any process."""
            number, is_due = world.agree(interruption.signal or 0, checkpointer.is_due())
            if number or is_due:
                # What is no number must never take the place of the last good checkpoint.
                _finite(progress.loss_sum, progress.epoch, config)
                checkpointer.save(model, optimizer, average, progress)
            if number:
                several = f" --devices {world.size}" if world.size > 1 else ""
                tell(f"interrupted and saved; go on with: visionlib train --resume {run.path}{several}")
                interruption.signal = number
                interruption.end()

        while progress.epoch < config.epochs:
            with small_maps_as_products(model, fit.compute.device):
                record = _train_epoch(learner, optimizer, average, fit, progress, pause)
            world.average_statistics(model)
            tested = test if _is_test_due(record["epoch"], config) else None
            with average.used():
                record["validation_accuracy"] = _score(model, fit, validation, record["resolution_px"])
                record["test_accuracy"] = _score(model, fit, tested, record["resolution_px"])
            record["test_n"] = len(tested) if tested else None
            progress.finish_epoch(record)
            if world.is_first:
                write_json_lines(run.history, progress.history)
            write_scalars(record)
            tell(_describe_epoch(record, config.epochs))
            pause()
        if config.checkpoint_s:
            checkpointer.save(model, optimizer, average, progress)
        average.finish()
    return progress


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage,
    fit: Fit,
    progress: Progress,
    pause: Callable[[], None],
) -> dict[str, Any]:
    """Show every image once, from the step on that `progress` tells; give the epoch's line of `history.jsonl`."""
    config, steps, epoch = fit.config, fit.steps_per_epoch, progress.epoch
    whole_px = fit.split.image_size[0]
    batches = epoch_batches(fit.split, config.batch_size, seed=config.seed, epoch=epoch)
    done = sum(map(len, batches[: progress.steps]))
    model.train()
    started = glanced = time.perf_counter() - progress.seconds
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}", len(fit.split), "images") as show:
        for positions in batches[progress.steps :]:
            step = epoch * steps + progress.steps
            rate = learning_rate(step, config.epochs * steps, config)
            side_px = resolution_px(step, config.epochs * steps, config.resolutions, whole_px)
            own = fit.world.share(positions)
            loss, hits = train_step(model, optimizer, fit, own, epoch, side_px, rate, len(positions))
            average.update(step)
            progress.loss_sum += loss * len(own)
            progress.correct += hits
            progress.steps += 1
            done += len(positions)
            if (now := time.perf_counter()) - glanced > _GLANCE_S:
                glanced = now
                show(done, f"loss {_finite(progress.loss_sum, epoch, config) * fit.world.size / done:.3f}")
            progress.seconds = now - started
            if progress.steps < steps:
                pause()
        loss_sum, correct = fit.world.sum(progress.loss_sum, progress.correct)
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


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fit: Fit,
    positions: Int64[Tensor, "n"],
    epoch: int,
    side_px: int,
    learning_rate: float,
    batch_size: int | None = None,
) -> tuple[Float32[Tensor, ""], Int64[Tensor, ""]]:
    """Learn from one batch, or from this process's part of one of `batch_size` images.

    Returns:
        The mean loss, and how many were right, of the images at `positions`, still on the device.
    """
    set_rates(optimizer, fit.config, learning_rate)
    optimizer.zero_grad(set_to_none=True)
    n = len(positions)
    parts = [part for part in positions.tensor_split(fit.parts) if len(part)]
    found = []
    for part in parts:
        loss, hits = _look(model, fit, part, epoch, side_px)
        loss = loss if len(parts) == 1 else loss * (len(part) / n)
        fit.world.weigh(loss, n, batch_size or n).backward()  # type: ignore[no-untyped-call]
        found.append((loss.detach(), hits))
    optimizer.step()
    if len(found) == 1:
        return found[0]
    losses, hits_of_parts = zip(*found, strict=True)
    return torch.stack(losses).sum(), torch.stack(hits_of_parts).sum()


def _look(
    model: nn.Module, fit: Fit, positions: Int64[Tensor, "n"], epoch: int, side_px: int
) -> tuple[Float32[Tensor, ""], Int64[Tensor, ""]]:
    """Show images to the network; give their mean loss, to go back from, and how many are right."""
    labels = fit.split.labels[positions]
    images = augment_images(fit.split.images[positions], fit.split.index[positions], fit.config, epoch)
    inputs = prepare_inputs(images, fit.mean, fit.std, side_px)
    device_type = torch.device(fit.compute.device).type
    with torch.autocast(device_type, torch.bfloat16, enabled=fit.compute.precision == "bf16"):
        logits = model(inputs)
    loss = F.cross_entropy(logits.float(), labels, label_smoothing=fit.config.label_smoothing)
    return loss, (logits.detach().argmax(1) == labels).sum()


def _finite(loss_sum: Tensor, epoch: int, config: TrainConfig) -> float:
    value = loss_sum.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"epoch {epoch + 1}",
            "the loss is not a number any more",
            f"lower --peak-learning-rate, which is {config.peak_learning_rate:g}, or use --precision fp32",
        )
    return value


def _is_test_due(epoch: int, config: TrainConfig) -> bool:
    return config.test_every > 0 and epoch % config.test_every == 0 and epoch < config.epochs


def _score(model: nn.Module, fit: Fit, split: ImageSplit | None, side_px: int) -> float | None:
    """Accuracy on a split at a resolution; None for no images, and in all processes but the first, who wait for it."""
    if split is None or not len(split) or not fit.world.is_first:
        return None
    logits = predict_logits(
        model, split.images, mean=fit.mean, std=fit.std, side_px=side_px, precision=fit.compute.precision
    )
    return accuracy(logits, split.labels)


def accuracy(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> float:
    """Share of the images whose largest logit is that of their label."""
    return (logits.argmax(1).cpu() == labels.cpu()).float().mean().item()


def _describe_epoch(record: dict[str, Any], epochs: int) -> str:
    held_out = record["validation_accuracy"]
    validation = "" if held_out is None else f"  held out {held_out:.2%}"
    return (
        f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}  {record['resolution_px']} px  "
        f"loss {record['loss']:.3f}  training accuracy {record['training_accuracy']:.2%}{validation}  "
        f"{record['seconds']:.1f} s  {record['images_per_second']:,.0f} images/s"
    )
