"""`Contents`: everything that a run folder holds for the page, read once."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from visionlib.data import Dataset
from visionlib.data.sources import Sources
from visionlib.errors import RunError, VisionlibError
from visionlib.evaluation import (
    Comparison,
    Evaluation,
    StoredPredictions,
    StressResult,
    WeakGroups,
    compare_runs,
    evaluate_run,
    load_evaluation,
    load_groups,
    load_predictions,
    load_stress,
)
from visionlib.evaluation.groups import Group
from visionlib.explanation import StoredExplanations, load_explanations
from visionlib.explanation.quality import MapQuality, load_quality
from visionlib.explanation.reliance import Reliance, load_reliance
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_model import load_summary
from visionlib.inspection import (
    Duplicates,
    EmbeddingMap,
    LabelCandidates,
    Neighbours,
    load_candidates,
    load_duplicates,
    load_map,
    load_neighbours,
)
from visionlib.runs import Run, read_config, read_history, read_training
from visionlib.runs.training_records import EpochRecord, RunConfig, TrainingRecord
from visionlib.summary import ModelSummary

Part = TypeVar("Part")


@dataclass(frozen=True)
class Missing:
    """A part that the run lacks, or that cannot be read.

    Attributes:
        reason: the problem, in a few words.
        command: the command that makes the part.
    """

    reason: str
    command: str


@dataclass(frozen=True, eq=False)
class Contents:
    """The results of a run; a part is `Missing` where the run has none for its weights and data.

    Attributes:
        run: the folder.
        name: name of the run.
        stored: labels and predictions.
        evaluation: accuracy, confusion, calibration.
        config: `config.json`.
        training: `training.json`; None where the file is missing.
        history: a record per epoch.
        images: the data, for the pictures.
        groups: weak groups of test images.
        explanations: maps of test images.
        quality: measures of the reliability of the maps.
        embedding_map: of the test images.
        neighbours: nearest training images of every test image.
        candidates: test images whose label is doubtful.
        duplicates: pairs of duplicate images.
        summary: the layer table.
        stress: accuracy on corrupted test images.
        shortcuts: properties that give a class away, and whether the network relies on them.
        comparison: with another run; None without one.
        sources: files of the test images; None if they are not known.
    """

    run: Run
    name: str
    stored: StoredPredictions
    evaluation: Evaluation
    config: RunConfig
    training: TrainingRecord | None
    history: tuple[EpochRecord, ...] | Missing
    images: Dataset | Missing
    groups: WeakGroups | Missing
    explanations: StoredExplanations | Missing
    quality: MapQuality | Missing
    embedding_map: EmbeddingMap | Missing
    neighbours: Neighbours | Missing
    candidates: LabelCandidates | Missing
    duplicates: Duplicates | Missing
    summary: ModelSummary | Missing
    stress: StressResult | Missing
    shortcuts: Reliance | Missing
    comparison: Comparison | None = None
    sources: Sources | Missing | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the dataset."""
        return self.stored.record.classes

    @property
    def weak_groups(self) -> tuple[Group, ...]:
        """The weak groups; none if they were not looked for."""
        return () if isinstance(self.groups, Missing) else self.groups.groups

    @property
    def missing(self) -> dict[str, Missing]:
        """The missing parts by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Missing)}


def read_contents(run: Run, *, dataset: str | Path | Dataset | None = None, against: Run | None = None) -> Contents:
    """Read the results of a run.

    Args:
        run: a finished run.
        dataset: the run's data, or its path, if it has moved.
        against: a run on the same test images to compare with.
    Raises:
        RunError: if the run is unfinished or damaged, or has no predictions; or the runs have other test images.
    """
    stored = load_predictions(run)
    config = read_config(run)
    path = run.path
    data_path = config.dataset.path or config.dataset.name
    return Contents(
        run=run,
        name=path.resolve().name,
        stored=stored,
        evaluation=_load_evaluation(run),
        config=config,
        training=read_training(run),
        history=_try(lambda: read_history(run), f"visionlib train --resume {path}"),
        images=_try(lambda: load_run_data(run, dataset), f"visionlib report {path} --dataset PLACE"),
        groups=_try(lambda: load_groups(run), f"visionlib groups {path}"),
        explanations=_try(lambda: load_explanations(run), f"visionlib explain {path}"),
        quality=_try(lambda: load_quality(run), f"visionlib explain {path} --quality"),
        embedding_map=_try(lambda: load_map(run), f"visionlib inspect {path}"),
        neighbours=_try(lambda: load_neighbours(run), f"visionlib inspect {path} --neighbours alike.png"),
        candidates=_try(lambda: load_candidates(run), f"visionlib inspect {path} --candidates labels.csv"),
        duplicates=_try(lambda: load_duplicates(run), f"visionlib data {data_path} --duplicates near --run {path}"),
        summary=_try(lambda: load_summary(run), f"visionlib summary {path}"),
        stress=_try(lambda: load_stress(run), f"visionlib stress {path}"),
        shortcuts=_try(lambda: load_reliance(run), f"visionlib shortcuts {path}"),
        comparison=None if against is None else compare_runs([run, against]),
        sources=_try(lambda: stored.sources, f"visionlib test {path} --predict"),
    )


def _load_evaluation(run: Run) -> Evaluation:
    """Read `evaluation.json`, or make it again from the stored predictions if it is missing or of other weights."""
    try:
        return load_evaluation(run)
    except RunError:
        return evaluate_run(run)


def _try(read: Callable[[], Part], command: str) -> Part | Missing:
    try:
        return read()
    except VisionlibError as error:
        return Missing(error.problem, command)
