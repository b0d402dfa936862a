"""How often the true class is among the best: a slow loop, scikit-learn, ties."""

import pytest
import torch
from sklearn.metrics import top_k_accuracy_score

from visionlib.evaluation.scoring import count_top_k


def test_equals_scikit_learns_where_there_are_no_ties() -> None:
    logits, labels = torch.randn(400, 12), torch.randint(0, 12, (400,))
    share = top_k_accuracy_score(labels.numpy(), logits.numpy(), k=5, labels=range(12))
    assert count_top_k(logits, labels, 5) == round(share * 400)


def test_equals_a_slow_loop_with_ties_where_the_first_of_equals_is_better() -> None:
    logits, labels = torch.randint(0, 3, (300, 8)).float(), torch.randint(0, 8, (300,))
    slow = 0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        slow += label in sorted(range(8), key=lambda place: (-row[place], place))[:5]
    assert count_top_k(logits, labels, 5) == slow
    assert count_top_k(logits, labels, 1) == int((logits.argmax(1) == labels).sum())


@pytest.mark.parametrize(("k", "expected"), [(2, None), (5, None), (6, 5)])
def test_all_equal_logits_by_hand(k: int, expected: int | None) -> None:
    assert count_top_k(torch.zeros(k, k), torch.arange(k), 5) == expected


def test_no_images() -> None:
    assert count_top_k(torch.zeros(0, 10), torch.zeros(0, dtype=torch.int64), 5) == 0
