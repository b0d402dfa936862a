"""What a run folder has to tell, read once; what it lacks stands there as the command that makes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from visionlib.data import Dataset
from visionlib.errors import VisionlibError
from visionlib.evaluation import Comparison, StoredPredictions, compare_runs, evaluate_run, load_predictions
from visionlib.explanation import StoredExplanations, load_explanations
from visionlib.explanation.quality import load_quality
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import load_record
from visionlib.inspection import Duplicates, EmbeddingMap, LabelCandidates, Neighbours, load_candidates, load_map
from visionlib.inspection.kept_duplicates import load_duplicates
from visionlib.inspection.neighbours import load_neighbours
from visionlib.runs import Run, read_json, read_json_lines

Part = TypeVar("Part")


@dataclass(frozen=True)
class Missing:
    """A part that the run lacks, or that cannot be used.

    Attributes:
        reason: why, in a few words.
        command: what makes it.
    """

    reason: str
    command: str


@dataclass(frozen=True, eq=False)
class Contents:
    """A run as the page tells it; a part is `Missing` where the run has none of these weights and data.

    Attributes:
        run: the folder.
        name: what to call the run.
        kept: labels and predictions.
        evaluation: `evaluation.json`.
        config: `config.json`.
        training: `training.json`; empty where there is none.
        history: a record for each epoch.
        images: the data, to draw pictures from.
        explanations: maps.
        quality: `explanations/quality.json`.
        embedding_map: of the test images.
        neighbours: nearest training images of every test image.
        candidates: labels of the test images to look at.
        duplicates: pairs of images that are there twice.
        summary: `summary.json`, the layer table.
        comparison: with the run laid beside; None if there is none.
        against: predictions of that run; None likewise.
    """

    run: Run
    name: str
    kept: StoredPredictions
    evaluation: dict[str, Any]
    config: dict[str, Any]
    training: dict[str, Any]
    history: list[dict[str, Any]] | Missing
    images: Dataset | Missing
    explanations: StoredExplanations | Missing
    quality: dict[str, Any] | Missing
    embedding_map: EmbeddingMap | Missing
    neighbours: Neighbours | Missing
    candidates: LabelCandidates | Missing
    duplicates: Duplicates | Missing
    summary: dict[str, Any] | Missing
    comparison: Comparison | None = None
    against: StoredPredictions | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, as the dataset has them."""
        return self.kept.record.classes

    @property
    def missing(self) -> dict[str, Missing]:
        """What is missing, by the name of the part."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Missing)}


def read_contents(run: Run, *, dataset: str | Path | Dataset | None = None, against: Run | None = None) -> Contents:
    """Read whatever a run has.

    Args:
        run: a finished run.
        dataset: where its data lies now, if it has moved since.
        against: a run on the same test images to lay beside.
    Raises:
        RunError: if the run is unfinished or damaged, or has no predictions; or the other one does not fit.
    """
    kept = load_predictions(run)
    config = read_json(run.config)
    comparison = None if against is None else compare_runs([run, against])
    path = run.path
    return Contents(
        run=run,
        name=path.resolve().name,
        kept=kept,
        evaluation=_read_evaluation(run),
        config=config,
        training=read_json(run.training) if run.training.is_file() else {},
        history=_try(lambda: read_json_lines(run.history), f"visionlib train --resume {path}"),
        images=_try(lambda: load_run_data(run, dataset), f"visionlib report {path} --dataset PLACE"),
        explanations=_try(lambda: load_explanations(run), f"visionlib explain {path}"),
        quality=_try(lambda: load_quality(run), f"visionlib explain {path} --quality"),
        embedding_map=_try(lambda: load_map(run), f"visionlib inspect {path}"),
        neighbours=_try(lambda: load_neighbours(run), f"visionlib inspect {path} --neighbours alike.png"),
        candidates=_try(lambda: load_candidates(run), f"visionlib inspect {path} --candidates labels.csv"),
        duplicates=_try(
            lambda: load_duplicates(run), f"visionlib data {_place(config)} --duplicates near --run {path}"
        ),
        summary=_try(lambda: read_json(run.summary), f"visionlib summary {path}"),
        comparison=comparison,
        against=None if against is None else load_predictions(against),
    )


def _try(read: Callable[[], Part], command: str) -> Part | Missing:
    try:
        return read()
    except VisionlibError as error:
        return Missing(error.problem, command)


def _read_evaluation(run: Run) -> dict[str, Any]:
    """Read the figures; made anew from the kept predictions where they are absent or of other weights."""
    if run.evaluation.is_file():
        record = read_json(run.evaluation)
        if record.get("weights_sha256") == load_record(run).weights_sha256:
            return record
    evaluate_run(run)
    return read_json(run.evaluation)


def _place(config: Mapping[str, Any]) -> str:
    dataset = config["dataset"]
    return str(dataset["path"] or dataset["name"])
