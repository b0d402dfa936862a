"""Read pickles that hold plain data and byte arrays, by walking their opcodes and calling nothing that they name.

CIFAR's python batches are pickles, and a pickle is a program: unpickling one runs whatever it says. Here a small
machine builds integers, strings, lists, tuples, dicts and NumPy's arrays of bytes, and every other thing is refused by
name. So a file can be damaged or hostile, and the worst it can do is to raise `DataError`.

Source: the opcodes as documented in the standard library's `pickletools`.
"""

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from visionlib.errors import DataError

_ARRAY_MAKERS = frozenset(
    {
        "numpy.core.multiarray _reconstruct",
        "numpy._core.multiarray _reconstruct",
    }
)
_BUFFER_READERS = frozenset(
    {
        "numpy.core.numeric _frombuffer",
        "numpy._core.numeric _frombuffer",
    }
)
_KNOWN_NAMES = (
    _ARRAY_MAKERS
    | _BUFFER_READERS
    | {
        "numpy ndarray",
        "numpy dtype",
        "_codecs encode",
        "__builtin__ bytes",
        "builtins bytes",
    }
)
_MAX_MEMO = 1_000_000
"""More remembered objects than this no batch has: CIFAR's largest has a hundred thousand strings, once each."""


class _MalformedError(Exception):
    """The opcodes make no sense; told to the user as a `DataError`."""


@dataclass(frozen=True)
class _Name:
    """Something the pickle would import; it stays a name."""

    text: str


@dataclass
class _Array:
    """An array under construction, filled in by a later opcode."""

    value: Any = None


@dataclass(frozen=True)
class _Dtype:
    code: str


_MARK = object()


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _MalformedError("a value is missing")
        return self.stack.pop()

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise _MalformedError("a mark is missing")

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _MalformedError("a value is missing")
        return self.stack[-1]

    def remember(self, place: int) -> None:
        if len(self.memo) >= _MAX_MEMO:
            raise _MalformedError("too many remembered objects")
        self.memo[place] = self.top()


def read_pickle(content: bytes, what: str) -> Any:
    """Build what a pickle describes, out of plain values and arrays of bytes alone.

    Args:
        content: the pickle, of any protocol, from Python 2 or 3; text of Python 2 is read as Latin-1 bytes.
        what: name of the file, for the error.
    Returns:
        Integers, floats, strings, bytes, lists, tuples, dicts, None, booleans and uint8 arrays, nested.
    Raises:
        DataError: if it is damaged, or would need anything else; the message names it.
    """
    machine = _Machine()
    try:
        return _run(machine, content)
    except _MalformedError as error:
        problem = str(error)
    # What genops raises on damaged bytes, and what absurd but well-formed ones come to.
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        problem = f"{type(error).__name__}: {error}"
    raise DataError(what, f"is no pickle of plain data ({problem})", "get the official file again")


def _run(machine: _Machine, content: bytes) -> Any:
    """Follow the opcodes to the end, and give what is left on the stack."""
    with warnings.catch_warnings():
        # Damaged text may hold escapes that Python warns of, which would only puzzle whoever waits for the error.
        warnings.simplefilter("ignore")
        for opcode, argument, position in pickletools.genops(content):
            if opcode.name == "STOP":
                return _finish(machine.pop())
            _STEPS.get(opcode.name, _refuse(opcode.name, position))(machine, argument)
    raise _MalformedError("it has no end")


def _refuse(name: str, position: int | None) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        raise _MalformedError(f"opcode {name} at byte {position} is not for plain data")

    return step


def _finish(value: Any) -> Any:
    """Refuse what was left half built."""
    if isinstance(value, _Array):
        if value.value is None:
            raise _MalformedError("an array has no content")
        return value.value
    if isinstance(value, dict):
        return {key: _finish(entry) for key, entry in value.items()}
    if isinstance(value, _Name | _Dtype):
        raise _MalformedError(f"a value is {value}")
    return value


def _name(machine: _Machine, text: str) -> None:
    if text not in _KNOWN_NAMES:
        raise _MalformedError(f"it names {text.replace(' ', '.')}, which is not called")
    machine.stack.append(_Name(text))


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    _name(machine, f"{module} {name}")


