"""Risk over coverage against slow loops, with images of equal confidence."""

import itertools

import pytest
import torch
from torch import Tensor

from visionlib.evaluation import wilson_interval
from visionlib.evaluation.coverage import measure_risk_coverage


def _area(wrong: list[bool]) -> float:
    """Average the risk over all coverages, in the order that is given."""
    return sum(sum(wrong[:answered]) / answered for answered in range(1, len(wrong) + 1)) / len(wrong)


def _draw(n: int) -> tuple[Tensor, Tensor]:
    confidences = torch.rand(n, dtype=torch.float64)
    return confidences, torch.rand(n, dtype=torch.float64) < confidences


@pytest.mark.parametrize("n", [1, 2, 37, 250])
def test_areas_equal_a_slow_loop(n: int) -> None:
    confidences, is_right = _draw(n)
    order = sorted(range(n), key=lambda position: -float(confidences[position]))
    wrong = [not bool(is_right[position]) for position in order]
    measured = measure_risk_coverage(confidences, is_right)
    assert measured.area == pytest.approx(_area(wrong), rel=1e-12)
    assert measured.best_area == pytest.approx(_area(sorted(wrong)), rel=1e-12, abs=0)


def test_equal_confidences_count_as_the_mean_over_all_their_orders() -> None:
    confidences = torch.tensor([0.9, 0.9, 0.9, 0.6, 0.6, 0.5], dtype=torch.float64)
    is_right = torch.tensor([True, False, True, False, True, True])
    groups = [[False, True, False], [True, False], [False]]
    areas = [
        _area([*first, *second, *third])
        for first, second, third in itertools.product(*(itertools.permutations(group) for group in groups))
    ]
    assert measure_risk_coverage(confidences, is_right).area == pytest.approx(sum(areas) / len(areas), rel=1e-12)


def test_points_are_what_a_least_confidence_leaves() -> None:
    confidences, is_right = _draw(1000)
    confidences = (confidences * 50).round() / 50
    measured = measure_risk_coverage(confidences, is_right)
    for point in measured.points:
        is_kept = confidences >= point.confidence
        assert point.n == int(is_kept.sum())
        assert point.wrong == int((is_kept & ~is_right).sum())
        assert point.coverage == point.n / 1000
        assert point.risk == point.wrong / point.n
        assert point.confidence_interval == wilson_interval(point.wrong, point.n)
    coverages = [point.coverage for point in measured.points]
    assert coverages == sorted(set(coverages))
    assert coverages[-1] == 1.0
    assert len(coverages) <= 51


def test_each_whole_percent_has_its_point_where_confidences_differ() -> None:
    confidences, is_right = _draw(1000)
    measured = measure_risk_coverage(confidences, is_right)
    assert [point.n for point in measured.points] == list(range(10, 1001, 10))
    point = measured.at(0.8)
    assert point is not None
    assert point.n == 800


def test_a_point_answers_no_less_than_its_percent() -> None:
    measured = measure_risk_coverage(*_draw(250))
    assert [point.n for point in measured.points] == [-(-5 * percent // 2) for percent in range(1, 101)]
    few = measure_risk_coverage(*_draw(7))
    assert [point.n for point in few.points] == list(range(1, 8))


def test_all_right_all_wrong_and_all_alike() -> None:
    confidences = torch.full((6,), 1.0, dtype=torch.float64)
    right = measure_risk_coverage(confidences, torch.ones(6, dtype=torch.bool))
    assert (right.area, right.best_area, len(right.points)) == (0.0, 0.0, 1)
    wrong = measure_risk_coverage(confidences, torch.zeros(6, dtype=torch.bool))
    assert (wrong.area, wrong.best_area) == (1.0, 1.0)
    half = measure_risk_coverage(confidences, torch.arange(6) % 2 == 0)
    assert half.area == pytest.approx(0.5)


def test_nothing_is_known_of_no_images() -> None:
    measured = measure_risk_coverage(torch.zeros(0, dtype=torch.float64), torch.zeros(0, dtype=torch.bool))
    assert measured.points == ()
    assert (measured.area, measured.best_area, measured.at(0.5)) == (None, None, None)
    assert measured.to_dict() == {"area": None, "best_area": None, "curve": []}


def test_the_order_of_the_images_changes_nothing() -> None:
    confidences, is_right = _draw(500)
    confidences = (confidences * 20).round() / 20
    order = torch.randperm(500)
    assert measure_risk_coverage(confidences, is_right) == measure_risk_coverage(confidences[order], is_right[order])
