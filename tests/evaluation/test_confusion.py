"""Counts of confusions against a slow loop, and the order of the pairs."""

import pytest
import torch

from visionlib.evaluation import ConfusionMatrix, wilson_interval
from visionlib.evaluation.confusion import count_confusions


def _matrix(*rows: list[int]) -> ConfusionMatrix:
    return ConfusionMatrix(torch.tensor(rows), tuple("abcdefg"[: len(rows)]))


@pytest.mark.parametrize(("n", "k"), [(0, 3), (1, 2), (200, 5), (50, 1000)])
def test_counts_equal_a_slow_loop(n: int, k: int) -> None:
    labels, predicted = torch.randint(0, k, (n,)), torch.randint(0, k, (n,))
    slow = torch.zeros(k, k, dtype=torch.int64)
    for truth, guess in zip(labels.tolist(), predicted.tolist(), strict=True):
        slow[truth, guess] += 1
    matrix = count_confusions(labels, predicted, tuple(map(str, range(k))))
    assert torch.equal(matrix.counts, slow)


def test_rows_are_shares_and_unknown_without_images() -> None:
    rows = _matrix([3, 1, 0], [0, 0, 0], [1, 1, 2]).normalize_rows()
    assert rows == ((0.75, 0.25, 0.0), None, (0.25, 0.25, 0.5))


def test_pairs_come_by_count_then_share_then_order() -> None:
    matrix = _matrix([90, 5, 5, 0], [5, 40, 0, 0], [5, 0, 40, 1], [0, 0, 0, 9])
    pairs = [(pair.true, pair.predicted, pair.count, pair.n) for pair in matrix.find_confused_pairs()]
    assert pairs == [("b", "a", 5, 45), ("c", "a", 5, 46), ("a", "b", 5, 100), ("a", "c", 5, 100), ("c", "d", 1, 46)]
    assert matrix.find_confused_pairs(2) == matrix.find_confused_pairs()[:2]
    first = matrix.find_confused_pairs(1)[0]
    assert first.share == 5 / 45
    assert first.confidence_interval == wilson_interval(5, 45)
    assert first.to_dict()["confidence_interval"] == list(first.confidence_interval)


def test_pairs_and_diagonal_make_up_all_images() -> None:
    labels, predicted = torch.randint(0, 6, (300,)), torch.randint(0, 6, (300,))
    matrix = count_confusions(labels, predicted, tuple("abcdef"))
    pairs = matrix.find_confused_pairs()
    assert sum(pair.count for pair in pairs) + int((labels == predicted).sum()) == 300
    assert all(pair.true != pair.predicted for pair in pairs)


def test_equal_matrices_are_equal() -> None:
    one, same, other = _matrix([1, 2], [3, 4]), _matrix([1, 2], [3, 4]), _matrix([1, 2], [4, 3])
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != ConfusionMatrix(one.counts, ("a", "c"))
    assert one != "a matrix"
