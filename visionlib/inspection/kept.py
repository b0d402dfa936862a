"""Results that stay in a run's `inspection` folder: arrays, and a record of what they are of."""

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from visionlib.errors import RunError
from visionlib.runs import Run, read_json, write_bytes, write_json

Result = TypeVar("Result")
Arrays = Mapping[str, NDArray[Any]]


def save_kept(run: Run, name: str, arrays: Arrays, record: Mapping[str, Any]) -> None:
    """Write `inspection/NAME.npz`, then `inspection/NAME.json`, which holds the hash of the arrays.

    Args:
        run: the run; folders are made where they are not there.
        name: of both files, without ending; it may have a folder in it.
        arrays: whatever has no objects in it.
        record: plain values, with what the result depends on.
    Raises:
        RunError: if the folder cannot be written.
    """
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    content = buffer.getvalue()
    try:
        place = run.inspection / f"{name}.npz"
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content)
        write_json(place.with_suffix(".json"), {"arrays_sha256": hashlib.sha256(content).hexdigest(), **record})
    except OSError as error:
        raise RunError(
            run.inspection, f"cannot be written ({error.strerror})", "copy the run to where you may write"
        ) from error


def load_kept(
    run: Run, name: str, expected: Mapping[str, Any], build: Callable[[dict[str, Any], dict[str, Any]], Result]
) -> Result:
    """Read what `save_kept` wrote, if it is still of what is expected.

    Args:
        run: the run.
        name: of both files, without ending.
        expected: fields that the record must have, such as the hash of the weights.
        build: makes the result out of the arrays, as tensors by name, and the record.
    Raises:
        RunError: if a file is absent or damaged, or the record has another value in a field; the message names it.
    """
    remedy = "make it anew with `visionlib inspect`"
    place = run.inspection / f"{name}.npz"
    if not place.is_file() or not place.with_suffix(".json").is_file():
        raise RunError(place, "the run lacks it", remedy)
    record = read_json(place.with_suffix(".json"))
    for field, value in expected.items():
        if record.get(field) != value:
            raise RunError(place, f"is of another {field.replace('_', ' ')}", remedy)
    content = place.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.get("arrays_sha256"):
        raise RunError(place, "is not the file that its record vouches for", remedy)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return build({name: torch.from_numpy(values) for name, values in arrays.items()}, record)
    except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RunError(place, f"is damaged ({error})", remedy) from error
