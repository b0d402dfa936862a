"""The data that a run was trained with, loaded again and checked."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from visionlib.data import Dataset, load_dataset
from visionlib.data.decode import Resize
from visionlib.data.load import NAMES, is_known
from visionlib.errors import DataError, RunError
from visionlib.inference.run_corrections import load_corrections
from visionlib.models.model_record import load_record
from visionlib.runs import Run, read_config
from visionlib.runs.fields import FieldError, Range, Unit, parse_record
from visionlib.runs.training_records import DataRecord
from visionlib.runs.trust import is_trusted, refuse_untrusted


def load_run_data(run: Run, dataset: str | Path | Dataset | None = None) -> Dataset:
    """Load a run's data from its old or new path, and check by content hash that it is the same.

    Images that the run left out are not in it, and those that it relabelled have the new labels.

    Args:
        run: that was trained with it.
        dataset: where the data is now, if it has moved since; in memory with or without the run's corrections.
    Raises:
        RunError: if the data is not what the run was trained with; if this user neither made the run nor trusts it,
            and its records name a path; for a run that was imported without data, if none is named, or its classes are
            others.
        DataError: if it cannot be read.
    """
    trained_on = read_config(run).dataset
    if not trained_on.content_hash:
        return _load_unrecorded(run, dataset)
    path = dataset if dataset is not None else trained_on.path or trained_on.name
    if dataset is None and trained_on.path is None and not is_known(trained_on.name):
        raise RunError(
            run.path,
            f"was trained on a dataset in memory, {trained_on.name!r}",
            "pass it again in Python with dataset=, or name a folder of the same pictures with --dataset",
        )
    source = path if isinstance(path, Dataset) else _load(run, path, trained_on, is_named=dataset is not None)
    corrections = load_corrections(run)
    is_corrected = isinstance(path, Dataset) and path.content_hash == trained_on.content_hash
    if corrections is not None and not is_corrected:
        try:
            source = corrections.apply(source)
        except DataError as error:
            problem = f"was trained on other data than {source.name} holds now ({error.what} {error.problem})"
            raise RunError(run.path, problem, "name the data it was trained on with --dataset") from error
    if source.content_hash != trained_on.content_hash:
        raise RunError(
            run.path,
            f"was trained on other data than {source.name} holds now "
            f"(content hash {trained_on.content_hash[:12]}, now {source.content_hash[:12]})",
            "name the data it was trained on with --dataset",
        )
    return source


def list_data_origin(trained_on: DataRecord) -> list[Any]:
    """Return the part of a run's record of its data that decides what is read."""
    return [trained_on.name, trained_on.path, dict(trained_on.options)]


@dataclass(frozen=True)
class _Options:
    """The arguments of `load_dataset` that a run may record."""

    image_size: Annotated[int, Range(1, 16384)] | None = None
    holdout_fraction: Unit = 0.1
    seed: int = 0
    skip_broken: bool = False
    resize: Resize | None = None
    stream: bool = False


def _load(run: Run, path: str | Path, trained_on: DataRecord, *, is_named: bool) -> Dataset:
    """Load the data; what only the run names, and not the user, needs trust: a path, and a download."""
    try:
        known = asdict(parse_record(_Options, trained_on.options, "dataset.options"))
        options = {name: value for name, value in known.items() if name in trained_on.options}
    except FieldError as error:
        raise RunError(run.config, f"is damaged ({error})", "restore it, or train again") from error
    origin = list_data_origin(trained_on)
    if is_named or is_trusted(run, "dataset", origin):
        return load_dataset(path, **options)
    if trained_on.path is not None or str(path) not in NAMES:
        what, remedy = f"data to read: {path}", "name the data by --dataset"
        refuse_untrusted(run, "dataset", origin, what=what, remedy=remedy)
    return load_dataset(path, **{**options, "download": False})


def _load_unrecorded(run: Run, dataset: str | Path | Dataset | None) -> Dataset:
    """Load the data for a run that was imported without."""
    if dataset is None:
        raise RunError(run.path, "was imported without data", "name it with --dataset")
    source = dataset if isinstance(dataset, Dataset) else load_dataset(dataset)
    if source.classes != (classes := load_record(run).classes):
        problem = (
            f"is of the classes {', '.join(classes[:3])}..., and {source.name} has {', '.join(source.classes[:3])}..."
        )
        raise RunError(run.path, problem, "name data of the same classes in the same order")
    return source
