"""`train` and `resume`: from a dataset and settings to a finished run folder, at once or in several goes.

Both build a `TrainingJob`, then train it (`loop`), then write what the run keeps.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import Compute, compute_environment
from visionlib.inference.run_corrections import save_corrections
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.initial_weights import InitialWeights, plan_transfer
from visionlib.models.registry import network_name
from visionlib.models.user_model import refuse_strange_code
from visionlib.runs import Run, create_run, open_run, read_config, write_json
from visionlib.runs.lock import writing
from visionlib.training.baseline import describe_failure
from visionlib.training.budget import describe_pace, fit_time_budget, follow_pace, restore_pace
from visionlib.training.config import TrainConfig
from visionlib.training.defaults import ChosenSettings, choose_for_machine, choose_initial_weights
from visionlib.training.distributed import ProcessGroup, connected, find_process_group, is_restartable
from visionlib.training.initialization import initialize_model
from visionlib.training.job import TrainingJob, choose_same_compute, choose_training_compute, make_job
from visionlib.training.loop import train_epochs
from visionlib.training.network_check import blamed_errors, check_network
from visionlib.training.outcome import describe_times, save_outcome
from visionlib.training.pace import Pace
from visionlib.training.provenance import describe_run, keep_source, list_agreed, name_run, read_settings
from visionlib.training.start_messages import describe_cost, describe_start
from visionlib.training.tensorboard import check_tensorboard
from visionlib.training.training_data import (
    Source,
    Without,
    check_same_corrections,
    describe_corrections,
    load_training_data,
)

Log = Callable[[str], None]
Network = str | nn.Module | Callable[..., object]
"""A network's name, the network itself, or its class or function, see `visionlib.models.build_model`."""


