"""The training images that a run left out or relabelled, kept in the run, so that its data can be had again."""

from dataclasses import dataclass

from visionlib.data.corrections import Corrections
from visionlib.errors import RunError
from visionlib.runs import Run, read_config, read_record, write_json
from visionlib.runs.fields import Count
from visionlib.runs.files import remove_file


@dataclass(frozen=True)
class _Record:
    """The content of `corrections.json`."""

    left_out: tuple[Count, ...]
    relabelled: tuple[tuple[Count, str], ...]


def save_corrections(run: Run, corrections: Corrections | None) -> None:
    """Write `corrections.json`, if there are any, before `config.json` names its hash; else remove an old one.

    Raises:
        RunError: if the disk fails.
    """
    if corrections is not None:
        write_json(run.corrections, {"left_out": corrections.left_out, "relabelled": corrections.relabelled})
        return
    remove_file(run.corrections)


def load_corrections(run: Run) -> Corrections | None:
    """Read the corrections of a run's training images; None for a run without any.

    Raises:
        RunError: if they are absent or damaged, or others than the run was trained with.
    """
    recorded = read_config(run).without
    if recorded is None:
        return None
    record = read_record(run.corrections, _Record)
    corrections = Corrections(record.left_out, record.relabelled)
    if corrections.sha256 != recorded.sha256:
        raise RunError(run.corrections, "is not the list that the run was trained with", "restore it, or train again")
    return corrections
