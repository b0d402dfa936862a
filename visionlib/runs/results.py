"""Results that a run keeps: a JSON record, and arrays whose SHA-256 the record holds.

Each result of explanation and inspection is stored by `save_result` and read back by `load_result`. A record holds the
hashes of the weights and images that the result was made with, and so does not outlive them unnoticed.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from visionlib.errors import RunError
from visionlib.runs.arrays import read_arrays
from visionlib.runs.fields import FieldError
from visionlib.runs.files import write_bytes
from visionlib.runs.json_records import read_json, write_json

Result = TypeVar("Result")
Arrays = Mapping[str, NDArray[Any]]

_OTHERS = {
    "weights_sha256": "other weights",
    "content_hash": "other images",
    "dataset_hash": "other data",
    "settings": "other settings",
}
"""Field of a record -> its difference in words."""


def save_result(
    path: Path, record: Mapping[str, Any], *, arrays: Arrays | None = None, file: Path | None = None
) -> None:
    """Write arrays, if there are any, and then the record that holds their SHA-256.

    Args:
        path: of the record, in JSON; folders are made where they are missing.
        record: plain values, among them whatever the result depends on.
        arrays: of any dtype but objects.
        file: of the arrays; by default beside the record, ending in `.npz`.
    Raises:
        RunError: if the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrays is not None:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, **arrays)
            content = buffer.getvalue()
            write_bytes(file or path.with_suffix(".npz"), content)
            record = {"arrays_sha256": hashlib.sha256(content).hexdigest(), **record}
        write_json(path, record)
    except OSError as error:
        raise RunError(
            path.parent, f"cannot be written ({error.strerror})", "copy the run to where you may write"
        ) from error


def load_result(
    path: Path,
    expected: Mapping[str, Any],
    build: Callable[[dict[str, Any], dict[str, NDArray[Any]]], Result],
    *,
    remedy: str,
    has_arrays: bool = True,
    file: Path | None = None,
) -> Result:
    """Read what `save_result` wrote, if it belongs to what is expected.

    Args:
        path: of the record.
        expected: fields that the record must have, such as the SHA-256 of the weights.
        build: makes the result from the record and the arrays by name, see `parse_record` and `fit_arrays`.
        remedy: the command that makes it anew, for error messages.
        has_arrays: whether arrays belong to it.
        file: of the arrays; by default beside the record, ending in `.npz`.
    Raises:
        RunError: if a file is absent or damaged, or a field has another value; the message names it.
    """
    remedy = f"make it anew with `{remedy}`"
    file = (file or path.with_suffix(".npz")) if has_arrays else None
    subject = file or path
    if not path.is_file() or not subject.is_file():
        raise RunError(subject, "the run lacks it", remedy)
    record = read_json(path)
    for field, value in expected.items():
        if record.get(field) != value:
            raise RunError(subject, f"was made with {_OTHERS.get(field, f'another {field}')}", remedy)
    arrays = {} if file is None else read_arrays(file, remedy=remedy, sha256=str(record.get("arrays_sha256")))
    try:
        return build(record, arrays)
    except FieldError as error:
        raise RunError(subject, f"is damaged ({error})", remedy) from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        # A stranger's values, of the right types, may not go together.
        raise RunError(subject, f"is damaged ({error!r})", remedy) from error