def train(
    dataset: Source,
    config: TrainConfig | Mapping[str, Any] = MappingProxyType({}),
    *,
    model: Network | None = None,
    init: str | os.PathLike[str] | Run | None = "auto",
    without: Without | None = None,
    out: str | Path | None = None,
    max_seconds: float | None = None,
    pace: Pace | None = None,
    go_on: bool = False,
    log: Log = lambda line: None,
) -> Run:
    """Train a network, and return the finished run: weights, history, test predictions, and how they came about.

    In a process that torchrun started, all of its processes train this network together, and the first one writes.

    Args:
        dataset: a dataset, or what `load_dataset` takes, such as (images, labels), or a function that loads it.
        config: every setting, or some by name: the others are chosen for the data, see `choose_settings`. `RECIPES`
            holds complete ones.
        model: a network instead of that of the settings: a name, a class or function, which is called with the data's
            numbers of classes and channels by the names that it has for them, or one that was built already. That one
            is trained itself, and ends with the run's weights. The run keeps no code: where no name leads to the
            network, `TrainedModel.from_run(run, network=...)` loads it.
        init: weights to begin with: a run, a checkpoint file, a hub folder, or the name of pretrained weights, see
            `visionlib.models.open_weights`. The head is new where their classes are others. Their mean and std, where
            they are known, stay the network's. `config.json` tells what was taken. None begins with random weights;
            "auto" takes pretrained ones where the settings are chosen for fewer than 2,000 color images, and no network
            is passed.
        without: training images to leave out or to relabel: a file that lists them, see `read_corrections`, a run that
            did the same, their stable ids, or `Corrections`. The run keeps them; its data is what it learned from.
        out: the run folder to make; by default `runs/DATASET-MODEL-TIME`.
        max_seconds: time for the steps; as many are taken as fit into it here, instead of `config.epochs`. Their number
            is planned again while they go; the last epoch may be cut short.
        pace: of a run with `max_seconds`, from its `training.json`, to repeat that run exactly.
        go_on: resume the run at `out` if it has begun, and return it if it is finished, so that one call serves every
            restart; always so where torchrun restarts processes (`--max-restarts`).
        log: takes a line at the start and after each epoch.
    Raises:
        ConfigError: if the settings do not fit the dataset or the machine, are others than those of the run to go on
            with, or differ between the processes.
        DataError: if the dataset cannot be loaded, or has no image to learn from, or `without` does not fit it.
        ModelError: if the network cannot be built, trained or kept, or none of `init` fits it; nothing is written then.
        RunError: if `out` exists already or another process writes it, or `init` is an unfinished or damaged run.
        TrainingError: if the loss is not a number any more, or another process died.
    """
    asked = config if isinstance(config, TrainConfig) else TrainConfig.from_dict(config)
    if asked.tensorboard:
        check_tensorboard()
    group = find_process_group()
    compute = choose_training_compute(asked, group)
    log = log if group.is_first else _stay_silent
    log(str(compute))
    go_on = go_on or is_restartable()
    if go_on and out is None:
        raise ConfigError("out", "a run that goes on after a restart must be found again", "name it with --out")
    with connected(group, compute.device):
        started = time.perf_counter()
        source, corrections = load_training_data(dataset, without, log, stream=is_streaming(config))
        seconds_loading = time.perf_counter() - started
        started = time.perf_counter()
        settings = _add_model(config, model)
        if go_on and out is not None and group.broadcast(Run(Path(out)).config.is_file()):
            check_same_corrections(open_run(out), corrections)
            return _go_on(open_run(out), source, settings, model, log, has_budget=max_seconds is not None)
        in_memory = None if isinstance(model, str) else model
        if in_memory is not None and init == "auto":
            init = None  # a network that was passed has its own weights
        weights = choose_initial_weights(init, source.train, settings)
        chosen = _complete(settings, source.train, compute, group, max_seconds, weights)
        seconds_choosing = time.perf_counter() - started
        parts = max(chosen.config.parts, group.size)  # a process has at least one; the run keeps them
        config = chosen.config.replace(parts=parts)
        job, validation = make_job(source, config, compute, group, network=in_memory, init=weights)
        network = job.build_model()
        transfer = None if weights is None else plan_transfer(network, weights, source.classes)
        check_network(network, job)
        job.check_head(network)
        group.check_agreement(list_agreed(source, job, network))
        if pace is not None:
            job = follow_pace(job, pace, max_seconds)
        if max_seconds is not None:
            job = fit_time_budget(job, max_seconds, seconds_choosing)
        run = Run(group.broadcast(Path(out) if out is not None else name_run(source.name, job.config.model)))
        with writing(create_run(run.path)) if group.is_first else contextlib.nullcontext():
            if group.is_first:
                record = describe_run(source, job.config, compute, transfer)
                begun = {"chosen": list(chosen.reasons), **describe_pace(job), "seconds_loading": seconds_loading}
                save_corrections(run, corrections)
                write_json(run.config, {**record, **describe_corrections(corrections, without), **begun})
                keep_source(run, network, job)
            for line in (*chosen.reasons, *describe_start(source, job, network, transfer, run)):
                log(line)
            if chosen.reasons and max_seconds is None and group.size == 1 and not job.config.compile:
                log(describe_cost(job, network))
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
        RunError: if the run is finished already or damaged, another process trains it, its data is not what it began
            with, or it names code or data, and this user neither made nor trusts it.
        ConfigError: if this machine lacks the run's hardware, or another number of processes trained it.
        ModelError: if the network was passed in memory, and is not passed again.
        TrainingError: as `train`.
        DataError: if the data cannot be read.
    """
    run = run if isinstance(run, Run) else open_run(run)
    if run.training.is_file():
        raise RunError(run.path, "is finished", f"test it with: visionlib test {run.path}")
    record = read_config(run)
    if record.imported:
        raise RunError(run.path, "was imported, and has no training", f"begin one with --init {run.path}")
    if model is None:
        refuse_strange_code(run, record.config.model)
    init = record.init
    if init and not run.resume.is_file():
        raise RunError(run.path, "has no checkpoint yet", f"train again with --init {init.source}")
    group = find_process_group()
    config, compute = choose_same_compute(run, read_settings(run), record.compute, group)
    if group.size > (parts := max(config.parts, record.compute.processes)):
        problem = f"has {parts} parts a step, too few for {group.size} processes"
        raise ConfigError(str(run.path), problem, f"resume it with at most {parts}")
    config = config.replace(parts=parts)
    log = log if group.is_first else _stay_silent
    log(str(compute))
    if compute.threads != (threads := record.compute.threads):
        log(f"{compute.threads} threads in each process here, not {threads}: the weights will differ by rounding")
    with connected(group, compute.device):
        source = load_run_data(run, dataset)
        if isinstance(model, str):
            config, model = config.replace(model=model), None
        normalization = (init.mean, init.std) if init and init.mean and init.std else None
        job, validation = make_job(source, config, compute, group, network=model, normalization=normalization)
        job = restore_pace(job, run, record)
        network = job.build_model()
        check_network(network, job)
        group.check_agreement(list_agreed(source, job, network, run))
        with writing(run) if group.is_first else contextlib.nullcontext():
            if group.is_first and run.training.is_file():  # by a process that had the lock until now
                raise RunError(run.path, "is finished", f"test it with: visionlib test {run.path}")
            if group.is_first and not run.network_source.is_file():  # it was killed before
                keep_source(run, network, job)
            return _train_run(run, source, job, network, validation, log)


def is_streaming(config: TrainConfig | Mapping[str, Any]) -> bool:
    """Return whether the settings let training begin while its data is decoded."""
    settings = config.to_dict() if isinstance(config, TrainConfig) else config
    return bool(settings.get("stream_shards"))


def _add_model(config: TrainConfig | Mapping[str, Any], model: Network | None) -> TrainConfig | Mapping[str, Any]:
    """Return the settings with the name of a network that is given apart from them."""
    if model is None:
        return config
    name = network_name(model)
    return config.replace(model=name) if isinstance(config, TrainConfig) else {**config, "model": name}


def _complete(
    settings: TrainConfig | Mapping[str, Any],
    split: ImageSplit,
    compute: Compute,
    group: ProcessGroup,
    max_seconds: float | None,
    weights: InitialWeights | None,
) -> ChosenSettings:
    """Choose the settings that are not given."""
    if isinstance(settings, TrainConfig):
        return ChosenSettings(settings)
    return choose_for_machine(split, settings, compute, group=group, max_seconds=max_seconds, weights=weights)


def _go_on(
    run: Run,
    source: Dataset,
    settings: TrainConfig | Mapping[str, Any],
    model: Network | None,
    log: Log,
    *,
    has_budget: bool,
) -> Run:
    """Resume a run that was begun with the same settings, or return it if it is finished."""
    given = settings.to_dict() if isinstance(settings, TrainConfig) else settings
    before, now = read_settings(run).to_dict(), TrainConfig.from_dict(given).to_dict()
    free = {"device", "threads", "parts", *(["epochs"] if has_budget else [])}
    for name in given:
        if name not in free and before[name] != now[name]:
            problem = f"was begun with {name} {before[name]}, and {now[name]} is given now"
            raise ConfigError(str(run.path), problem, "give the same settings, or another --out")
    if run.training.is_file():
        log(f"{run.path} is finished")
        return run
    return resume(run, model=model or given.get("model"), dataset=source, log=log)


def _train_run(
    run: Run, source: Dataset, job: TrainingJob, network: nn.Module, validation: ImageSplit, log: Log
) -> Run:
    """Train from the run's last checkpoint, or from the start, to the end."""
    if isinstance(job.network, nn.Module):
        job.group.broadcast_state(network)  # its weights are of no seed
    with _resumable(run):
        return _train_to_end(run, source, job, network, validation, log)


@contextlib.contextmanager
def _resumable(run: Run) -> Iterator[None]:
    """Add to an error of the disk how the run goes on."""
    try:
        yield
    except RunError as error:
        if not isinstance(error.__cause__, OSError):
            raise
        raise RunError(
            error.what, error.problem, f"{error.remedy}, then: visionlib train --resume {run.path}"
        ) from error


def _train_to_end(
    run: Run, source: Dataset, job: TrainingJob, network: nn.Module, validation: ImageSplit, log: Log
) -> Run:
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
        outcome = save_outcome(run, model, job, source, validation, progress)
        if job.budget is not None:
            log(describe_times(outcome))
        if outcome["is_better_than_largest_class"] is False:
            log(describe_failure(outcome, job.config, job.split))
    return run


def _stay_silent(line: str) -> None:
    pass
