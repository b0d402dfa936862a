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
from visionlib.models import predict_logits
from visionlib.progress import progress_bar
from visionlib.runs import Run, write_json_lines
from visionlib.training.batches import augment_images, epoch_batches, prepare_inputs
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint
from visionlib.training.config import TrainConfig
from visionlib.training.device import Compute
from visionlib.training.interruption import noticed_signals
from visionlib.training.schedule import one_cycle, resolution_px

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

    @property
    def steps_per_epoch(self) -> int:
        """Batches that an epoch is cut into; the last ones may be one image smaller."""
        return -(-len(self.split) // self.config.batch_size)


def train_epochs(
    model: nn.Module, fit: Fit, validation: ImageSplit, run: Run, tell: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Train from the run's last checkpoint, or from the start, through the last epoch; give each epoch's record."""
    config = fit.config
    optimizer = make_optimizer(model, config)
    progress = load_checkpoint(run, model, optimizer, fit.compute.device)
    if progress.epoch or progress.steps:
        tell(f"going on after epoch {progress.epoch} and {progress.steps} steps")
    checkpointer = Checkpointer(run, config.checkpoint_s)
    with noticed_signals() as interruption:

        def pause() -> None:
            """Save what is due, and end if a signal came."""
            if interruption.signal is not None:
                checkpointer.save(model, optimizer, progress)
                tell(f"interrupted and saved; go on with: visionlib train --resume {run.path}")
                interruption.end()
            if checkpointer.is_due():
                checkpointer.save(model, optimizer, progress)

        while progress.epoch < config.epochs:
            record = _train_epoch(model, optimizer, fit, progress, pause)
            record["validation_accuracy"] = None
            if len(validation):
                logits = predict_logits(
                    model, validation.images, mean=fit.mean, std=fit.std, precision=fit.compute.precision
                )
                record["validation_accuracy"] = accuracy(logits, validation.labels)
            progress.finish_epoch(record)
            write_json_lines(run.history, progress.history)
            tell(_describe_epoch(record, config.epochs))
            pause()
        if config.checkpoint_s:
            checkpointer.save(model, optimizer, progress)
    return progress.history


def _train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, fit: Fit, progress: Progress, pause: Callable[[], None]
) -> dict[str, Any]:
    """Show every image once, from the step on that `progress` tells; give the epoch's line of `history.jsonl`."""
    config, steps, epoch = fit.config, fit.steps_per_epoch, progress.epoch
    side_px = resolution_px(epoch, config.epochs, config.resolutions, fit.split.image_size[0])
    batches = epoch_batches(fit.split, config.batch_size, seed=config.seed, epoch=epoch)
    done = sum(map(len, batches[: progress.steps]))
    model.train()
    started = glanced = time.perf_counter() - progress.seconds
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}", len(fit.split), "images") as show:
        for positions in batches[progress.steps :]:
            step = epoch * steps + progress.steps
            rate = one_cycle(step, config.epochs * steps, config.peak_learning_rate, config.warmup_fraction)
            loss, hits = train_step(model, optimizer, fit, positions, epoch, side_px, rate)
            progress.loss_sum += loss * len(positions)
            progress.correct += hits
            progress.steps += 1
            done += len(positions)
            if (now := time.perf_counter()) - glanced > _GLANCE_S:
                glanced = now
                show(done, f"loss {_finite(progress.loss_sum, epoch, config) / done:.3f}")
            progress.seconds = now - started
            if progress.steps < steps:
                pause()
        mean_loss = _finite(progress.loss_sum, epoch, config) / done
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch + 1,
        "resolution_px": side_px,
        "learning_rate": rate,
        "loss": mean_loss,
        "training_accuracy": progress.correct.item() / done,
        "seconds": seconds,
        "images_per_second": done / seconds,
    }


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimiser of the settings; the rate of each step is set before it."""
    return torch.optim.SGD(
        model.parameters(),
        lr=config.peak_learning_rate,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        nesterov=config.momentum > 0,
        fused=True,
    )


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    fit: Fit,
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
