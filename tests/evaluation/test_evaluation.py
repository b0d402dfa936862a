import math

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, recall_score

from visionlib.errors import RunError
from visionlib.evaluation import score_logits
from visionlib.evaluation.evaluation import Evaluation

CLASSES = ("cat", "dog", "ship")


def _evaluate_by_hand() -> Evaluation:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    return score_logits(logits, torch.tensor([0, 1, 1, 0]), CLASSES)


def test_figures_of_four_images_solved_by_hand() -> None:
    evaluation = _evaluate_by_hand()
    assert (evaluation.n, evaluation.correct, evaluation.accuracy) == (4, 3, 0.75)
    assert [(entry.name, entry.n, entry.correct) for entry in evaluation.per_class] == [
        ("cat", 2, 2),
        ("dog", 2, 1),
        ("ship", 0, 0),
    ]
    e = math.e
    by_hand = [
        -math.log(e**2 / (e**2 + 2)),
        -math.log(e / (e + 2)),
        -math.log(1 / (e**3 + 2)),
        math.log(3),
    ]
    assert evaluation.loss == pytest.approx(sum(by_hand) / 4, abs=1e-12)


def test_a_class_without_images_is_unknown_and_not_zero() -> None:
    ship = _evaluate_by_hand().to_dict()["per_class"][2]
    assert ship == {"class": "ship", "accuracy": None, "confidence_interval": None, "n": 0, "correct": 0}


def test_a_split_without_images_is_unknown() -> None:
    evaluation = score_logits(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), CLASSES)
    figures = evaluation.to_dict()
    assert figures["n"] == 0
    assert figures["accuracy"] is figures["confidence_interval"] is figures["loss"] is None


def test_figures_equal_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(500, 7, generator=generator)
    labels = torch.randint(0, 7, (500,), generator=generator)
    evaluation = score_logits(logits, labels, tuple("abcdefg"))
    predicted = logits.argmax(1).numpy()
    assert evaluation.accuracy == pytest.approx(accuracy_score(labels.numpy(), predicted))
    recalls = recall_score(labels.numpy(), predicted, average=None)
    assert [entry.accuracy for entry in evaluation.per_class] == pytest.approx(list(recalls))
    probabilities = logits.double().softmax(1).numpy()
    assert evaluation.loss == pytest.approx(log_loss(labels.numpy(), probabilities), abs=1e-10)


def test_totals_agree_with_classes() -> None:
    evaluation = _evaluate_by_hand()
    assert sum(entry.n for entry in evaluation.per_class) == evaluation.n
    assert sum(entry.correct for entry in evaluation.per_class) == evaluation.correct


def test_mirror_averaging_takes_the_larger_sum() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    mirrored = torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    evaluation = score_logits(logits, torch.tensor([0, 1]), ("a", "b"), mirror_logits=mirrored)
    assert (evaluation.accuracy, evaluation.mirror_accuracy) == (1.0, 0.5)
    assert score_logits(logits, torch.tensor([0, 1]), ("a", "b")).mirror_accuracy is None


@pytest.mark.parametrize(
    ("columns", "label", "value", "message"),
    [
        (4, 0, 0.0, "logits: have 4 columns for 3 classes"),
        (3, 3, 0.0, r"labels: are 3\.\.3 for 3 classes"),
        (3, 0, math.nan, "logits: hold values that are not numbers"),
    ],
)
def test_what_does_not_fit_is_refused(columns: int, label: int, value: float, message: str) -> None:
    with pytest.raises(RunError, match=message):
        score_logits(torch.full((1, columns), value), torch.tensor([label]), CLASSES)
