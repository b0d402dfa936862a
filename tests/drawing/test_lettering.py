"""Text in figures fits its width, and keeps its ends."""

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


def test_probabilities_near_0_and_1_have_tenths() -> None:
    shown = [format_probability(value) for value in (0.004, 0.0996, 0.1, 0.876, 0.99, 0.996)]
    assert shown == ["0.4 %", "10.0 %", "10 %", "88 %", "99 %", "99.6 %"]
