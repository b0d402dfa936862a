"""Damage valid inputs: as bytes, as JSON, and inside the members of a zip archive, whose checksums are made anew."""

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("inf"), float("nan")),
    *("", "x", "\ud800", "1", [], [[]], {}, {"a": 1}, [None], [1] * 100),
)
ODD_BYTES = (b"\0", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x80" * 8, b"\n", b'"', b"PK", b"-1", b"9" * 20)
_MOST_CHANGES = 4
_LARGEST_BYTES = 2**16

MutateBytes = Callable[[bytes], bytes]


def mutate(content: bytes, draw: random.Random, mutate_bytes: MutateBytes | None = None) -> bytes:
    """Return a damaged copy.

    Args:
        content: an input; a valid one leads further.
        draw: of what and where.
        mutate_bytes: for damages to bytes; by default some of our own.
    """
    change = mutate_bytes or (lambda part: damage_bytes(part, draw))
    if draw.random() < 0.5:
        if content[:1] in {b"{", b"["}:
            return _mutate_json(content, draw) or change(content)
        if content[:2] == b"PK":
            return _mutate_zip(content, draw, change) or change(content)
    return change(content)


def damage_bytes(content: bytes, draw: random.Random) -> bytes:
    """Flip, replace, remove, repeat and insert a few bytes."""
    damaged = bytearray(content)
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        at = draw.randrange(len(damaged) + 1)
        kind = draw.randrange(6)
        if kind == 0 and at < len(damaged):
            damaged[at] ^= 1 << draw.randrange(8)
        elif kind == 1 and at < len(damaged):
            damaged[at] = draw.randrange(256)
        elif kind == 2:
            del damaged[at : at + draw.choice((1, 2, 4, 16, len(damaged)))]
        elif kind == 3:
            damaged[at:at] = damaged[at : at + draw.randint(1, 32)]
        elif kind == 4:
            damaged[at:at] = draw.choice(ODD_BYTES)
        else:
            odd = draw.choice(ODD_BYTES)
            damaged[at : at + len(odd)] = odd
    return bytes(damaged[:_LARGEST_BYTES])


def _mutate_json(content: bytes, draw: random.Random) -> bytes | None:
    """Replace, remove, rename or repeat values of a JSON record, or of one line of several."""
    lines = content.split(b"\n")
    whole = _parse(content)
    at = draw.randrange(len(lines))
    record = whole if whole is not None else _parse(lines[at])
    if record is None:
        return None
    for _ in range(draw.randint(1, _MOST_CHANGES)):
        record = _change_value(record, draw)
    changed = json.dumps(record, ensure_ascii=draw.random() < 0.5).encode("utf-8", "replace")
    if whole is None:
        changed = b"\n".join([*lines[:at], changed, *lines[at + 1 :]])
    return changed


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _change_value(value: Any, draw: random.Random) -> Any:
    """Walk down to some value, and change it."""
    if not isinstance(value, dict | list) or not value or draw.random() < 0.05:
        return draw.choice(ODD_VALUES)
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    key, kind = draw.choice(keys), draw.random()
    changed: Any = dict(value) if isinstance(value, dict) else list(value)
    if kind < 0.15:
        del changed[key]
    elif kind < 0.25 and isinstance(changed, dict):
        changed[draw.choice(keys)] = changed[key]
    elif kind < 0.25:
        changed += [changed[key]] * draw.choice((1, 2, 100))
    else:
        changed[key] = _change_value(value[key], draw)
    return changed


def _mutate_zip(content: bytes, draw: random.Random, change: MutateBytes) -> bytes | None:
    """Change, remove, rename or repeat a member of an archive."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error):
        return None
    if not members:
        return None
    at, kind = draw.randrange(len(members)), draw.random()
    name, value = members[at]
    if kind < 0.1:
        del members[at]
    elif kind < 0.2:
        members[at] = (draw.choice(members)[0], value)
    elif kind < 0.25:
        members.append((f"{name}2", value))
    else:
        members[at] = (name, change(value))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        written: set[str] = set()
        for name, value in members:
            if name not in written:
                archive.writestr(zipfile.ZipInfo(name), value)
                written.add(name)
    return buffer.getvalue()
