"""Figures per class against scikit-learn's, and where nothing is known."""

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_recall_fscore_support

from visionlib.evaluation import ClassScore, score_logits, wilson_interval
from visionlib.evaluation.class_scores import average_known


@pytest.mark.parametrize("k", [2, 7, 40])
def test_figures_equal_scikit_learns(k: int) -> None:
    generator = torch.Generator().manual_seed(k)
    logits = torch.randn(600, k, generator=generator)
    labels = torch.randint(0, k, (600,), generator=generator)
    logits[torch.arange(600), labels] += 1
    evaluation = score_logits(logits, labels, tuple(map(str, range(k))))
    truth, predicted = labels.numpy(), logits.argmax(1).numpy()
    precision, recall, f1, support = precision_recall_fscore_support(truth, predicted, labels=range(k))
    scores = evaluation.per_class
    assert [score.precision for score in scores] == pytest.approx(list(precision), abs=1e-12)
    assert [score.accuracy for score in scores] == pytest.approx(list(recall), abs=1e-12)
    assert [score.f1 for score in scores] == pytest.approx(list(f1), abs=1e-12)
    assert [score.n for score in scores] == list(support)
    assert evaluation.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted), abs=1e-12)
    assert evaluation.macro_f1 == pytest.approx(f1_score(truth, predicted, average="macro"), abs=1e-12)


def test_a_class_solved_by_hand() -> None:
    score = ClassScore("cat", n=10, correct=6, predicted=8)
    assert (score.accuracy, score.precision, score.f1) == (0.6, 0.75, 12 / 18)
    assert score.confidence_interval == wilson_interval(6, 10)
    assert score.precision_interval == wilson_interval(6, 8)
    fields = score.to_dict()
    assert fields["recall"] == fields["accuracy"] == 0.6
    assert fields["confidence_interval"] == list(wilson_interval(6, 10) or ())
    assert fields["precision_interval"] == list(wilson_interval(6, 8) or ())


def test_what_is_not_known_is_none_and_what_is_zero_is_zero() -> None:
    absent = ClassScore("absent", n=0, correct=0, predicted=3)
    assert (absent.accuracy, absent.confidence_interval, absent.f1) == (None, None, None)
    assert absent.precision == 0.0
    unnamed = ClassScore("never predicted", n=3, correct=0, predicted=0)
    assert (unnamed.precision, unnamed.precision_interval) == (None, None)
    assert (unnamed.accuracy, unnamed.f1) == (0.0, 0.0)
    nothing = ClassScore("neither", n=0, correct=0, predicted=0).to_dict()
    assert {key for key, value in nothing.items() if value is None} == {
        "accuracy",
        "confidence_interval",
        "recall",
        "precision",
        "precision_interval",
        "f1",
    }


def test_means_leave_out_classes_without_images() -> None:
    scores = (ClassScore("a", 4, 2, 3), ClassScore("b", 0, 0, 1), ClassScore("c", 10, 10, 10))
    assert average_known(score.accuracy for score in scores) == 0.75
    assert average_known(score.f1 for score in scores) == pytest.approx((4 / 7 + 1) / 2)
    assert average_known([scores[1].accuracy]) is average_known([scores[1].f1]) is None
