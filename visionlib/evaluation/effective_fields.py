"""What a trained network really looks at, beside what it looked at before it was trained."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from visionlib.data import Dataset
from visionlib.errors import ConfigError
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_model
from visionlib.models import build_model
from visionlib.runs import Run, open_run, read_json
from visionlib.summary.effective import EffectiveField, effective_field


@dataclass(frozen=True, eq=False)
class EffectiveFields:
    """The effective field of a run's layer before and after training, on the same images.

    Attributes:
        before: with the weights that the training began from.
        after: with the run's weights.
        image: one of the images, as large as the network takes it in.
    """

    before: EffectiveField
    after: EffectiveField
    image: UInt8[Tensor, "c h w"]

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON, without the maps."""
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
        layer: name of a module; by default the last one that still has a map of positions.
        dataset: where the run's data lies now, if it has moved since.
    Raises:
        ConfigError: if n is below 1.
        RunError: if the run is unfinished or damaged, or the data is not what it was trained with.
        DataError: if the data cannot be read.
        ModelError: if there is no such layer.
    """
    if n < 1:
        raise ConfigError("n", f"{n} is out of range", "it must be at least 1")
    run = run if isinstance(run, Run) else open_run(run)
    trained, record = load_model(run)
    images = load_run_data(run, dataset).test.images[:n]
    inputs = prepare_inputs(images, record.mean, record.std, record.input_size[0])
    seed = int(read_json(run.config)["config"]["seed"])
    untrained = build_model(record.model, classes=len(record.classes), channels=record.channels, seed=seed)
    after = effective_field(trained, inputs, layer)
    plain = prepare_inputs(images[:1], (0.0,) * record.channels, (1.0,) * record.channels, record.input_size[0])
    image = (plain[0] * 255).round().to(torch.uint8)
    return EffectiveFields(effective_field(untrained, inputs, after.layer), after, image)
