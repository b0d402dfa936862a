"""Damaged records: every way in which a file of a run is changed by an accident, or by someone who means harm."""

import io
import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

ODD: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, -1e308, float("nan"), float("inf"), float("-inf")),
    *("", "x", "\x00", "\x1b[31m\u202e\n", "../../x", "n" * 5000),
    *([], [0], [[]], {}, {"x": None}, [None] * 1000),
)
"""Values for any field: of other types, out of every range, hostile to a terminal, too many."""
_DEEP = b"[" * 3000 + b"]" * 3000
Mutant = tuple[str, Callable[[], bytes]]
"""Description, and what makes the content of the file."""


def mutate_json(content: bytes, draws: random.Random, flips: int = 40) -> Iterator[Mutant]:
    """Yield a description and the content of each mutant of a JSON record, or of the first line of several."""
    first, newline, rest = content.partition(b"\n") if content.count(b"\n{") else (content, b"", b"")

    def change(path: tuple[Any, ...], *values: Any) -> bytes:
        """Replace a field's value by another one, or by none."""
        record = parent = json.loads(first)
        for key in path[:-1]:
            parent = parent[key]
        parent[path[-1]] = values[0] if values else None
        if not values:
            del parent[path[-1]]
        return json.dumps(record, ensure_ascii=False).encode() + newline + rest

    def repeat(name: str) -> bytes:
        field = json.dumps(name).encode() + b":"
        return first.replace(field, field + b" null, " + field, 1) + newline + rest

    for path in list_paths(json.loads(first)):
        place = ".".join(map(str, path))
        yield f"{place} deleted", partial(change, path)
        for value in ODD:
            yield f"{place} = {value!r:.40}", partial(change, path, value)
        yield f"{place} = a deep list", lambda path=path: change(path, "deep").replace(b'"deep"', _DEEP)  # type: ignore[misc]
        if isinstance(path[-1], str):
            yield f"{place} twice", partial(repeat, path[-1])
    yield from mutate_bytes(content, draws, flips)


def mutate_bytes(content: bytes, draws: random.Random, flips: int = 40) -> Iterator[Mutant]:
    """Yield truncated files, such with a flipped bit, and some that are no such file at all."""
    others = {
        "empty": b"",
        "null": b"null",
        "a list": b"[]",
        "a number": b"1",
        "an object": b"{}",
        "twice": content * 2,
        "of a newer schema": b'{"schema_version": 99}',
        "of no schema number": b'{"schema_version": "1"}',
        "a huge number": b'{"schema_version": 1' + b"0" * 5000 + b"}",
    }
    for _ in range(flips):
        end, at, bit = draws.randrange(len(content)), draws.randrange(len(content)), draws.randrange(8)
        changed = bytearray(content)
        changed[at] ^= 1 << bit
        others |= {f"cut at {end}": content[:end], f"bit {bit} of byte {at} flipped": bytes(changed)}
    for name, other in others.items():
        yield name, partial(bytes, other)


def mutate_arrays(content: bytes, draws: random.Random, flips: int = 40) -> Iterator[Mutant]:
    """Yield `.npz` files with an array that is absent, or of another type, shape, length or value."""
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    for name, array in arrays.items():
        others: dict[str, Any] = {
            "of doubles": array.astype("f8") if array.dtype.kind != "U" else np.zeros(()),
            "of bytes": np.zeros(array.shape, "u1"),
            "of texts": np.full(array.shape, "x"),
            "big-endian": array.astype(array.dtype.newbyteorder(">")),
            "scalar": np.zeros((), array.dtype),
            "empty": np.zeros((0,), array.dtype),
            "longer": np.concatenate([np.atleast_1d(array)] * 2),
            "with an axis more": array[None],
            "complex": np.zeros(array.shape, "c16"),
            "of dates": np.zeros(array.shape, "M8[s]"),
            "structured": np.zeros(array.shape, [("a", "i4")]),
            "of zero width": np.zeros(array.shape, "U0"),
        }
        if array.ndim:
            others |= {"shorter": array[:-1], "negative": -1 - np.abs(array), "constant": array * 0}
            others |= {"NaN": array * np.float32("nan"), "inf": array + np.float32("inf"), "large": array + 60_000}
        if array.ndim == 2:
            others |= {
                "narrower": array[:, 1:],
                "without columns": array[:, :0],
                "in Fortran order": np.asfortranarray(array),
            }
            others |= {"huge": np.full_like(array, np.finfo(array.dtype).max)}
        yield f"{name} deleted", partial(pack_arrays, {key: value for key, value in arrays.items() if key != name})
        for kind, other in others.items():
            yield f"{name} {kind}", partial(pack_arrays, {**arrays, name: other})
    none = {name: array[:0] if array.ndim else array for name, array in arrays.items()}
    yield "all of no images", partial(pack_arrays, none)
    yield from mutate_bytes(content, draws, flips)


def pack_arrays(arrays: dict[str, Any]) -> bytes:
    """Write an `.npz` file."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def list_paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List the paths of all fields of a record; of a list the first and the last item."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from list_paths(item, (*path, key))
    if isinstance(value, list):
        for at in sorted({0, len(value) - 1}) if value else ():
            yield from list_paths(value[at], (*path, at))
