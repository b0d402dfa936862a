"""Duplicates that stay in a run's `inspection` folder, so that the run's page can show them."""

from typing import Any

from visionlib.errors import RunError
from visionlib.inspection.duplicates import DuplicatePair, Duplicates
from visionlib.inspection.split_embeddings import expect_of
from visionlib.runs import Run, read_json, write_json

_REMEDY = "make it anew with `visionlib data DATASET --duplicates near --run RUN`"


def save_duplicates(run: Run, found: Duplicates) -> None:
    """Write `inspection/duplicates.json`.

    Raises:
        RunError: if the folder cannot be written.
    """
    try:
        run.inspection.mkdir(exist_ok=True)
        write_json(run.inspection / "duplicates.json", {**_expected(run), "n": found.n, **found.to_dict()})
    except OSError as error:
        raise RunError(
            run.inspection, f"cannot be written ({error.strerror})", "copy the run to where you may write"
        ) from error


def load_duplicates(run: Run) -> Duplicates:
    """Read what `save_duplicates` wrote.

    Raises:
        RunError: if there is none, or it is damaged, or of other weights or data.
    """
    place = run.inspection / "duplicates.json"
    if not place.is_file():
        raise RunError(place, "the run lacks it", _REMEDY)
    record = read_json(place)
    for name, value in _expected(run).items():
        if record.get(name) != value:
            raise RunError(place, f"is of another {name.replace('_', ' ')}", _REMEDY)
    try:
        found = record["by_embeddings"]
        return Duplicates(
            pairs=tuple(map(_read_pair, record["pairs"])),
            is_near="near" in record["looked_for"],
            n={str(split): int(n) for split, n in record["n"].items()},
            by_embeddings=None if found is None else tuple(map(_read_pair, found)),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(place, f"is damaged ({error!r})", _REMEDY) from error


def _expected(run: Run) -> dict[str, Any]:
    return {**expect_of(run, "test"), "dataset_hash": read_json(run.config)["dataset"]["content_hash"]}


def _read_pair(record: dict[str, Any]) -> DuplicatePair:
    first, second = record["first"], record["second"]
    return DuplicatePair(
        kind=record["kind"],
        splits=(str(first["split"]), str(second["split"])),
        positions=(int(first["position"]), int(second["position"])),
        index=(int(first["index"]), int(second["index"])),
        labels=(str(first["label"]), str(second["label"])),
        whole=float(record["correlation"]),
        detail=float(record["detail_correlation"]),
        cosine=None if record["cosine"] is None else float(record["cosine"]),
    )
