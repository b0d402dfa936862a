"""The training loop: epochs of steps, and between them evaluation, history and checkpoints."""

import itertools
import math
import time
from collections.abc import Callable
from typing import Any

from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.errors import TrainingError
from visionlib.inference.memory import release_memory
from visionlib.inference.prediction import predict_logits
from visionlib.progress import progress_bar
from visionlib.runs import Run, write_json_lines
from visionlib.training.averaging import WeightAverage
from visionlib.training.batches import augmented_batches, epoch_batches
from visionlib.training.checkpoint import Checkpointer, Progress, load_checkpoint
from visionlib.training.config import TrainConfig
from visionlib.training.cuda_graphs import StepKind
from visionlib.training.interruption import deferred_signals
from visionlib.training.job import TrainingJob
from visionlib.training.optimizer import make_optimizer
from visionlib.training.replanning import Replanner, longest_step
from visionlib.training.schedule import is_mixing_epoch, is_sam_step, learning_rate, resolution_px, step_fractions
from visionlib.training.step import TrainingStep
from visionlib.training.tensorboard import scalar_writer

_PROGRESS_INTERVAL_S = 1.0
"""How often the loss is read for the progress bar; each reading makes a GPU wait, so not every step."""


def train_epochs(
    model: nn.Module,
    job: TrainingJob,
    validation: ImageSplit,
    run: Run,
    log: Callable[[str], None],
    test: ImageSplit | None = None,
) -> Progress:
    """Train from the run's last checkpoint, or from the start, through the last step.

    The model ends with the weights to keep. `test` is scored every `test_every` epochs, but not after the last one.
    """
    config, group = job.config, job.group
    optimizer = make_optimizer(model, config, job.compute.dtype, head=job.find_head(model))
    average = WeightAverage(model, config)
    progress = load_checkpoint(run, model, optimizer, average, job.compute.device)
    has_begun = bool(progress.epoch or progress.steps)
    if has_begun:
        several = f" in {group.size} processes" if group.size > 1 else ""
        log(f"going on{several} after epoch {progress.epoch} and {progress.steps} steps")
    take_step = TrainingStep(job.set_training_mode(model), optimizer, job)
    started = time.perf_counter()
    if failure := take_step.record(_step_kinds(job)):
        log(f"training steps are launched kernel by kernel: they cannot be recorded as a CUDA graph ({failure})")
    progress.seconds_startup += time.perf_counter() - started
    checkpointer = Checkpointer(run, config.checkpoint_s, group)
    replanner = Replanner(job, progress) if job.budget is not None else None
    if (isinstance(job.network, nn.Module) or job.init is not None) and not has_begun:
        checkpointer.save(model, optimizer, average, progress)  # its first weights cannot be drawn again
    with (
        deferred_signals(is_one_of_several=group.size > 1) as interruption,
        scalar_writer(run, progress.epoch, is_wanted=config.tensorboard and group.is_first) as write_scalars,
    ):

        def after_step() -> None:
            """Plan the steps to go; save a checkpoint if one is due; end the process if any process got a signal."""
            planned = _plan_steps(replanner, job, progress)
            signal, is_due, steps = group.all_reduce_max(interruption.signal or 0, checkpointer.is_due(), planned)
            _follow_plan(steps, job, progress)
            if signal or is_due:
                # A checkpoint with a NaN must never replace the last good one.
                _read_finite(progress.loss_sum, progress.epoch, config)
                checkpointer.save(model, optimizer, average, progress)
            if signal:
                devices = f" --devices {group.size}" if group.size > 1 else ""
                log(f"interrupted and saved; go on with: visionlib train --resume {run.path}{devices}")
                interruption.signal = signal
                interruption.end()

        while _count_steps_to_go(job, progress):
            record = _train_epoch(model, take_step, average, job, progress, after_step, replanner)
            progress.seconds_to_last_step = progress.seconds_spent
            is_tested = config.test_every > 0 and record["epoch"] % config.test_every == 0
            tested = test if is_tested and _count_steps_to_go(job, progress) else None
            with average.applied():
                record["validation_accuracy"] = _score(model, job, validation, record["resolution_px"])
                record["test_accuracy"] = _score(model, job, tested, record["resolution_px"])
            record["test_n"] = len(tested) if tested else None
            progress.finish_epoch(record)
            if group.is_first:
                write_json_lines(run.history, progress.history)
            write_scalars(record)
            log(_describe_epoch(record, job, progress))
            progress.seconds_paused += progress.seconds_spent - progress.seconds_to_last_step
            after_step()
        if config.checkpoint_s:
            checkpointer.save(model, optimizer, average, progress)
        average.apply()
    return progress


