"""The files that a run's images were read from, kept in the run, so that commands without the data can name them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from visionlib.data import Dataset
from visionlib.data.sources import Sources
from visionlib.runs import Run, read_config
from visionlib.runs.fields import Count, parse_record
from visionlib.runs.files import remove_file
from visionlib.runs.results import load_result, save_result

_REMEDY = "visionlib test RUN --predict"


@dataclass(frozen=True)
class _Record:
    """The content of `sources.json`: each split's number, and the files of each number."""

    splits: Mapping[str, Count]
    files: tuple[tuple[str, ...], ...]


def save_sources(run: Run, dataset: Dataset) -> None:
    """Write `sources.json` and `sources.npz`; remove those of other data if this one has no files.

    Raises:
        RunError: if the folder cannot be written.
    """
    known = {name: split.sources for name, split in dataset.splits.items() if split.sources is not None}
    if not known:
        for path in (run.sources, run.sources.with_suffix(".npz")):
            remove_file(path)
        return
    # Splits that were one, before some images were held out, share their sources.
    distinct = list({id(sources): sources for sources in known.values()}.values())
    number_of = {id(sources): number for number, sources in enumerate(distinct)}
    record = {
        "dataset_hash": dataset.content_hash,
        "splits": {name: number_of[id(sources)] for name, sources in known.items()},
        "files": [list(sources.files) for sources in distinct],
    }
    arrays = {
        f"{number}.{name}": values
        for number, sources in enumerate(distinct)
        for name, values in sources.to_arrays().items()
    }
    save_result(run.sources, record, arrays=arrays)


def load_sources(run: Run, split: str) -> Sources | None:
    """Read the sources of a split's images; None for a run without, as of drawn images or by an older version.

    Raises:
        RunError: if they are damaged, or belong to other data.
    """
    if not run.sources.is_file():
        return None

    def build(record: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Sources | None:
        known = parse_record(_Record, record)
        if split not in known.splits:
            return None
        number, files = known.splits[split], dict(enumerate(known.files))
        start = f"{number}."
        own = {name.removeprefix(start): values for name, values in arrays.items() if name.startswith(start)}
        return Sources.from_arrays(files[number], own)

    expected = {"dataset_hash": read_config(run).dataset.content_hash}
    return load_result(run.sources, expected, build, remedy=_REMEDY)
