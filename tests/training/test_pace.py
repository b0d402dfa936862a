"""The pace of a run: positions by hand, and in every case from the beginning to the end."""

import json
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from visionlib.errors import ConfigError
from visionlib.training.pace import Pace, Segment


@given(st.integers(1, 10_000), st.data())
def test_without_changes_positions_are_those_of_equal_steps(total: int, data: st.DataObject) -> None:
    step = data.draw(st.integers(0, total - 1))
    assert float(Pace.of_steps(total).position(step)) == (step + 0.5) / total  # the same float


def test_a_changed_pace_by_hand() -> None:
    """Of 10 steps 5 are taken, then 20 are to go instead of 5, then 5 instead of 10."""
    pace = Pace.of_steps(10).replan(5, 20, 0.1).replan(15, 5, 0.1)
    assert pace.segments == (Segment(0, 0.0, 10), Segment(5, 0.5, 20), Segment(15, 0.75, 5))
    assert pace.total_steps == 20
    found = [pace.position(step) for step in (0, 4, 5, 14, 15, 19)]
    assert found == [
        Fraction(1, 20),
        Fraction(9, 20),
        Fraction(41, 80),
        Fraction(59, 80),
        Fraction(31, 40),
        1 - Fraction(1, 40),
    ]
    assert pace.start(15) == Fraction(3, 4)


def test_too_few_steps_skip_to_the_end() -> None:
    """Of 100 steps 50 are taken and one is to go: it covers the last tenth. Of 4 steps each covers a quarter anyway."""
    pace = Pace.of_steps(100).replan(50, 1, 0.1)
    assert float(pace.position(50)) == pytest.approx(0.95)
    assert float(Pace.of_steps(4).replan(1, 1, 0.1).position(1)) == pytest.approx(0.875)
    assert float(Pace.of_steps(4).replan(1, 3, 0.1).position(1)) == 0.375


@settings(deadline=None, max_examples=50)
@given(
    st.integers(1, 200),
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 60)), max_size=10),
    st.sampled_from([0.1, 1 / 6, 1.0]),
)
def test_positions_rise_from_the_first_step_to_the_end(
    total: int, changes: list[tuple[int, int]], longest: float
) -> None:
    pace, step = Pace.of_steps(total), 0
    for taken, to_go in changes:
        step += taken
        if step >= pace.total_steps:
            break
        before = pace
        pace = pace.replan(step, to_go, longest)
        assert [pace.position(at) for at in range(step)] == [before.position(at) for at in range(step)]
    positions = [pace.position(step) for step in range(pace.total_steps)]
    assert all(a < b for a, b in zip([Fraction(0), *positions], [*positions, Fraction(1)], strict=True))
    assert 1 - positions[-1] <= max(Fraction(longest), Fraction(1, total)) / 2 + Fraction(1, 10**12)
    assert Pace.from_list(json.loads(json.dumps(pace.to_list()))) == pace


@pytest.mark.parametrize(
    "values",
    [
        [],
        None,
        7,
        "abc",
        [[0, 0.0]],
        [[1, 0.0, 5]],
        [[0, 0.0, 0]],
        [[0, 1.0, 5]],
        [[0, -0.1, 5]],
        [[0, float("nan"), 5]],
        [[0, 0.0, float("inf")]],
        [[0, 0.0, 5], [0, 0.5, 5]],
        [[0, 0.0, 5], [5, 0.9, 5]],
        [[0, 0.5, 5], [2, 0.4, 5]],
    ],
)
def test_what_is_no_pace_is_refused(values: object) -> None:
    with pytest.raises(ConfigError, match="pace: it is no sequence of plans; take one that a run has recorded"):
        Pace.from_list(values)
