"""Numbers in words: one style everywhere, and nothing unknown written as a number."""

import pytest

from visionlib.evaluation import wording


def test_numbers_by_hand() -> None:
    assert wording.percent(0.95249) == "95.2 %"
    assert wording.percent(0.95249, 2) == "95.25 %"
    assert wording.interval((0.9521, 0.9689)) == "95.2 % to 96.9 %"
    assert wording.percent_with_interval(0.8723, (0.866, 0.879)) == "87.23 % (86.6 to 87.9)"
    assert wording.points(-0.1496) == "-14.96"
    assert wording.points_interval((-0.002, 0.0143)) == "-0.20 to +1.43"
    assert wording.number(0.07576, 4) == "0.0758"
    assert wording.count(11_173_962) == "11,173,962"


@pytest.mark.parametrize(
    ("p", "sentence", "cell"),
    [(0.0390625, "= 0.039", "0.039"), (1.0, "= 1", "1"), (2e-16, "= 2e-16", "2e-16"), (0.0, "below 1e-16", "<1e-16")],
)
def test_p_values_by_hand(p: float, sentence: str, cell: str) -> None:
    assert wording.p_value(p) == sentence
    assert wording.p_value(p, is_cell=True) == cell


def test_the_unknown_is_no_number() -> None:
    unknown = [wording.percent(None), wording.interval(None), wording.points(None), wording.points_interval(None)]
    unknown += [wording.percent_with_interval(None, None), wording.number(None, 3), wording.count(None)]
    assert unknown == ["n/a"] * 7
