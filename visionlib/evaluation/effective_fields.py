"""The effective receptive field of a run's layer, before and after training."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from visionlib.data import Dataset
from visionlib.errors import ConfigError, RunError
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_model import load_model
from visionlib.models.initial_weights import InitialWeights, open_weights
from visionlib.runs import Run, open_run, read_config
from visionlib.runs.training_records import WeightsRecord
from visionlib.summary.effective import EffectiveField, effective_field
from visionlib.training.initialization import initialize_model
from visionlib.training.job import choose_training_compute, make_job
from visionlib.training.provenance import read_settings


@dataclass(frozen=True, eq=False)
class EffectiveFields:
    """The effective receptive field of a layer before and after training, on the same images.

    Attributes:
        before: with the initial weights of the training.
        after: with the run's weights.
        image: one of the images, at the network's input size.
    """

    before: EffectiveField
    after: EffectiveField
    image: UInt8[Tensor, "c h w"]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers for JSON, without the maps."""
        return {"before": self.before.to_dict(), "after": self.after.to_dict()}


def measure_effective_fields(
    run: Run | str | os.PathLike[str],
    *,
    n: int = 200,
    layer: str | None = None,
    dataset: str | Path | Dataset | None = None,
) -> EffectiveFields:
    """Measure the effective receptive field of a run's layer on the first images of its test split.

    Args:
        run: a finished run, or its folder.
        n: images to average over; fewer if the split has fewer.
        layer: name of a module; by default the last one whose output is a spatial map.
        dataset: new location of the run's data, if it has moved.
    Raises:
        ConfigError: if n is below 1.
        RunError: if the run is unfinished or damaged, or its data differs from the training data.
        DataError: if the data cannot be read.
        ModelError: if the layer is unknown.
    """
    if n < 1:
        raise ConfigError("n", f"{n} is out of range", "it must be at least 1")
    run = run if isinstance(run, Run) else open_run(run)
    trained, record = load_model(run)
    source = load_run_data(run, dataset)
    images = source.test.images[:n]
    inputs = prepare_inputs(images, record.mean, record.std, record.input_size[0])
    # Hardware and acceleration of the training do not matter for the initial weights, and may be absent here.
    stored, config = read_config(run), read_settings(run)
    config = config.replace(device="cpu", precision="fp32", kernels="off", compile=False)
    if stored.imported:
        raise RunError(run.path, "was imported: its weights before the training are not known", "measure a trained run")
    init = _open_first_weights(run, stored.init)
    job, _ = make_job(source, config, choose_training_compute(config), init=init)
    untrained = job.build_model()
    initialize_model(untrained, job)
    after = effective_field(trained, inputs, layer)
    plain = prepare_inputs(images[:1], (0.0,) * record.channels, (1.0,) * record.channels, record.input_size[0])
    image = (plain[0] * 255).round().to(torch.uint8)
    return EffectiveFields(effective_field(untrained, inputs, after.layer), after, image)


def _open_first_weights(run: Run, init: WeightsRecord | None) -> InitialWeights | None:
    """Read the weights again that a run began with; None for those of its seed."""
    if init is None:
        return None
    place = Path(init.path)
    weights = open_weights(place)
    if weights.sha256 != init.sha256:
        problem = f"began with other weights than {place} holds now"
        raise RunError(run.path, problem, f"restore those of SHA-256 {init.sha256[:12]}")
    return weights
