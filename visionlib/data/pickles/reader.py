"""Read pickles of plain data and byte arrays: interpret their opcodes, and call nothing that they name.

CIFAR's python batches are pickles, and unpickling can run arbitrary code. Here a small stack machine builds integers,
strings, lists, tuples, dicts and NumPy's arrays of bytes; everything else is refused by name. Requirement: a damaged or
malicious file can do no more than raise `DataError`, in bounded time and memory.

Source: the opcodes as documented in the standard library's `pickletools`.
"""

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from visionlib.data.pickles.names import Array, Dtype, MalformedError, Name, fill_in, stand_in_for_call
from visionlib.errors import DataError

_MAX_STEPS = 2_000_000
_MAX_MEMO_KEY = 2**32
_MAX_ENTRIES = 100
"""CIFAR's largest batch takes two hundred thousand steps, and none has ten entries. The bounds limit time and memory:
keys can be chosen to collide, so that a dict takes quadratic time."""

_LONGEST_PROBLEM = 200

_MARK = object()


@dataclass
class _Machine:
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    bytes_left_to_encode: int = 0

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def pop_to_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise MalformedError("a mark is missing")

    def top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise MalformedError("a value is missing")
        return self.stack[-1]

    def memoize(self, key: int) -> None:
        if not 0 <= key < _MAX_MEMO_KEY:
            raise MalformedError("an object memoized at an invalid key")
        self.memo[key] = self.top()


def read_pickle(content: bytes, what: str) -> Any:
    """Build the value of a pickle, from plain values and arrays of bytes alone.

    Args:
        content: the pickle, of any protocol, from Python 2 or 3; text of Python 2 is read as Latin-1 bytes.
        what: name of the file, for the error.
    Returns:
        Integers, floats, strings, bytes, lists, tuples, dicts, None, booleans and uint8 arrays, nested.
    Raises:
        DataError: if it is damaged, or needs anything else; the message names it.
    """
    machine = _Machine(bytes_left_to_encode=len(content))
    try:
        return _run(machine, content)
    except MalformedError as error:
        problem = str(error)
    # genops raises these on damaged bytes; well-formed nonsense leads to the others.
    except (ValueError, TypeError, KeyError, IndexError, OverflowError, RecursionError, MemoryError) as error:
        problem = f"{type(error).__name__}: {error}"
    shortened = problem if len(problem) <= _LONGEST_PROBLEM else f"{problem[:_LONGEST_PROBLEM]}..."
    raise DataError(what, f"is no pickle of plain data ({shortened})", "get the official file again")


def _run(machine: _Machine, content: bytes) -> Any:
    """Execute the opcodes to the end, and return the value on the stack."""
    with warnings.catch_warnings():
        # Damaged text may hold invalid escapes, of which Python warns.
        warnings.simplefilter("ignore")
        opcodes = pickletools.genops(content)  # raises if there is no end
        steps = 0
        while True:
            opcode, argument, position = next(opcodes)
            if opcode.name == "STOP":
                if position != len(content) - 1:
                    raise MalformedError(f"it ends at byte {position} of {len(content):,}")
                return _finish(machine.pop())
            if opcode.name not in _STEPS:
                raise MalformedError(f"opcode {opcode.name} at byte {position} is not for plain data")
            if steps >= _MAX_STEPS:
                raise MalformedError(f"it takes more than {_MAX_STEPS:,} steps")
            _STEPS[opcode.name](machine, argument)
            steps += 1


def _finish(value: Any) -> Any:
    """Replace stand-ins by their arrays: at the top level or one below, where batches have them.

    Not deeper: a pickle of a few bytes can nest a dict in itself, or reference one a million times.
    """
    if isinstance(value, dict):
        return {key: _settle(entry) for key, entry in value.items()}
    return _settle(value)


def _settle(value: Any) -> Any:
    if isinstance(value, Array):
        if value.value is None:
            raise MalformedError("an array has no content")
        return value.value
    if isinstance(value, Name | Dtype):
        raise MalformedError(f"a value is {value}")
    return value


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine.pop(), machine.pop()
    if type(name) is not str or type(module) is not str:
        raise MalformedError("a name that is no text")
    machine.stack.append(Name(f"{module} {name}"))


def _reduce(machine: _Machine, _: Any) -> None:
    arguments, function = machine.pop(), machine.pop()
    value = stand_in_for_call(function, arguments)
    if isinstance(value, bytes):
        # One long text can be memoized and encoded repeatedly, by eight bytes of pickle each time.
        machine.bytes_left_to_encode -= len(value)
        if machine.bytes_left_to_encode < 0:
            raise MalformedError("it unfolds to more bytes than it has")
    machine.stack.append(value)


def _build(machine: _Machine, _: Any) -> None:
    state = machine.pop()
    fill_in(machine.top(), state)


def _set_items(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not dict or len(values) % 2:
        raise MalformedError("items for what is no dict")
    for key, value in zip(values[::2], values[1::2], strict=True):
        if type(key) not in {str, bytes, int}:
            raise MalformedError("a key that is neither text nor number")
        target[key] = value
        if len(target) > _MAX_ENTRIES:
            raise MalformedError(f"a dict of more than {_MAX_ENTRIES} entries")


def _append(machine: _Machine, values: list[Any]) -> None:
    target = machine.top()
    if type(target) is not list:
        raise MalformedError("entries for what is no list")
    target.extend(values)


def _push(machine: _Machine, value: Any) -> None:
    machine.stack.append(value)


def _push_python2_text(machine: _Machine, value: str) -> None:
    """Python 2 does not distinguish bytes and text; genops decoded them as Latin-1, or as ASCII where quoted."""
    machine.stack.append(value.encode("latin-1"))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        values = [machine.pop() for _ in range(count)]
        machine.stack.append(tuple(values[::-1]))

    return step


def _get_memo(machine: _Machine, key: int) -> None:
    if key not in machine.memo:
        raise MalformedError(f"object {key} was never memoized")
    machine.stack.append(machine.memo[key])


def _set_pair(machine: _Machine, _: Any) -> None:
    value, key = machine.pop(), machine.pop()
    _set_items(machine, [key, value])


def _make_dict(machine: _Machine, _: Any) -> None:
    values = machine.pop_to_mark()
    machine.stack.append({})
    _set_items(machine, values)


def _ignore(machine: _Machine, argument: Any) -> None:
    """Framing and protocol do not affect the value."""


_PUSHES = (
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT "
    "UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8"
)
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHES.split(), _push),
    **dict.fromkeys(["STRING", "BINSTRING", "SHORT_BINSTRING"], _push_python2_text),
    **dict.fromkeys(["PROTO", "FRAME"], _ignore),
    **dict.fromkeys(["PUT", "BINPUT", "LONG_BINPUT"], _Machine.memoize),
    **dict.fromkeys(["GET", "BINGET", "LONG_BINGET"], _get_memo),
    "MEMOIZE": lambda machine, _: machine.memoize(len(machine.memo)),
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
    "POP": lambda machine, _: machine.pop(),
    "SETITEM": _set_pair,
    "SETITEMS": lambda machine, _: _set_items(machine, machine.pop_to_mark()),
    "APPEND": lambda machine, _: _append(machine, [machine.pop()]),
    "APPENDS": lambda machine, _: _append(machine, machine.pop_to_mark()),
    "GLOBAL": lambda machine, text: _push(machine, Name(text)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _reduce,
    "BUILD": _build,
}
"""Opcode -> its effect on the machine. Other opcodes are refused."""
