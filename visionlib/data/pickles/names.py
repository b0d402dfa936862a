"""Stand-ins for the few names that NumPy's pickles import: nothing is imported, nothing is called.

An array of bytes is pickled as a call of NumPy's array maker, whose state is filled in by a later opcode, or, from
protocol 5 on, as a call that reads a buffer. Both are recognized here by their names and built from the bytes alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_ARRAY_MAKERS = frozenset({"numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct"})
_BUFFER_READERS = frozenset({"numpy.core.numeric _frombuffer", "numpy._core.numeric _frombuffer"})
_BYTES = frozenset({"__builtin__ bytes", "builtins bytes"})
_KNOWN = _ARRAY_MAKERS | _BUFFER_READERS | _BYTES | {"numpy ndarray", "numpy dtype", "_codecs encode"}


class MalformedError(Exception):
    """The pickle is invalid, or needs something that is refused; users see a `DataError`."""


@dataclass(frozen=True)
class Name:
    """A name that the pickle would import; nothing is imported.

    Attributes:
        text: module and name with a space between, as the opcodes have it.
    """

    text: str

    def __post_init__(self) -> None:
        if self.text not in _KNOWN:
            raise MalformedError(f"it names {self}, which is not called")

    def __str__(self) -> str:
        return self.text.replace(" ", ".")


@dataclass(frozen=True)
class Dtype:
    """The dtype of an array, by NumPy's code."""

    code: str


@dataclass
class Array:
    """An array; without content until its state is read."""

    value: np.ndarray[Any, np.dtype[np.uint8]] | None = None


def stand_in_for_call(function: Any, arguments: Any) -> Any:
    """Return the result of a known call, without calling anything.

    Raises:
        MalformedError: if it is not a known call with the arguments that NumPy writes.
    """
    if not isinstance(function, Name) or not isinstance(arguments, tuple):
        raise MalformedError("a call of what is no name")
    if function.text in _ARRAY_MAKERS:
        return Array()
    if function.text in _BUFFER_READERS and len(arguments) == 4:
        buffer, dtype, shape, order = arguments
        return Array(_make_array(buffer, dtype, shape, is_fortran=order == "F"))
    if function.text == "numpy dtype" and arguments and isinstance(arguments[0], str | bytes):
        code = arguments[0]
        return Dtype(code if isinstance(code, str) else code.decode("latin-1"))
    # The form in which Python 3 writes bytes in the protocols of Python 2.
    if function.text == "_codecs encode" and [type(part) for part in arguments] == [str, str]:
        if arguments[1] != "latin1":
            raise MalformedError(f"an encoding {arguments[1]!r}")
        return arguments[0].encode("latin-1")
    if function.text in _BYTES and not arguments:
        return b""
    raise MalformedError(f"a call of {function}")


def fill_in(target: Any, state: Any) -> None:
    """Fill an array from its NumPy state: version, shape, dtype, whether in Fortran order, bytes.

    Raises:
        MalformedError: if the target takes no state, or the state is not that of an array of bytes.
    """
    if isinstance(target, Dtype):
        return
    if not isinstance(target, Array) or not isinstance(state, tuple) or len(state) != 5:
        raise MalformedError("a state that is no array's")
    _, shape, dtype, is_fortran, buffer = state
    target.value = _make_array(buffer, dtype, shape, is_fortran=bool(is_fortran))


def _make_array(buffer: Any, dtype: Any, shape: Any, *, is_fortran: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not isinstance(dtype, Dtype) or dtype.code not in {"u1", "|u1"} or not isinstance(buffer, bytes | bytearray):
        raise MalformedError("an array that is not of bytes")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise MalformedError("an array without a shape")
    return np.frombuffer(buffer, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")
