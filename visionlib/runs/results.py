"""Results that a run keeps: a JSON record, and arrays whose SHA-256 the record holds.

Each result of explanation and inspection is stored by `save_result` and read back by `load_result`. A record holds the
hashes of the weights and images that the result was made with, and so does not outlive them unnoticed.
"""

import hashlib
import io
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from visionlib.errors import RunError
from visionlib.runs.files import read_json, unreadable, write_bytes, write_json

Result = TypeVar("Result")
Arrays = Mapping[str, NDArray[Any]]

ARRAY_DAMAGES = (
    *(KeyError, TypeError, ValueError, OverflowError, RuntimeError, EOFError, MemoryError, SyntaxError),
    *(tokenize.TokenError, zipfile.BadZipFile, zlib.error, struct.error),
)
"""Errors of NumPy and zipfile for files that are cut or altered.

RuntimeError: flipped bits of a zip header, such as those of encryption and compression. SyntaxError and TokenError: the
header of an array, which NumPy reads as Python.
"""

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
        build: makes the result from the record and the arrays by name.
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
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(subject, f"is damaged ({error!r})", remedy) from error


def read_arrays(file: Path, *, remedy: str, sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """Read every array of an `.npz` file, without unpickling anything.

    Raises:
        RunError: if it is damaged, or has another SHA-256.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise unreadable(file, error) from error
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise RunError(file, "does not have the SHA-256 of its record", remedy)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive.items())
    except ARRAY_DAMAGES as error:
        raise RunError(file, f"is damaged ({error})", remedy) from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # NumPy gives the bytes of a member without its header
            raise RunError(file, f"is damaged ({name} is no array)", remedy)
    return arrays
