"""Arrays of a run, from `.npz` files: their sizes are checked before memory is taken, their types and shapes after.

A header can claim any shape, and a zip archive can unpack to a thousand times its size: numpy believes both.
"""

import io
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING
from dataclasses import fields as list_fields
from hashlib import sha256 as hash_sha256
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import numpy as np
from jaxtyping import jaxtyped
from numpy.typing import NDArray

from visionlib.errors import RunError
from visionlib.runs.fields import FieldError
from visionlib.runs.files import read_whole

Fitted = TypeVar("Fitted")

_MOST_FILE_BYTES = 64 * 2**30
_MOST_MEMBERS = 4096
_MOST_GROWTH, _SMALL_BYTES = 20, 32 * 2**20
"""An archive may unpack to this multiple of its size, or to this size, if that is more. Visionlib's own do not grow."""
_KINDS = "biufU"
ARRAY_DAMAGES = (
    *(LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, EOFError, OSError, SyntaxError, MemoryError),
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, tokenize.TokenError, Warning),
)
"""What zipfile, zlib, numpy and the parser of numpy's headers raise of flipped bits."""
_VERSIONS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_arrays(file: Path, *, remedy: str, sha256: str | None = None) -> dict[str, NDArray[Any]]:
    """Read every array of an `.npz` file, without unpickling anything.

    Raises:
        RunError: if it is absent or damaged, has another SHA-256, or claims sizes that it does not have.
    """
    try:
        content = read_whole(file, most_bytes=_MOST_FILE_BYTES)
    except FileNotFoundError:
        raise RunError(file, "the run lacks it", remedy) from None
    if sha256 is not None and hash_sha256(content).hexdigest() != sha256:
        raise RunError(file, "does not have the SHA-256 of its record", remedy)
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(io.BytesIO(content)) as archive:
            warnings.simplefilter("error")
            _check_members(archive, len(content))
            with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
                return dict(arrays.items())
    except ARRAY_DAMAGES as error:
        raise RunError(file, f"is damaged ({error})", remedy) from error


def fit_arrays(kind: type[Fitted], arrays: Mapping[str, NDArray[Any]]) -> Fitted:
    """Return a dataclass of arrays by their names, types and shapes checked by its annotations.

    Args:
        kind: its fields are jaxtyping's, as `Float32[np.ndarray, "n k"]`, with equal sizes for equal letters, or `str`
            for an array of one text; those with a default may be absent.
        arrays: by name; others than those declared are left out.
    Raises:
        FieldError: naming the first array that is absent, or has another type or shape.
    """
    hints, values = get_type_hints(kind), {}
    with jaxtyped("context"):  # in which a letter keeps its size; a function called from here had letters of its own
        for item in list_fields(kind):  # type: ignore[arg-type]
            if item.name not in arrays:
                if item.default is MISSING:
                    raise FieldError(item.name, "is missing")
                continue
            array, hint = arrays[item.name], hints[item.name]
            hint = next((one for one in get_args(hint) if one is not type(None)), hint)
            if not (array.ndim == 0 and array.dtype.kind == "U" if hint is str else isinstance(array, hint)):
                wanted = "a text" if hint is str else f"{hint.dtypes[0]}[{hint.dim_str}], as those before it"
                raise FieldError(item.name, f"is {array.dtype}{list(array.shape)}, and must be {wanted}")
            values[item.name] = str(array) if hint is str else array
    return kind(**values)


def check_shapes(kind: type, values: Mapping[str, Any]) -> None:
    """Compare arrays or tensors with the fields of a dataclass that have their names, and types of jaxtyping.

    Raises:
        FieldError: naming the first that is not as declared, or not declared.
    """
    hints = get_type_hints(kind)
    with jaxtyped("context"):
        for name, value in values.items():
            if name not in hints or not isinstance(value, hints[name]):
                raise FieldError(name, f"is {value.dtype}{list(value.shape)}, and must be {hints.get(name, 'absent')}")


def _check_members(archive: zipfile.ZipFile, file_bytes: int) -> None:
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS or len({member.filename for member in members}) < len(members):
        raise ValueError(f"{len(members)} arrays are too many, or two have one name")
    total, limit = sum(member.file_size for member in members), max(_MOST_GROWTH * file_bytes, _SMALL_BYTES)
    if total > limit:
        raise ValueError(f"it unpacks to {total:,} bytes, more than the limit of {limit:,}")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise ValueError(f"{member.filename!r} is no array")
        with archive.open(member) as stream:
            _check_header(stream, member)


def _check_header(stream: Any, member: zipfile.ZipInfo) -> None:
    """Compare the shape that a member claims with the bytes that follow."""
    version = np.lib.format.read_magic(stream)
    if version not in _VERSIONS:
        raise ValueError(f"{member.filename!r} has version {version} of numpy's format")
    shape, _, dtype = _VERSIONS[version](stream)
    if dtype.kind not in _KINDS or not dtype.isnative:
        raise ValueError(f"{member.filename!r} holds {dtype}; Object arrays cannot be loaded when allow_pickle=False")
    claimed, found = math.prod(shape) * dtype.itemsize, member.file_size - stream.tell()
    if any(size < 0 for size in shape) or claimed != found:
        raise ValueError(f"{member.filename!r} claims {claimed:,} bytes, and has {found:,}")
