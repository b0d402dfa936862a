"""The data of a training: loaded, and without the images that are to be left out."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from torch import Tensor

from visionlib.data import Dataset, load_dataset
from visionlib.data.correction_list import check_list, read_corrections
from visionlib.data.corrections import Corrections
from visionlib.errors import ConfigError
from visionlib.inference.run_corrections import load_corrections
from visionlib.runs import Run, open_run

Source = str | Path | tuple[Any, ...] | Dataset | Callable[[], Dataset]
Without = str | os.PathLike[str] | Corrections | Iterable[int] | Tensor


def load_training_data(
    dataset: Source, without: Without | None, log: Callable[[str], None], *, stream: bool = False
) -> tuple[Dataset, Corrections | None]:
    """Load a dataset, correct its training split, and return the corrections as well.

    Args:
        dataset: as `visionlib.train` takes it.
        without: images to leave out or to relabel: a file that lists them, a run that did the same, or their ids.
        log: takes a line with the counts.
        stream: as in `load_dataset`, if it is loaded here.
    Raises:
        ConfigError: if there is no such list of images, or a run without one is named.
        DataError: if the data cannot be loaded, or the list does not fit it.
    """
    if isinstance(without, str | os.PathLike) and not Run(Path(without)).config.is_file():
        check_list(Path(without))
    source = _load(dataset, stream)
    if without is None:
        return source, None
    corrections = _find_corrections(without, source)
    corrected = corrections.apply(source)
    log(f"{corrections}; {len(corrected.train):,} are left")
    return corrected, corrections


def _find_corrections(without: Without, source: Dataset) -> Corrections:
    if isinstance(without, Corrections):
        return without
    if not isinstance(without, str | os.PathLike):
        return Corrections(tuple(sorted({int(image_id) for image_id in without})))
    if not Run(Path(without)).config.is_file():
        return read_corrections(Path(without), source)
    if (corrections := load_corrections(open_run(without))) is None:
        raise ConfigError(without, "is a run that left out no image", "name a list of images, or leave --without out")
    return corrections


def describe_corrections(corrections: Corrections | None, without: Without | None) -> dict[str, Any]:
    """Return the corrections for `config.json`: hash and counts; nothing where there are none."""
    if corrections is None:
        return {}
    return {
        "without": {
            "file": os.fspath(without) if isinstance(without, str | os.PathLike) else None,
            "sha256": corrections.sha256,
            "left_out": len(corrections.left_out),
            "relabelled": len(corrections.relabelled),
        }
    }


def check_same_corrections(run: Run, corrections: Corrections | None) -> None:
    """Refuse to go on with a run that was begun with other images.

    Raises:
        ConfigError: if the corrections differ; the message tells how.
        RunError: if those of the run are damaged.
    """
    before = load_corrections(run)
    if before == corrections:
        return
    then, now = (str(each) if each is not None else "no list of images to leave out" for each in (before, corrections))
    differ = "another list of as many images is given now" if then == now else f"{now} is given now"
    problem = f"was begun with {then}, and {differ}"
    raise ConfigError(str(run.path), problem, "give the same list by --without, or another --out")


def _load(dataset: Source, stream: bool) -> Dataset:
    if isinstance(dataset, Dataset):
        return dataset
    return load_dataset(dataset, stream=stream) if isinstance(dataset, str | Path | tuple) else dataset()
