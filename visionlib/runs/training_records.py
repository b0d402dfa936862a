"""The records of a training, typed: `config.json`, `training.json` and the lines of `history.jsonl`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from visionlib.errors import RunError
from visionlib.runs.fields import WHOLE, Count, Length, PathText, Range, Seconds, Unit
from visionlib.runs.json_records import read_record, read_record_lines
from visionlib.runs.run import Run

_Rate = Annotated[float, Range(0, 1e30)]
_Normalization = Annotated[tuple[float, ...], Length(1, 4096)]
_Processes = Annotated[int, Range(1, 4096)]
_Segment = tuple[Count, Unit, Count]


@dataclass(frozen=True)
class SettingsRecord:
    """The settings of a training that other packages read; `visionlib.training.config` knows them all.

    Attributes:
        model: what `build_model` takes.
        seed: of weights, order and held-out images.
        validation_fraction: fraction of the training images that were held out.
        resolutions: fractions of the image side.
        sam_radius: of sharpness-aware minimization.
        sam_start: fraction of the steps after which it begins.
        whole: every setting, as it stands in the file.
    """

    whole: Annotated[Mapping[str, Any], WHOLE]
    model: str
    seed: Annotated[int, Range(0, 2**63 - 1)] = 0
    validation_fraction: Annotated[float, Range(0, 0.9)] = 0.0
    resolutions: Annotated[tuple[Annotated[float, Range(0.001, 1)], ...], Length(1)] = (1.0,)
    sam_radius: Unit = 0.0
    sam_start: Unit = 1.0


@dataclass(frozen=True)
class SplitRecord:
    """Number of images of a split, and the hash of their content."""

    n: Count
    content_hash: str


@dataclass(frozen=True)
class DataRecord:
    """The data of a training.

    Attributes:
        name: of the dataset, or its path as given.
        path: absolute; None for a dataset known by name, or in memory.
        content_hash: empty for a run that was imported without data.
        splits: by name.
        options: arguments of `load_dataset`, as they stand in the file.
    """

    name: PathText
    path: PathText | None
    content_hash: str
    splits: Mapping[str, SplitRecord]
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ComputeRecord:
    """The hardware of a training, and how it was used, see `visionlib.inference.device.Compute`."""

    device: str
    precision: Literal["fp32", "bf16"]
    threads: _Processes
    hardware: str
    processes: _Processes = 1
    kernels: Literal["own", "torch"] = "torch"


@dataclass(frozen=True)
class WeightsRecord:
    """The weights that a training began with, or a run was imported from.

    Attributes:
        source: as given.
        path: of their file.
        sha256: of that file.
        mean: of their own training, per channel; None where it is not known.
        std: likewise.
    """

    source: PathText
    path: PathText
    sha256: str
    mean: _Normalization | None = None
    std: _Normalization | None = None


@dataclass(frozen=True)
class CorrectionsRecord:
    """The training images that were left out or relabelled; `corrections.json` lists them.

    Attributes:
        sha256: of the list, see `visionlib.data.corrections.Corrections`.
        left_out: number of images that were not learned from.
        relabelled: number of images that got another label.
        file: that named them; None where they were passed in Python.
    """

    sha256: str
    left_out: Count
    relabelled: Count
    file: PathText | None = None


@dataclass(frozen=True)
class BudgetRecord:
    """A time budget, see `visionlib.training.pace.TimeBudget`; a speed is of a side in pixels, with or without SAM."""

    max_seconds: Seconds
    seconds_measuring: Seconds
    seconds_per_image: tuple[tuple[Count, bool, Seconds], ...]


@dataclass(frozen=True)
class RunConfig:
    """The content of `config.json`.

    Attributes:
        config: settings.
        dataset: data.
        compute: hardware.
        command: command line.
        versions: of packages, by name.
        signatures: of the network's and the data's names, see `visionlib.runs.trust`.
        init: weights that the training began with; None for drawn ones.
        imported: weights of a run without a training.
        pace: first step, position and number of steps of each plan of a run with a time budget.
        time_budget: of that run.
        without: training images that were left out or relabelled; None for a run without any. The content hash of its
            data is that of the other images, with these labels.
        seconds_loading: time to load the data.
        whole: the JSON object itself.
    """

    whole: Annotated[Mapping[str, Any], WHOLE]
    config: SettingsRecord
    dataset: DataRecord
    compute: ComputeRecord
    command: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    signatures: Mapping[str, str | None] = field(default_factory=dict)
    init: WeightsRecord | None = None
    imported: WeightsRecord | None = None
    pace: tuple[_Segment, ...] | None = None
    time_budget: BudgetRecord | None = None
    without: CorrectionsRecord | None = None
    seconds_loading: Seconds | None = None


@dataclass(frozen=True)
class TrainingRecord:
    """The content of `training.json`.

    Attributes:
        epochs: of the training, the last one perhaps a part.
        seconds_training: time of all steps.
        images_per_second: in that time.
        test_accuracy: None for a dataset without test images.
        pace: of a run that had one.
        whole: the JSON object itself.
    """

    whole: Annotated[Mapping[str, Any], WHOLE]
    epochs: Annotated[int | float, Range(0, 1e12)]
    seconds_training: Seconds
    images_per_second: _Rate
    test_accuracy: Unit | None
    pace: tuple[_Segment, ...] | None = None


@dataclass(frozen=True)
class EpochRecord:
    """A line of `history.jsonl`: an epoch.

    Attributes:
        epoch: its number, from 1.
        resolution_px: side of the network's inputs in its last step.
        learning_rate: of its last step.
        loss: mean over its images.
        training_accuracy: of its images, augmented.
        seconds: time of its steps.
        images_per_second: in that time.
        validation_accuracy: of the held-out images; None without any.
        test_accuracy: None where it was not measured.
        test_n: number of test images, likewise.
    """

    epoch: Annotated[int, Range(1, 10**12)]
    resolution_px: Annotated[int, Range(1, 10**6)]
    learning_rate: _Rate
    loss: Annotated[float, Range(-1e30, 1e30)]
    training_accuracy: Annotated[float, Range(0, 1.001)]
    seconds: Seconds
    images_per_second: _Rate
    validation_accuracy: Unit | None = None
    test_accuracy: Unit | None = None
    test_n: Count | None = None


def read_config(run: Run) -> RunConfig:
    """Read `config.json`.

    Raises:
        RunError: if it is absent or damaged; the message names the field.
    """
    return read_record(run.config, RunConfig)


def read_training(run: Run) -> TrainingRecord | None:
    """Read `training.json`; None for a run without, which is unfinished, imported, or no run.

    Raises:
        RunError: if it is damaged.
    """
    return read_record(run.training, TrainingRecord) if run.training.is_file() else None


def read_history(run: Run) -> tuple[EpochRecord, ...]:
    """Read `history.jsonl`, the epochs in their order.

    Raises:
        RunError: if it is absent or damaged, or its epochs are out of order.
    """
    history = read_record_lines(run.history, EpochRecord)
    if [record.epoch for record in history] != list(range(1, len(history) + 1)):
        raise RunError(run.history, "is damaged (its epochs are not 1, 2, 3 ...)", "restore it, or train again")
    return history
