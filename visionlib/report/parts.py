"""`make_missing_parts`: compute everything that the page of a run shows and the run lacks.

The only file of this package that loads a network. `write_report` imports it for `make=True` alone.
"""

import traceback
from collections.abc import Callable
from pathlib import Path

from visionlib.data import Dataset
from visionlib.errors import VisionlibError
from visionlib.evaluation import find_groups, stress
from visionlib.explanation import explain_run, list_map_layers
from visionlib.explanation.quality import measure_run_quality
from visionlib.explanation.reliance import measure_reliance
from visionlib.explanation.stages import choose_stages
from visionlib.inference.run_data import load_run_data
from visionlib.inference.run_model import load_model, save_summary
from visionlib.inspection import (
    find_candidates,
    find_duplicates,
    find_neighbours,
    map_embeddings,
    score_test,
)
from visionlib.report.choice import choose_explained
from visionlib.report.contents import read_contents
from visionlib.runs import Run

_MAPS_N = 120
_QUALITY_N = 100
_STRESS_N = 200
_SHORTCUTS_N, _SHORTCUTS_MAPS = 500, 100
_QUALITY_METHODS = ("layercam-fused", "layercam", "grad-cam", "hirescam")


def make_missing_parts(
    run: Run,
    dataset: str | Path | Dataset | None = None,
    *,
    device: str = "auto",
    debug: bool = False,
    log: Callable[[str], None],
) -> Dataset:
    """Compute the parts of a run's page that the run lacks, each after those that it depends on.

    A part that fails, for whatever reason, is reported, and the others are still computed: the page shows what is
    missing.

    Args:
        run: a finished run.
        dataset: the run's data, or its path, if it has moved.
        device: device to compute on, as in `TrainConfig.device`.
        debug: log the traceback of a part that fails, too.
        log: takes a line for each part.
    Returns:
        The run's data, loaded once.
    Raises:
        RunError: if the run is unfinished or damaged, or its data is not what it was trained with.
        DataError: if the data cannot be read.
    """
    data = load_run_data(run, dataset)
    missing = read_contents(run, dataset=data).missing
    for name, make in _PARTS.items():
        if name in missing:
            log(f"making: {name.replace('_', ' ')}")
            try:
                make(run, data, device)
            except Exception as error:
                if debug:
                    log(traceback.format_exc())
                log(f"not made: {name.replace('_', ' ')}: {_describe_failure(error)}")
    return data


def _describe_failure(error: Exception) -> str:
    """Describe an error in a line; one that is not of the family is a defect, or raised by the user's network."""
    if isinstance(error, VisionlibError):
        return str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{text}; this is a defect of the network or of visionlib: --debug shows where"


def _make_explanations(run: Run, data: Dataset, device: str) -> None:
    """Map the predicted and the true class by four methods, LayerCAM at each stage."""
    network, record = load_model(run)
    size = (record.channels, *record.input_size)
    stages = choose_stages(list_map_layers(network, size), size)
    methods: list[tuple[str, list[str] | None]] = [
        ("layercam-fused", None),
        *(("layercam", [stage.name]) for stage in stages),
        *(("grad-cam", None), ("hirescam", None)),
    ]
    explain_run(run, methods, index=choose_explained(run, _MAPS_N), dataset=data, device=device)


_PARTS: dict[str, Callable[[Run, Dataset, str], object]] = {
    "summary": lambda run, data, device: save_summary(run, *load_model(run)),
    "groups": lambda run, data, device: find_groups(run, dataset=data),
    "explanations": _make_explanations,
    "quality": lambda run, data, device: measure_run_quality(
        run, methods=_QUALITY_METHODS, n=_QUALITY_N, dataset=data, device=device
    ),
    "embedding_map": lambda run, data, device: map_embeddings(run, dataset=data, device=device),
    "neighbours": lambda run, data, device: find_neighbours(run, dataset=data, device=device),
    "candidates": lambda run, data, device: find_candidates(score_test(run)).save(run),
    "duplicates": lambda run, data, device: find_duplicates(data).save(run),
    "stress": lambda run, data, device: stress(run, n=_STRESS_N, corruptions="standard", dataset=data, device=device),
    "shortcuts": lambda run, data, device: measure_reliance(
        run, n=_SHORTCUTS_N, n_maps=_SHORTCUTS_MAPS, dataset=data, device=device
    ),
}
