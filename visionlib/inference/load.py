"""`load`: a trained network from wherever it lies."""

import os
from pathlib import Path

from visionlib.eval_mode import Precision
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.pretrained import find_pretrained
from visionlib.runs import Run, open_run
from visionlib.runs.run import reachable


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
    return TrainedModel.from_run(find_run(source), device=device, precision=precision)


def find_run(source: str | os.PathLike[str] | Run) -> Run:
    """Find the folder of a trained network: a run, a hub folder, or that of pretrained weights.

    Raises:
        RunError: if there is no such folder, or it holds no trained network.
        ModelError: if there are no weights of this name.
    """
    if isinstance(source, Run):
        return source
    path = Path(source)
    with reachable(path):
        if not path.exists() and path.name == os.fspath(source) and not path.suffix:
            return Run(find_pretrained(os.fspath(source)))
        run = Run(path)
        # A hub folder has a config.json of another kind, and no record of a training.
        is_run = run.training.is_file() or run.resume.is_file()
        return run if not is_run and run.model.is_file() and run.weights.is_file() else open_run(path)
