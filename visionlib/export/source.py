"""What is exported: a run, pretrained weights or a hub folder, as a `TrainedModel` in fp32 with its folder."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visionlib.data import Dataset
from visionlib.errors import ModelError
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import ModelRecord, TrainedModel, load_model
from visionlib.models.pretrained import find_pretrained
from visionlib.runs import Run, read_json


@dataclass(frozen=True, eq=False)
class ExportSource:
    """A trained network and the folder that it lies in.

    Attributes:
        model: on the CPU, in fp32.
        record: of its `model.json`.
        run: the folder; only `model.json` and the weights are in it for certain.
    """

    model: TrainedModel
    record: ModelRecord
    run: Run

    @property
    def is_run(self) -> bool:
        """Whether the folder is a run, with the settings and data of the training."""
        return self.run.training.is_file()

    def load_data(self, dataset: str | Path | Dataset | None = None) -> Dataset:
        """Load the data of the training.

        Raises:
            ModelError: if the source is no run, and so does not say which data it was trained on.
            VisionlibError: as `load_run_data`.
        """
        if not self.is_run:
            raise ModelError(self.run.path, "does not say where its training data is", "export a run instead")
        return load_run_data(self.run, dataset)

    def read(self, file: Path) -> dict[str, Any] | None:
        """Read a record of the run; None where there is none."""
        return read_json(file) if self.is_run and file.is_file() else None


def open_source(source: str | os.PathLike[str] | Run, dataset: str | Path | Dataset | None = None) -> ExportSource:
    """Open what is exported.

    Args:
        source: a run or its folder, the name of pretrained weights, or a folder that `export_hub` made.
        dataset: where a run's data is now, if it has moved. It is read only for a run of an older version, which does
            not say to which size pictures are decoded.
    Raises:
        ModelError: if there is no such folder or name, or the network cannot be built again.
        RunError: if the run is unfinished or damaged.
    """
    path = source.path if isinstance(source, Run) else Path(source)
    if not path.exists():
        path = find_pretrained(str(source))
    if not path.is_dir():
        raise ModelError(path, "is a file", "name a run folder, a hub folder or pretrained weights")
    run = Run(path)
    network, record = load_model(run)
    if record.image_size is None and run.training.is_file():
        data = load_run_data(run, dataset)
        options = read_json(run.config)["dataset"].get("options", {})
        height, width = data.train.images.shape[-2:]
        record = replace(record, image_size=(height, width), resize=options.get("resize") or "crop")
    model = TrainedModel(
        network,
        record.mean,
        record.std,
        record.input_size[0],
        record.classes,
        "fp32",
        f"run {path}" if run.training.is_file() else f"weights {path}",
        record.image_size,
        record.resize,
        record.temperature,
    )
    return ExportSource(model, record, run)
