"""The reader builds plain data as `pickle` would, calls nothing, and has one way to fail."""

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visionlib.data.pickles import read_pickle
from visionlib.errors import DataError

PLAIN: dict[str, Any] = {
    "labels": [0, 255, 256, 70_000, 2**40, -1],
    "text": ["plane", "Größe", ""],
    "bytes": b"\x00\xff",
    "nested": {"a": (1, 2, 3), "b": (), "c": [None, True, False, 1.5], "long": (1, 2, 3, 4, 5)},
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_data_is_as_pickle_reads_it(protocol: int) -> None:
    value = {**PLAIN, "bytes": b""} if protocol < 3 else PLAIN
    assert read_pickle(pickle.dumps(value, protocol), "batch") == value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_bytes_are_as_numpy_wrote_them(protocol: int, order: Any) -> None:
    array = np.asarray(np.arange(24, dtype=np.uint8).reshape(4, 6), order=order)
    read = read_pickle(pickle.dumps({"data": array}, protocol), "batch")
    assert np.array_equal(read["data"], array)


def test_a_batch_as_python_2_wrote_it() -> None:
    """Opcodes by hand: a dict with two strings of bytes, an array made by the old name of a numpy module."""
    pixels = bytes(range(6))
    content = (
        b"\x80\x02}q\x01("  # protocol 2, a dict, remembered as 1, a mark
        b"U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"
        b"(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x06" + pixels + b"tb"
        b"U\x06labelsq\x08]q\x09(K\x03K\x07e"
        b"u."
    )
    assert pickle.loads(content, encoding="bytes")[b"labels"] == [3, 7]
    read = read_pickle(content, "data_batch_1")
    assert read[b"labels"] == [3, 7]
    assert read[b"data"].tolist() == [[0, 1, 2], [3, 4, 5]]


class Hostile:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", range(6))
def test_a_hostile_pickle_is_refused_by_name_and_does_not_run(protocol: int, tmp_path: Path) -> None:
    content = pickle.dumps({"data": Hostile(tmp_path / "made")}, protocol)
    with pytest.raises(DataError, match=r"it names (posix|nt)\.mkdir, which is not called") as caught:
        read_pickle(content, "cifar/data_batch_1")
    assert "cifar/data_batch_1" in str(caught.value)
    assert not (tmp_path / "made").exists()


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
"""An array whose content is to follow."""


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "ValueError"),
        (b"\x80\x02}q\x01", "ValueError"),
        (b"\x80\x02.", "a value is missing"),
        (b"\x80\x02]]e.", "a mark is missing"),
        (b"\x80\x02K\x01(K\x02e.", "entries for what is no list"),
        (b"\x80\x02h\x05.", "object 5 was never memoized"),
        (b"\x80\x02cnumpy\nload\n)R.", r"it names numpy\.load"),
        (b"\x80\x02cnumpy\nndarray\n)R.", r"a call of numpy\.ndarray"),
        (b"\x80\x02}(]K\x01u.", "a key that is neither text nor number"),
        (b"\x80\x02cnumpy\nndarray\n.", "a value is numpy.ndarray"),
        (b"\x80\x02cnumpy\ndtype\nU\x02u1\x85R.", "a value is"),
        (b"\x80\x02}U\x01a" + ARRAY + b"s.", "an array has no content"),
        (b"\x80\x02K\x01)R.", "a call of what is no name"),
        (b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x04\x00\x00\x00utf8\x86R.", "an encoding 'utf8'"),
        (b"\x80\x02" + ARRAY + b"K\x01b.", "a state that is no array's"),
        (b"\x80\x02" + ARRAY + b"(K\x01)cnumpy\ndtype\nU\x02f4\x85R\x89U\x01atb.", "an array that is not of bytes"),
        (b"\x80\x02" + ARRAY + b"(K\x01]cnumpy\ndtype\nU\x02u1\x85R\x89U\x01atb.", "an array without a shape"),
        (b"\x80\x02P1\n.", "opcode PERSID at byte 2 is not for plain data"),
    ],
)
def test_damage_is_told_in_one_line(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        read_pickle(content, "batch")
    assert "\n" not in str(caught.value)
    assert "get the official file again" in str(caught.value)


def test_a_small_pickle_that_would_unfold_into_a_giant_does_not() -> None:
    """Sixty dicts, each of which holds the one before it twice: 2^60 entries for whoever follows them all."""
    content = b"\x80\x02}q\x00" + b"".join(
        b"}q" + bytes([level]) + b"(K\x00h" + bytes([level - 1]) + b"K\x01h" + bytes([level - 1]) + b"u"
        for level in range(1, 61)
    )
    assert len(content) < 1000
    assert len(read_pickle(content + b".", "batch")) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        # A tuple of itself forty times over, as the name of something to import: its text would have 2^40 letters.
        (b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 40 + b"h\x00h\x00\x93.", "a name that is no text"),
        (
            b"\x80\x02c_codecs\nencode\nX\x64\x00\x00\x00" + b"x" * 100 + b"h\x07\x86R.",
            "object 7 was never memoized",
        ),
        # One text of a hundred letters, encoded a thousand times.
        (
            b"\x80\x02(c_codecs\nencode\nq\x00X\x64\x00\x00\x00" + b"x" * 100 + b"X\x06\x00\x00\x00latin1\x86q\x01"
            b"R" + b"h\x00h\x01R" * 1000 + b"l.",
            "it unfolds to more bytes than it has",
        ),
        (b"\x80\x02}(" + b"".join(b"M" + i.to_bytes(2, "little") + b"N" for i in range(101)) + b"u.", "more than 100"),
        (b"\x80\x02N.N.", "it ends at byte 3 of 6"),
        (b"\x80\x02NP-1\n.", "opcode PERSID"),
        (b"\x80\x02Np-1\n.", "an object memoized at an invalid key"),
    ],
    ids=["nested name", "no encoding", "many encodings", "many keys", "a second pickle", "persid", "no place"],
)
def test_what_would_harm_in_time_or_memory_is_refused(content: bytes, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        read_pickle(content, "batch")
    assert len(str(caught.value)) < 400


def test_a_pickle_of_too_many_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("visionlib.data.pickles.reader._MAX_STEPS", 1000)
    with pytest.raises(DataError, match="it takes more than 1,000 steps"):
        read_pickle(b"\x80\x02" + b"N0" * 501 + b"N.", "batch")


def test_mutants_either_read_or_are_refused() -> None:
    """Three thousand damaged batches: nothing but `DataError` may come out, and it must not take long."""
    batch = {b"labels": list(range(10)), b"data": np.arange(60, dtype=np.uint8).reshape(10, 6), b"names": [b"a"] * 10}
    originals = [pickle.dumps(batch, protocol) for protocol in range(6)]
    dice = random.Random(0)
    refused = 0
    for _ in range(3000):
        content = bytearray(dice.choice(originals))
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        if dice.random() < 0.2:
            del content[dice.randrange(len(content)) :]
        try:
            read_pickle(bytes(content), "mutant")
        except DataError:
            refused += 1
    assert refused > 1000
