"""`load`: a trained network from wherever it lies."""

import os
from pathlib import Path

from visionlib.eval_mode import Precision
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.pretrained import find_pretrained
from visionlib.runs import Run, open_run


def load(
    source: str | os.PathLike[str] | Run, *, device: str = "auto", precision: Precision | None = "fp32"
) -> TrainedModel:
    """Load a trained network with its preprocessing and classes.

    Args:
        source: a run or its folder; a folder with `model.safetensors` and `model.json`, as `visionlib export --to hub`
            makes it; or the name of pretrained weights, such as `cifar10`.
        device: as in `TrainConfig.device`.
        precision: of convolutions and products; fp32 gives the answers of an exported network, None is as in training.
    Raises:
        RunError: if the run is unfinished or damaged.
        ModelError: if there are no such weights, or the network cannot be built again.
        ConfigError: if the device is absent.
    """
    if isinstance(source, Run):
        return TrainedModel.from_run(source, device=device, precision=precision)
    path, is_pretrained = Path(source), False
    if not path.exists() and path.name == os.fspath(source) and not path.suffix:
        path, is_pretrained = find_pretrained(os.fspath(source)), True
    is_described = (path / "model.json").is_file() and (path / "model.safetensors").is_file()
    if is_pretrained or (is_described and not _is_run(path)):
        return TrainedModel.from_run(Run(path), device=device, precision=precision)
    return TrainedModel.from_run(open_run(path), device=device, precision=precision)


def _is_run(path: Path) -> bool:
    """Whether the folder is of a training; the config.json of a hub folder is another kind of record."""
    return (path / "training.json").is_file() or (path / "resume.pt").is_file()
