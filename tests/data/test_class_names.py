"""Names as they are shown: on one line, in their own direction, never too long."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from visionlib.data.class_names import embed_name, tidy_name

MARK = "\N{LEFT-TO-RIGHT MARK}"


def test_what_cannot_be_shown_is_replaced() -> None:
    assert tidy_name("a\nb\tc") == "a b c"
    assert tidy_name("red\x1b[31m") == "red\N{REPLACEMENT CHARACTER}[31m"
    assert tidy_name("\u202edesrever") == "\N{REPLACEMENT CHARACTER}desrever"
    assert tidy_name("naïve 猫 שלום") == "naïve 猫 שלום"


@given(st.text())
def test_nothing_moves_the_cursor(name: str) -> None:
    tidy = tidy_name(name)
    assert not any(unicodedata.category(letter).startswith(("Cc", "Cs", "Zl", "Zp")) for letter in tidy)
    assert len(embed_name(name).strip(MARK)) <= 40


def test_an_empty_name_is_named_and_a_long_one_loses_its_middle() -> None:
    assert embed_name("") == "(no name)"
    assert embed_name("0123456789", 10) == "0123456789"
    assert embed_name("0123456789x", 10) == "01234\N{HORIZONTAL ELLIPSIS}789x"


def test_a_name_from_right_to_left_is_marked_off() -> None:
    assert embed_name("שלום") == f"{MARK}שלום{MARK}"
    assert embed_name("قطة 1") == f"{MARK}قطة 1{MARK}"
    assert embed_name("cat") == "cat"
