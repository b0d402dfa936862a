"""`train` and `resume`: from a dataset and settings to a finished run folder, at once or in several goes.

Both build a `TrainingJob`, then train it (`loop`), then write what the run keeps.
"""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from visionlib.data import Dataset, ImageSplit, load_dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import Compute, compute_environment
from visionlib.inference.predictions import predict_split, save_predictions
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import ModelRecord, TrainedModel, save_model, save_summary
from visionlib.models.initial_weights import Transfer, open_weights, plan_transfer
from visionlib.models.registry import network_name
from visionlib.models.user_model import refuse_code_within
from visionlib.runs import Run, create_run, open_run, read_json, write_json, write_json_lines
from visionlib.training.budget import fit_time_budget
from visionlib.training.config import TrainConfig
from visionlib.training.distributed import ProcessGroup, connected, find_process_group
from visionlib.training.initialization import initialize_model
from visionlib.training.job import TrainingJob, choose_training_compute, make_job
from visionlib.training.loop import accuracy, train_epochs
from visionlib.training.network_check import blamed_errors, check_network, list_idle_settings
from visionlib.training.provenance import describe_run, keep_source, name_run
from visionlib.training.recipes import RECIPES
from visionlib.training.tensorboard import check_tensorboard

_FEW_STEPS = 200

Log = Callable[[str], None]
Network = str | nn.Module | Callable[..., object]
"""A network's name, the network itself, or its class or function, see `visionlib.models.build_model`."""


def train(
    dataset: str | Path | Dataset,
    config: TrainConfig = RECIPES["quick"],
    *,
    model: Network | None = None,
    init: str | os.PathLike[str] | Run | None = None,
    out: str | Path | None = None,
    max_seconds: float | None = None,
    log: Log = lambda line: None,
) -> Run:
    """Train a network, and return the finished run: weights, history, test predictions, and how they came about.

    In a process that torchrun started, all of its processes train this network together, and the first one writes.

    Args:
        dataset: a dataset, or what `load_dataset` takes.
        config: every setting; `RECIPES` holds the measured ones.
        model: a network instead of that of the settings: a name, a class or function, which is called with the data's
            numbers of classes and channels by the names that it has for them, or one that was built already. That one
            is trained itself, and ends with the run's weights. The run keeps no code: where no name leads to the
            network, `TrainedModel.from_run(run, network=...)` loads it.
        init: weights to begin with: a run, a checkpoint file, a hub folder, or the name of pretrained weights, see
            `visionlib.models.open_weights`. The head is new where their classes are others. Their mean and std, where
            they are known, stay the network's. `config.json` tells what was taken.
        out: the run folder to make; by default `runs/DATASET-MODEL-TIME`.
        max_seconds: time for the epochs; as many are trained as fit into it here, instead of `config.epochs`.
        log: takes a line at the start and after each epoch.
    Raises:
        ConfigError: if the settings do not fit the dataset or the machine.
        DataError: if the dataset cannot be loaded, or has no image to learn from.
        ModelError: if the network cannot be built, trained or kept, or none of `init` fits it; nothing is written then.
        RunError: if `out` exists already, or `init` is an unfinished or damaged run.
        TrainingError: if the loss is not a number any more, or another process died.
    """
    if model is not None:
        config = config.replace(model=network_name(model))
    if config.tensorboard:
        check_tensorboard()
    group = find_process_group()
    compute = choose_training_compute(config, group)
    log = log if group.is_first else _stay_silent
    log(str(compute))
    source = load_dataset(dataset) if isinstance(dataset, str | Path) else dataset
    weights = None if init is None else open_weights(init)
    job, validation = make_job(
        source, config, compute, group, network=None if isinstance(model, str) else model, init=weights
    )
    network, transfer = job.build_model(), None
    if weights is not None:
        transfer = plan_transfer(network, weights, source.classes)
    for line in _describe_beginning(job, transfer):
        log(line)
    check_network(network, job)
    job.check_head(network)
    if max_seconds is not None:
        config = fit_time_budget(job, max_seconds)
        job = dataclasses.replace(job, config=config)
        log(f"{config.epochs} epochs fit into {max_seconds:.0f} s")
    with connected(group, compute.device):
        run = Run(group.broadcast(Path(out) if out is not None else name_run(source.name, config.model)))
        if group.is_first:
            write_json(create_run(run.path).config, describe_run(source, config, compute, transfer))
            keep_source(run, network, job)
        log(f"{source.name}: {len(job.split):,} images to learn from, {config.model} -> {run.path}")
        if job.total_steps < _FEW_STEPS:
            log(f"these are {job.total_steps} steps, few to learn in: more --epochs or a smaller --batch-size may help")
        for line in list_idle_settings(network, job):
            log(line)
        return _train_run(run, source, job, network, validation, log)


