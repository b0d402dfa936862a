"""The only training loop: one function for a run's epochs, and one for an epoch; its steps are those of `step`."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.errors import TrainingError
from visionlib.models import predict_logits
from visionlib.progress import progress_bar
from visionlib.runs import Run, write_json_lines
from visionlib.training.allocation import give_back_memory
from visionlib.training.averaging import WeightAverage
from visionlib.training.batches import epoch_batches, shown_batches
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint
from visionlib.training.config import TrainConfig
from visionlib.training.fast_convolutions import fast_convolutions
from visionlib.training.fit import Fit
from visionlib.training.interruption import noticed_signals
from visionlib.training.optimizer import make_optimizer
from visionlib.training.schedule import is_uphill, learning_rate, resolution_px, shares_of_steps
from visionlib.training.step import TrainingStep
from visionlib.training.tensorboard import scalar_writer

_GLANCE_S = 1.0
"""How often the loss is read for the progress bar; each reading makes a GPU wait, so not every step."""


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
    take_step = TrainingStep(model.train(), optimizer, fit)
    if progress.epoch or progress.steps:
        tell(f"going on after epoch {progress.epoch} and {progress.steps} steps")
    began = time.perf_counter()
    trouble = take_step.capture(_kinds_of_batches(fit))
    progress.seconds_startup += time.perf_counter() - began
    if trouble:
        tell(f"steps go one kernel at a time, since they cannot be recorded: {trouble}")
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
            with fast_convolutions(model, fit.compute):
                record = _train_epoch(model, take_step, average, fit, progress, pause)
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
    take_step: TrainingStep,
    average: WeightAverage,
    fit: Fit,
    progress: Progress,
    pause: Callable[[], None],
) -> dict[str, Any]:
    """Show every image once, from the step on that `progress` tells; give the epoch's line of `history.jsonl`."""
    config, steps, epoch = fit.config, fit.steps_per_epoch, progress.epoch
    whole_px = fit.split.image_size[0]
    side_px = progress.history[-1]["resolution_px"] if progress.history else 0
    started = glanced = time.perf_counter() - progress.seconds
    batches = epoch_batches(fit.split, config.batch_size, seed=config.seed, epoch=epoch)
    done, left = sum(map(len, batches[: progress.steps])), batches[progress.steps :]
    shown = shown_batches(fit.split, [fit.world.share(positions) for positions in left], config, epoch)
    model.train()
    with progress_bar(f"epoch {epoch + 1}/{config.epochs}", len(fit.split), "images") as show:
        for positions, (images, labels) in zip(left, shown, strict=True):
            step = epoch * steps + progress.steps
            rate = learning_rate(step, config.epochs * steps, config)
            last_px, side_px = side_px, resolution_px(step, config.epochs * steps, config.resolutions, whole_px)
            if side_px != last_px:
                give_back_memory()
            uphill = is_uphill(step, config.epochs * steps, config)
            loss, hits = take_step(
                images, labels, side_px=side_px, learning_rate=rate, batch_size=len(positions), uphill=uphill
            )
            average.update(step)
            progress.loss_sum += loss * len(labels)
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


def _kinds_of_batches(fit: Fit) -> list[tuple[int, int, bool]]:
    """Number of images and resolution of every kind of batch that a run has, and whether uphill, the largest first."""
    steps = fit.steps_per_epoch
    numbers = {-(-len(fit.split) // steps), len(fit.split) // steps}
    kinds = shares_of_steps(fit.config, fit.split.image_size[0])
    found = [(number, *kind) for number, kind in itertools.product(numbers, kinds)]
    return sorted(found, key=lambda kind: (kind[0] * kind[1] ** 2, kind[2]), reverse=True)


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
