"""What is exported: a run, pretrained weights or a hub folder, as a `TrainedModel` in fp32 with its folder."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from visionlib.data import Dataset
from visionlib.errors import ModelError
from visionlib.export.evaluation_facts import EvaluationFacts
from visionlib.inference.load import find_run
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.models.model_record import ModelRecord, load_record
from visionlib.runs import Run, read_record


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

    def read_evaluation(self) -> EvaluationFacts | None:
        """Read the folder's `evaluation.json`; None where there is none.

        Raises:
            RunError: if it is damaged.
        """
        file = self.run.evaluation
        remedy = f"make it again with: visionlib test {self.run.path}" if self.is_run else "restore it, or remove it"
        return read_record(file, EvaluationFacts, remedy=remedy) if file.is_file() else None


def open_source(source: str | os.PathLike[str] | Run) -> ExportSource:
    """Open what is exported.

    Args:
        source: as in `visionlib.load`.
    Raises:
        ModelError: if there is no such name, or the network cannot be built again.
        RunError: if there is no such folder, or the run is unfinished or damaged.
    """
    run = find_run(source)
    model = TrainedModel.from_run(run, device="cpu", precision="fp32")
    record = replace(load_record(run), image_size=model.image_size)
    return ExportSource(model, record, run)


def name_source(model: TrainedModel) -> str:
    """Return where the weights come from, without the folders of this machine."""
    return re.sub(r"(^|\s)\S*[/\\](?=\S)", r"\1", model.provenance)
