"""Text in figures fits its width, and keeps its ends."""

import io
import warnings
from collections.abc import Iterator

import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager, get_font

from visionlib.drawing import lettering
from visionlib.drawing.lettering import fit_text, format_probability, measure_text, replace_missing_glyphs, wrap_text


def test_text_is_shortened_in_the_middle_as_little_as_fits() -> None:
    text = "said a rather long name of a class 97.1%"
    for width in (20.0, 60.0, 120.0, 150.0):
        fitted = fit_text(text, width, 8.0)
        begin, end = fitted.split("\N{HORIZONTAL ELLIPSIS}")
        assert text.startswith(begin)
        assert text.endswith(end)
        assert measure_text(fitted, 8.0) <= width
        longer = text[: len(begin) + 1] + "\N{HORIZONTAL ELLIPSIS}" + text[len(text) - len(end) - 1 :]
        assert measure_text(longer, 8.0) > width
    assert fit_text(text, 1000, 8.0) == text
    assert replace_missing_glyphs("cat \U0010fffd") == "cat \N{REPLACEMENT CHARACTER}"
    lines = wrap_text(text, 80, 8.0).split("\n")
    assert len(lines) > 1
    assert " ".join(lines) == text
    assert all(measure_text(line, 8.0) <= 80 for line in lines)


@pytest.fixture
def fresh_fonts() -> Iterator[None]:
    """Forget what was found and said before, and again afterwards."""

    def forget() -> None:
        lettering._further.clear()
        lettering._warn_once.cache_clear()
        lettering._list_characters.cache_clear()

    forget()
    yield
    forget()


def test_a_path_without_its_folders_keeps_its_end() -> None:
    text = "\N{HORIZONTAL ELLIPSIS}t/horse/IMG_012.jpg"
    fitted = fit_text(text, measure_text(text, 8.0) - 12, 8.0)
    assert fitted.count("\N{HORIZONTAL ELLIPSIS}") == 1
    assert fitted.endswith("/IMG_012.jpg")
    assert len(fitted) < len(text)


@pytest.mark.usefixtures("fresh_fonts")
def test_a_letter_that_no_font_has_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fontManager, "get_font_names", lambda: ["DejaVu Sans", "Last Resort High-Efficiency"])
    names = ["a\u732b\u72d7", "\u732b \u9ce5", "a\u732b"]
    with pytest.warns(UserWarning, match="no installed font has all letters") as said:
        shown = list(map(replace_missing_glyphs, names))
    assert shown == ["a\ufffd\ufffd", "\ufffd \ufffd", "a\ufffd"]
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert replace_missing_glyphs("\ufffd b \n") == "\ufffd b \ufffd"


@pytest.mark.usefixtures("fresh_fonts")
def test_characters_without_a_letter_are_replaced_without_a_word() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert replace_missing_glyphs("cat \U0010fffd") == "cat \ufffd"


@pytest.mark.usefixtures("fresh_fonts")
def test_an_installed_font_with_the_letter_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    # U+1D49C is in one family of those below, as a letter of an uncommon script would be.
    letter = "\U0001d49c"
    file = fontManager.findfont("STIXGeneral")
    assert ord(letter) in get_font(file).get_charmap()
    lacking = frozenset(get_font(fontManager.findfont("DejaVu Sans")).get_charmap()) - {ord(letter)}
    monkeypatch.setattr(lettering, "_first_characters", lambda: lacking)
    monkeypatch.setattr(lettering, "_UNFIT", ("Last Resort", "DejaVu"))
    assert replace_missing_glyphs(f"a{letter}") == f"a{letter}"
    family = lettering.font_families()[-1]
    assert ord(letter) in get_font(fontManager.findfont(family)).get_charmap()
    assert measure_text(letter, 8.0) > 0
    figure = Figure()
    figure.text(0, 0, f"a{letter}", family=list(lettering.font_families()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of a glyph that it lacks
        figure.savefig(io.BytesIO())


def test_probabilities_near_0_and_1_have_tenths() -> None:
    shown = [format_probability(value) for value in (0.004, 0.0996, 0.1, 0.876, 0.99, 0.996)]
    assert shown == ["0.4 %", "10.0 %", "10 %", "88 %", "99 %", "99.6 %"]
