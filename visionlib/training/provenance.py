"""The provenance of a run: settings, data, versions, device and command line, for `config.json`."""

import contextlib
import datetime
import functools
import hashlib
import importlib.metadata
import inspect
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from visionlib.data import Dataset
from visionlib.data.load import locate_dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inference.device import Compute
from visionlib.inference.run_data import list_data_origin
from visionlib.models import MODELS
from visionlib.models.initial_weights import Transfer
from visionlib.models.user_model import import_builder
from visionlib.runs import Run, hash_file, read_config
from visionlib.runs.fields import parse_record
from visionlib.runs.files import write_bytes
from visionlib.runs.training_records import DataRecord
from visionlib.runs.trust import sign_record
from visionlib.training.config import TrainConfig
from visionlib.training.job import TrainingJob
from visionlib.version import __version__

_PACKAGES = ("torch", "numpy", "pillow", "pyarrow", "safetensors")


def describe_run(
    dataset: Dataset, config: TrainConfig, compute: Compute, init: Transfer | None = None
) -> dict[str, Any]:
    """Return everything that is needed to repeat a run; `init` tells the weights that it began with."""
    data = _describe_data(dataset)
    return {
        "config": config.to_dict(),
        "dataset": data,
        "signatures": _sign(config.model, data),
        "init": None if init is None else init.to_dict(),
        **_describe_circumstances(compute),
    }


def describe_import(
    dataset: Dataset | None, model: str, compute: Compute, imported: Mapping[str, str]
) -> dict[str, Any]:
    """Return the same of a run that was imported, whose settings are not known.

    Args:
        dataset: that the network is for; None leaves the content hash empty, and `load_run_data` asks for the data.
        model: name of the network.
        compute: of the predictions.
        imported: source, path and SHA-256 of the weights.
    """
    unknown: dict[str, Any] = {
        "name": "data not recorded",
        "path": None,
        "options": {},
        "content_hash": "",
        "splits": {},
    }
    data = unknown if dataset is None else _describe_data(dataset)
    return {
        "config": {"model": model},
        "dataset": data,
        "signatures": _sign(model, data),
        "imported": dict(imported),
        **_describe_circumstances(compute),
    }


def _describe_data(dataset: Dataset) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "path": locate_dataset(dataset.name),
        "options": dict(dataset.options),
        "content_hash": dataset.content_hash,
        "splits": {
            name: {"n": len(split), "content_hash": split.content_hash} for name, split in dataset.splits.items()
        },
    }


def _sign(model: str, data: Mapping[str, Any]) -> dict[str, str | None]:
    """Sign what later commands import and read, see `visionlib.runs.trust`."""
    return {
        "model": sign_record("model", model),
        "dataset": sign_record("dataset", list_data_origin(parse_record(DataRecord, data))),
    }


def _describe_circumstances(compute: Compute) -> dict[str, Any]:
    return {
        "compute": asdict(compute),
        "versions": describe_versions(),
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def read_settings(run: Run) -> TrainConfig:
    """Read the settings of a run's training.

    Raises:
        RunError: if its record is damaged, or holds a setting that this version does not know.
    """
    settings = read_config(run).config.whole
    try:
        return TrainConfig.from_dict(settings)
    except ConfigError as error:
        raise RunError(
            run.config, f"has the setting {error.what}: {error.problem}", "restore it, or train again"
        ) from error


def list_agreed(dataset: Dataset, job: TrainingJob, network: nn.Module, run: Run | None = None) -> dict[str, str]:
    """List what all processes of a training must have alike, by name: another number would drift unnoticed.

    Args:
        dataset: wherever each of them has it.
        job: with settings and hardware.
        network: with the weights to begin with.
        run: to go on with.
    """
    if job.group.size == 1:
        return {}
    versions, compute = describe_versions(), job.compute
    settings = {name: value for name, value in job.config.to_dict().items() if name not in ("device", "threads")}
    weights = hashlib.sha256()
    for tensor in network.state_dict().values():
        if isinstance(tensor, Tensor) and tensor.layout == torch.strided and not isinstance(job.network, nn.Module):
            weights.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return {
        "the content hash of the data": dataset.content_hash,
        **{f"--{name.replace('_', '-')}": str(value) for name, value in settings.items()},
        **{f"the version of {name}": versions[name] for name in ("visionlib", "torch", "numpy")},
        **{name: str(getattr(compute, name)) for name in ("hardware", "precision", "kernels", "threads")},
        "the hash of the first weights": weights.hexdigest(),
        "the hash of the checkpoint": hash_file(run.resume) if run is not None and run.resume.is_file() else "absent",
    }


def keep_source(run: Run, network: nn.Module, job: TrainingJob) -> None:
    """Copy the source of a user-defined network into its run, for the user to compare; it is never executed from there.

    Of a network whose code cannot be read, or is torch's own, the layers are written instead.
    """
    if job.config.model in MODELS:
        return
    is_builder = job.network is not None and not isinstance(job.network, nn.Module)
    builder: Any = job.network if is_builder else type(network)
    if job.network is None:
        builder = import_builder(job.config.model)
    builder = builder.func if isinstance(builder, functools.partial) else builder
    write_bytes(run.network_source, (_read_source(builder) or f"{network}\n").encode())


def _read_source(builder: Any) -> str | None:
    """Read the file of a class or function; of one from a notebook its own lines alone."""
    if getattr(builder, "__module__", "").partition(".")[0] == "torch":
        return None
    with contextlib.suppress(OSError, TypeError, UnicodeDecodeError):
        file = Path(inspect.getsourcefile(builder) or "")
        return file.read_text(encoding="utf-8") if file.is_file() else inspect.getsource(builder)
    return None


def describe_versions() -> dict[str, str]:
    """Return the versions of Python, of this library, and of the packages that it computes with."""
    return {
        "visionlib": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
    }


def name_run(dataset_name: str, model_name: str) -> Path:
    """Return the default path of a new run: `runs/DATASET-MODEL-TIME`, the time to the second."""
    words = re.sub(r"[^\w.]+", "-", f"{Path(dataset_name).stem}-{model_name}").strip("-")
    return Path("runs") / f"{words}-{datetime.datetime.now():%Y%m%d-%H%M%S}"
