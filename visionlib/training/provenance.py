"""The provenance of a run: settings, data, versions, device and command line, for `config.json`."""

import datetime
import importlib.metadata
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.inference.device import Compute
from visionlib.training.config import TrainConfig
from visionlib.version import __version__

_PACKAGES = ("torch", "numpy", "pillow", "pyarrow", "safetensors")


def describe_run(dataset: Dataset, config: TrainConfig, compute: Compute) -> dict[str, Any]:
    """Return everything that is needed to repeat a run."""
    path = Path(dataset.name)
    return {
        "config": config.to_dict(),
        "dataset": {
            "name": dataset.name,
            "path": str(path.resolve()) if path.exists() else None,
            "options": dict(dataset.options),
            "content_hash": dataset.content_hash,
            "splits": {
                name: {"n": len(split), "content_hash": split.content_hash} for name, split in dataset.splits.items()
            },
        },
        "compute": asdict(compute),
        "versions": describe_versions(),
        "command": sys.argv,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


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