def resume(
    run: Run | str | os.PathLike[str],
    *,
    model: Network | None = None,
    dataset: str | Path | Dataset | None = None,
    log: Log = lambda line: None,
) -> Run:
    """Go on with an interrupted training, to exactly the weights that it would have had without the interruption.

    Args:
        run: the run, or its folder.
        model: the network again, for a run that was begun with one in memory.
        dataset: where its data lies now, if it has moved since.
        log: takes a line at the start and after each epoch.
    Returns:
        The finished run.
    Raises:
        RunError: if the run is finished already or damaged, or its data is not what it began with.
        ConfigError: if this machine lacks the run's hardware, or another number of processes trained it.
        ModelError: if the network was passed in memory, and is not passed again.
        TrainingError: as `train`.
        DataError: if the data cannot be read.
    """
    run = run if isinstance(run, Run) else open_run(run)
    if run.training.is_file():
        raise RunError(run.path, "is finished", f"test it with: visionlib test {run.path}")
    record = read_json(run.config)
    if record.get("imported"):
        raise RunError(run.path, "was imported, and has no training", f"begin one with --init {run.path}")
    init = record.get("init")
    if init and not run.resume.is_file():
        raise RunError(run.path, "has no checkpoint yet", f"train again with --init {init['source']}")
    group = find_process_group()
    if (processes := record["compute"].get("processes", 1)) != group.size:
        raise ConfigError(
            str(run.path),
            f"was begun by {_count_processes(processes)} and cannot go on in {_count_processes(group.size)}",
            f"resume it with --devices {processes}",
        )
    config, compute = _choose_same_compute(run, record, group)
    log = log if group.is_first else _stay_silent
    log(str(compute))
    source = load_run_data(run, dataset)
    if isinstance(model, str):
        config, model = config.replace(model=model), None
    elif model is None:
        refuse_code_within(run.path, config.model)
    normalization = (tuple(init["mean"]), tuple(init["std"])) if init and init["mean"] else None
    job, validation = make_job(source, config, compute, group, network=model, normalization=normalization)
    network = job.build_model()
    check_network(network, job)
    with connected(group, compute.device):
        return _train_run(run, source, job, network, validation, log)


def _describe_beginning(job: TrainingJob, transfer: Transfer | None) -> list[str]:
    """Describe the weights that a training begins with, and the settings that they overrule."""
    if transfer is None:
        is_random = job.config.freeze and not isinstance(job.network, nn.Module)
        return ["warning: freeze without weights to begin with: all layers but the head stay random"] * is_random
    lines = transfer.describe()
    if transfer.mean is None:
        lines.append("these weights tell no mean and std: images are normalized by the settings")
    else:
        values = (" ".join(f"{value:.4f}" for value in numbers) for numbers in (job.mean, job.std))
        lines.append("normalized as in the training of these weights: mean {}, std {}".format(*values))
    return [*lines, "whiten is skipped: the stem begins with these weights"] if job.config.whiten else lines


def _choose_same_compute(run: Run, record: dict[str, Any], group: ProcessGroup) -> tuple[TrainConfig, Compute]:
    """Choose the device, precision, threads and kernels that a run began with: others would round differently."""
    used = record["compute"]
    config = TrainConfig.from_dict(
        {**record["config"], **{name: used[name] for name in ("device", "precision", "threads")}}
    )
    had_kernels = used.get("kernels", "torch") == "own"
    compute = choose_training_compute(config if had_kernels else config.replace(kernels="off"), group)
    if had_kernels and compute.kernels != "own":
        raise ConfigError(
            str(run.path), f"was begun with kernels that cannot be had here: {compute.reason}", "resume it where it was"
        )
    return config, compute


def _train_run(
    run: Run, source: Dataset, job: TrainingJob, network: nn.Module, validation: ImageSplit, log: Log
) -> Run:
    """Train from the run's last checkpoint, or from the start, to the end."""
    if isinstance(job.network, nn.Module):
        job.group.broadcast_state(network)  # its weights are of no seed
    is_learning = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    with compute_environment(job.compute), blamed_errors(network, job):
        initialize_model(network, job)
        progress = train_epochs(network, job, validation, run, log, source.splits.get("test"))
    for parameter, was_learning in is_learning:
        parameter.requires_grad_(was_learning)
    if job.group.is_first:
        model = TrainedModel(
            network,
            job.mean,
            job.std,
            job.final_input_size[0],
            source.classes,
            job.compute.precision,
            f"run {run.path}",
        )
        outcome = _save_outcome(run, model, job, source, validation, progress.history)
        seconds = {"seconds_startup": progress.seconds_startup, "seconds_total": progress.seconds_total}
        write_json(run.training, {**outcome, **seconds})
        from visionlib.training.history_picture import save_history_picture  # matplotlib takes a second to import

        save_history_picture(run)
    return run


def _save_outcome(
    run: Run,
    model: TrainedModel,
    job: TrainingJob,
    source: Dataset,
    validation: ImageSplit,
    history: list[dict[str, Any]],
) -> dict[str, Any]:
    """Write weights, layer table and predictions; return the content of `training.json` but for the total times."""
    record = save_model(
        run,
        model.network,
        ModelRecord(job.config.model, model.classes, model.channels, job.final_input_size, model.mean, model.std),
    )
    save_summary(run, model.network, record)
    if len(validation):
        predictions = predict_split(model, validation, compute=job.compute)
        save_predictions(run, predictions, validation, record.weights_sha256, file=run.validation)
    outcome = _summarize_history(history, len(job.split))
    if "test" in source.splits and len(source.test):
        predictions = predict_split(model, source.test, compute=job.compute)
        save_predictions(run, predictions, source.test, record.weights_sha256)
        outcome["test_accuracy"] = accuracy(predictions.logits, source.test.labels)
        history[-1].update(test_accuracy=outcome["test_accuracy"], test_n=len(source.test))
        write_json_lines(run.history, history)
    return outcome


def _summarize_history(history: list[dict[str, Any]], n: int) -> dict[str, Any]:
    seconds = sum(record["seconds"] for record in history)
    return {
        "epochs": len(history),
        "seconds_training": seconds,
        "images_per_second": len(history) * n / seconds,
        "training_loss": history[-1]["loss"],
        "validation_accuracy": history[-1]["validation_accuracy"],
        "test_accuracy": None,
    }


def _count_processes(count: int) -> str:
    return f"{count} processes" if count > 1 else "one process"


def _stay_silent(line: str) -> None:
    pass