def _train_epoch(
    model: nn.Module,
    take_step: TrainingStep,
    average: WeightAverage,
    job: TrainingJob,
    progress: Progress,
    after_step: Callable[[], None],
    replanner: Replanner | None,
) -> dict[str, Any]:
    """Take the epoch's remaining steps; return its line of `history.jsonl`."""
    config, group, epoch = job.config, job.group, progress.epoch
    started = last_shown = time.perf_counter() - progress.seconds
    # Order and augmentation are pure functions of seed, epoch and image: a resumed epoch goes on with the same batches.
    batches = epoch_batches(
        job.split,
        config.batch_size,
        seed=config.seed,
        epoch=epoch,
        balance=config.balance,
        stream_shards=config.stream_shards,
    )
    done, remaining = sum(map(len, batches[: progress.steps])), batches[progress.steps :]
    start = (progress.pace or job.pace).position(job.count_steps(epoch, 0))
    is_mixing = is_mixing_epoch(start, config)
    augmented = augmented_batches(job.split, remaining, config, group, device=job.compute.device, is_mixing=is_mixing)
    side_px = progress.history[-1]["resolution_px"] if progress.history else 0
    job.set_training_mode(model)
    epochs = format_epochs((progress.pace or job.pace).total_steps / job.steps_per_epoch)
    with progress_bar(f"epoch {epoch + 1}/{epochs}", len(job.split), "images") as show:
        for draws, (images, targets) in zip(remaining, augmented, strict=True):
            step, pace = job.count_steps(epoch, progress.steps), progress.pace or job.pace
            position = pace.position(step)
            rate = learning_rate(position, pace.total_steps, config)
            is_sam = is_sam_step(position, config)
            last_px = side_px
            side_px = resolution_px(position, config.resolutions, job.split.image_size[0])
            if side_px != last_px:
                release_memory()  # tensors of the other resolution do not fit into the freed blocks
            loss, hits = take_step(
                images,
                targets,
                side_px=side_px,
                learning_rate=rate,
                batch_size=len(draws),
                is_sam=is_sam,
            )
            average.update(step)
            progress.loss_sum += loss * len(draws)
            progress.correct += hits
            progress.steps += 1
            done += len(draws)
            if (now := time.perf_counter()) - last_shown > _PROGRESS_INTERVAL_S:
                last_shown = now
                show(done, f"loss {_read_finite(progress.loss_sum, epoch, config) / done:.3f}")
            progress.seconds = now - started
            if replanner:
                replanner.count_step(side_px, is_sam)
            if step + 1 == pace.total_steps:
                break  # an epoch may be cut short by a time budget
            if progress.steps < job.steps_per_epoch:
                after_step()  # after the last step of an epoch, its history comes first
        mean_loss = _read_finite(progress.loss_sum, epoch, config) / done
    seconds = time.perf_counter() - started
    return {
        "epoch": epoch + 1,
        "images": done,
        "resolution_px": side_px,
        "learning_rate": rate,
        "loss": mean_loss,
        "training_accuracy": progress.correct.item() / done,
        "seconds": seconds,
        "images_per_second": done / seconds,
    }


def _step_kinds(job: TrainingJob) -> list[StepKind]:
    """List every kind of step of a run, largest first."""
    steps, n = job.steps_per_epoch, len(job.split)
    kinds = itertools.product({-(-n // steps), n // steps}, step_fractions(job.config, job.split.image_size[0]))
    listed = [StepKind(batch, *kind) for batch, kind in kinds]
    return sorted(listed, key=lambda kind: (kind.n * kind.side_px**2, kind.is_sam), reverse=True)


def _plan_steps(replanner: Replanner | None, job: TrainingJob, progress: Progress) -> int:
    """Return the new number of steps to go, or 0 to keep it; the first process decides for all."""
    if replanner is None or not job.group.is_first or not _count_steps_to_go(job, progress) or not replanner.is_due():
        return 0
    _read_finite(progress.loss_sum, progress.epoch, job.config)  # waits for a GPU
    return replanner.plan()


def _follow_plan(steps: int, job: TrainingJob, progress: Progress) -> None:
    """Change the pace, in all processes after the same step, to that of a number of steps to go; 0 keeps it."""
    if steps:
        step = job.count_steps(progress.epoch, progress.steps)
        progress.pace = (progress.pace or job.pace).replan(step, steps, longest_step(job.config))


def _count_steps_to_go(job: TrainingJob, progress: Progress) -> int:
    """Return the steps from here to the end of the run; 0 after a last epoch that was cut short, too."""
    return max(0, (progress.pace or job.pace).total_steps - job.count_steps(progress.epoch, progress.steps))


def _read_finite(loss_sum: Tensor, epoch: int, config: TrainConfig) -> float:
    value = loss_sum.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"epoch {epoch + 1}",
            "the loss is not a number any more",
            f"lower --peak-learning-rate, which is {config.peak_learning_rate:g}, or use --precision fp32",
        )
    return value


def _score(model: nn.Module, job: TrainingJob, split: ImageSplit | None, side_px: int) -> float | None:
    """Accuracy on a split; None for no images, and in all processes but the first, which wait for it."""
    if split is None or not len(split) or not job.group.is_first:
        return None
    logits = predict_logits(
        model, split.images, mean=job.mean, std=job.std, side_px=side_px, precision=job.compute.precision
    )
    return accuracy(logits, split.labels)


def accuracy(logits: Float32[Tensor, "n k"], labels: Int64[Tensor, "n"]) -> float:
    """Fraction of the images whose largest logit is that of their label."""
    return (logits.argmax(1).cpu() == labels.cpu()).float().mean().item()


def format_epochs(epochs: float) -> str:
    """Write a number of epochs, the last of which may be a part of one."""
    return f"{epochs:.1f}".removesuffix(".0")


def _describe_epoch(record: dict[str, Any], job: TrainingJob, progress: Progress) -> str:
    held_out = record["validation_accuracy"]
    validation = "" if held_out is None else f"  held out {held_out:.2%}"
    epochs = format_epochs((progress.pace or job.pace).total_steps / job.steps_per_epoch)
    done = format_epochs(record["epoch"] - 1 + record["images"] / len(job.split))
    return (
        f"epoch {done:>{len(epochs)}}/{epochs}  {record['resolution_px']} px  "
        f"loss {record['loss']:.3f}  training accuracy {record['training_accuracy']:.2%}{validation}  "
        f"{record['seconds']:.1f} s  {record['images_per_second']:,.0f} images/s"
    )