def _reduce(machine: _Machine, _: Any) -> None:
    """Stand in for the calls that NumPy's own pickles make, and for no other."""
    arguments, function = machine.pop(), machine.pop()
    if not isinstance(function, _Name) or not isinstance(arguments, tuple):
        raise _MalformedError("a call of what is no name")
    if function.text in _ARRAY_MAKERS:
        machine.stack.append(_Array())
    elif function.text in _BUFFER_READERS and len(arguments) == 4:
        buffer, dtype, shape, order = arguments
        machine.stack.append(_Array(_make_array(buffer, dtype, shape, is_fortran=order == "F")))
    elif function.text == "numpy dtype" and arguments and isinstance(arguments[0], str | bytes):
        machine.stack.append(_Dtype(_as_text(arguments[0])))
    elif function.text == "_codecs encode" and [type(part) for part in arguments] == [str, str]:
        if arguments[1] != "latin1":
            raise _MalformedError(f"an encoding {arguments[1]!r}")
        machine.stack.append(arguments[0].encode("latin-1"))
    elif function.text.endswith(" bytes") and not arguments:
        machine.stack.append(b"")
    else:
        raise _MalformedError(f"a call of {function.text.replace(' ', '.')}")


def _build(machine: _Machine, _: Any) -> None:
    """Fill in an array from the state that NumPy gives it: version, shape, dtype, is it Fortran's order, bytes."""
    state, target = machine.pop(), machine.top()
    if isinstance(target, _Dtype):
        return
    if not isinstance(target, _Array) or not isinstance(state, tuple) or len(state) != 5:
        raise _MalformedError("a state that is no array's")
    _, shape, dtype, is_fortran, buffer = state
    target.value = _make_array(buffer, dtype, shape, is_fortran=bool(is_fortran))


def _make_array(buffer: Any, dtype: Any, shape: Any, *, is_fortran: bool) -> np.ndarray[Any, np.dtype[np.uint8]]:
    if not isinstance(dtype, _Dtype) or dtype.code not in {"u1", "|u1"} or not isinstance(buffer, bytes | bytearray):
        raise _MalformedError("an array that is not of bytes")
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        raise _MalformedError("an array without a shape")
    return np.frombuffer(buffer, dtype=np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _set_items(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not dict or len(values) % 2:
        raise _MalformedError("items for what is no dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in {str, bytes, int}:
            raise _MalformedError("a key that is neither text nor number")
        target[key] = value


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not list:
        raise _MalformedError("entries for what is no list")
    target.extend(values)


def _as_text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _push_python2_text(machine: _Machine, value: str) -> None:
    """Python 2 does not tell bytes from text; genops has decoded them as Latin-1, or as ASCII where they are quoted."""
    machine.stack.append(value.encode("latin-1"))


def _drop(machine: _Machine) -> None:
    machine.pop()


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(values[::-1]))

    return step


def _recall(machine: _Machine, place: int) -> None:
    if place not in machine.memo:
        raise _MalformedError(f"object {place} was never remembered")
    machine.stack.append(machine.memo[place])


def _set_pair(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _set_marked(machine: _Machine, _: Any) -> None:
    _set_items(machine, machine.pop_to_mark())


def _append_one(machine: _Machine, _: Any) -> None:
    _append(machine, [machine.pop()])


def _append_marked(machine: _Machine, _: Any) -> None:
    _append(machine, machine.pop_to_mark())


def _make_dict(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.stack.append({})
    _set_items(machine, values)


def _ignore(machine: _Machine, argument: Any) -> None:
    """Framing and protocol change nothing that is built."""


_PUSHES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHES.split(), _push),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _push_python2_text),
    **dict.fromkeys(["PROTO", "FRAME"], _ignore),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], lambda machine, place: machine.remember(place)),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _recall),
    "MEMOIZE": lambda machine, _: machine.remember(len(machine.memo)),
    "NONE": lambda machine, _: _push(machine, None),
    "NEWTRUE": lambda machine, _: _push(machine, True),
    "NEWFALSE": lambda machine, _: _push(machine, False),
    "MARK": lambda machine, _: _push(machine, _MARK),
    "EMPTY_LIST": lambda machine, _: _push(machine, []),
    "EMPTY_DICT": lambda machine, _: _push(machine, {}),
    "EMPTY_TUPLE": lambda machine, _: _push(machine, ()),
    "LIST": lambda machine, _: _push(machine, machine.pop_to_mark()),
    "TUPLE": lambda machine, _: _push(machine, tuple(machine.pop_to_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "DICT": _make_dict,
    "POP": lambda machine, _: _drop(machine),
    "SETITEM": _set_pair,
    "SETITEMS": _set_marked,
    "APPEND": _append_one,
    "APPENDS": _append_marked,
    "GLOBAL": _name,
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
"""Opcode -> what it does to the machine. What is not here is refused."""
