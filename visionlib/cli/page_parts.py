"""What a run's page shows besides what a training leaves: made in one go, each part where the run lacks it."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from visionlib.errors import VisionlibError
from visionlib.runs import Run

if TYPE_CHECKING:
    from visionlib.data import Dataset

_EXPLAINED = 120
_MEASURED = 100
_MEASURED_METHODS = ("layercam-fused", "layercam", "grad-cam", "hirescam")


def make_missing_parts(
    run: Run, dataset: str | None = None, *, device: str = "auto", log: Callable[[str], None]
) -> "Dataset":
    """Make the parts of a run's page that the run lacks, in the order in which they need each other.

    A part that cannot be made is told, and the others are made all the same: the page says what it lacks.

    Args:
        run: a finished run.
        dataset: where the run's data lies now, if it has moved since.
        device: what to compute on.
        log: takes a line for each part.
    Returns:
        The run's data, which is read once.
    Raises:
        RunError: if the run is unfinished or damaged, or its data is not what it was trained with.
        DataError: if the data cannot be read.
    """
    from visionlib.inference.run_data import load_run_data
    from visionlib.report.contents import read_contents

    source = load_run_data(run, dataset)
    missing = read_contents(run, dataset=source).missing
    for name, make in _PARTS.items():
        if name in missing:
            log(f"making: {name.replace('_', ' ')}")
            try:
                make(run, source, device)
            except VisionlibError as error:
                log(f"not made: {name.replace('_', ' ')}: {error}")
    return source


def _make_summary(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.inference.trained_model import load_model, save_summary

    save_summary(run, *load_model(run))


def _make_explanations(run: Run, dataset: "Dataset", device: str) -> None:
    """Make maps by the methods, and by LayerCAM those of each stage for itself."""
    from visionlib.explanation import explain_run, list_map_layers
    from visionlib.explanation.stages import choose_stages
    from visionlib.inference.trained_model import load_model

    network, record = load_model(run)
    size = (record.channels, *record.input_size)
    stages = choose_stages(list_map_layers(network, size), size)
    methods: list[tuple[str, list[str] | None]] = [
        ("layercam-fused", None),
        *(("layercam", [stage.name]) for stage in stages),
        *(("grad-cam", None), ("hirescam", None)),
    ]
    explain_run(run, methods, n=_EXPLAINED, dataset=dataset, device=device)


def _make_quality(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.explanation.quality import measure_run_quality

    measure_run_quality(run, methods=_MEASURED_METHODS, n=_MEASURED, dataset=dataset, device=device)


def _make_map(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.inspection import map_embeddings

    map_embeddings(run, dataset=dataset, device=device)


def _make_neighbours(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.inspection import find_neighbours

    find_neighbours(run, dataset=dataset, device=device)


def _make_candidates(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.inspection import find_candidates, score_test

    find_candidates(score_test(run)).save(run)


def _make_duplicates(run: Run, dataset: "Dataset", device: str) -> None:
    from visionlib.inspection import find_duplicates

    find_duplicates(dataset).save(run)


_PARTS: dict[str, Callable[[Run, "Dataset", str], None]] = {
    "summary": _make_summary,
    "explanations": _make_explanations,
    "quality": _make_quality,
    "embedding_map": _make_map,
    "neighbours": _make_neighbours,
    "candidates": _make_candidates,
    "duplicates": _make_duplicates,
}
