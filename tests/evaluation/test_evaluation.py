import json
import math
import time
from typing import Any

import pytest
import torch
from sklearn.metrics import accuracy_score, log_loss, recall_score

from visionlib.errors import RunError
from visionlib.evaluation import score_logits, wilson_interval
from visionlib.evaluation.evaluation import Evaluation
from visionlib.evaluation.selective import SelectiveAveraging, Threshold

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
    assert (ship["class"], ship["n"], ship["correct"]) == ("ship", 0, 0)
    assert ship["accuracy"] is ship["confidence_interval"] is ship["recall"] is ship["f1"] is None


def test_a_split_without_images_is_unknown() -> None:
    evaluation = score_logits(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), CLASSES)
    fields = evaluation.to_dict()
    assert fields["n"] == 0
    assert fields["accuracy"] is fields["confidence_interval"] is fields["loss"] is None
    unknown = ["balanced_accuracy", "macro_f1", "top5_accuracy", "mirror_accuracy", "mirror_confidence_interval"]
    assert [fields[name] for name in unknown] == [None] * len(unknown)
    assert fields["confusion"] == {"counts": [[0] * 3] * 3, "most_confused": []}
    assert fields["calibration"]["ece"] is fields["calibration"]["brier_score"] is None
    assert fields["risk_coverage"] == {"area": None, "best_area": None, "curve": []}
    assert "NaN" not in json.dumps(fields)


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


def test_a_split_of_one_class_knows_nothing_of_the_others() -> None:
    logits = torch.randn(50, 8)
    evaluation = score_logits(logits, torch.full((50,), 3), tuple("abcdefgh"))
    known = evaluation.per_class[3]
    assert evaluation.accuracy == evaluation.balanced_accuracy == known.accuracy
    assert evaluation.macro_f1 == known.f1
    assert all(entry.accuracy is None for entry in evaluation.per_class if entry is not known)
    assert all(entry.precision == 0.0 for entry in evaluation.per_class if entry is not known)
    assert {pair.true for pair in evaluation.confusion.find_confused_pairs()} == {"d"}


def test_top_5_is_told_from_six_classes_on() -> None:
    logits = torch.eye(6).flip(1)
    labels = torch.arange(6)
    six = score_logits(logits, labels, tuple("abcdef"))
    # The largest logit of image i is that of class 5 - i; of the others, which are equal, the last one is left out.
    slow = sum(
        label in sorted(range(6), key=lambda k: (-float(row[k]), k))[:5]
        for row, label in zip(logits, range(6), strict=True)
    )
    assert six.top5_correct == slow == 5
    assert six.top5_interval == wilson_interval(5, 6)
    assert six.to_dict()["top5_accuracy"] == 5 / 6
    five = score_logits(logits[:5, :5], labels[:5], tuple("abcde"))
    assert (five.top5_accuracy, five.top5_interval) == (None, None)


def test_every_figure_is_defined_or_named_by_what_it_belongs_to() -> None:
    averaging = SelectiveAveraging(Threshold(0.9, 0, "a fixed one"), 4, 2, 3)
    fields = {**_evaluate_by_hand().to_dict(), "selective": averaging.to_dict()}
    for path in fields["definitions"]:
        value: Any = fields
        for name in path.split("."):
            value = (value[0] if isinstance(value, list) else value)[name]
    plain = {"confidence", "interval", "n", "correct", "definitions", "per_class", "confusion", "calibration"}
    plain |= {"risk_coverage", "temperature_note", "mirror_confidence_interval", "top5_confidence_interval"}
    assert set(fields) - plain <= set(fields["definitions"])


@pytest.mark.parametrize("k", [2, 10, 1000])
def test_no_figure_is_nan_and_ten_thousand_images_take_two_seconds(k: int) -> None:
    n = 10_000 if k == 10 else 500
    logits, labels = 3 * torch.randn(n, k), torch.randint(0, k, (n,))
    score_logits(logits[:2], labels[:2], tuple(map(str, range(k))))  # scikit-learn is imported apart
    started = time.process_time()
    held_out = (logits[: n // 2], labels[: n // 2])
    evaluation = score_logits(logits, labels, tuple(map(str, range(k))), mirror_logits=logits, held_out=held_out)
    fields = evaluation.to_dict()
    assert time.process_time() - started < 2
    json.dumps(fields, allow_nan=False)
    assert fields["accuracy"] == fields["mirror_accuracy"]
    assert sum(map(sum, fields["confusion"]["counts"])) == n


def test_the_order_of_the_images_changes_no_figure() -> None:
    logits, labels = 2 * torch.randn(700, 9), torch.randint(0, 9, (700,))
    order = torch.randperm(700)
    here, there = (
        score_logits(logits[at], labels[at], tuple("abcdefghi"), mirror_logits=logits[at].flip(1))
        for at in (slice(None), order)
    )
    assert here == there
    assert here.to_dict() == there.to_dict()
    assert here != score_logits(logits, labels.flip(0), tuple("abcdefghi"))


def test_mirror_averaging_takes_the_larger_sum() -> None:
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    mirrored = torch.tensor([[0.0, 2.0], [0.0, 1.0]])
    evaluation = score_logits(logits, torch.tensor([0, 1]), ("a", "b"), mirror_logits=mirrored)
    assert (evaluation.accuracy, evaluation.mirror_accuracy) == (1.0, 0.5)
    assert evaluation.mirror_interval == wilson_interval(1, 2)
    assert score_logits(logits, torch.tensor([0, 1]), ("a", "b")).mirror_accuracy is None


@pytest.mark.parametrize(
    ("columns", "label", "value", "message"),
    [
        (4, 0, 0.0, "logits: have 4 columns for 3 classes"),
        (3, 3, 0.0, r"labels: are 3\.\.3 for 3 classes"),
        (3, -1, 0.0, r"labels: are -1\.\.-1 for 3 classes"),
        (3, 0, math.inf, "logits: hold values that are not numbers"),
        (3, 0, math.nan, "logits: hold values that are not numbers"),
    ],
)
def test_what_does_not_fit_is_refused(columns: int, label: int, value: float, message: str) -> None:
    with pytest.raises(RunError, match=message):
        score_logits(torch.full((1, columns), value), torch.tensor([label]), CLASSES)


def test_what_was_held_out_must_fit_too() -> None:
    logits, labels = torch.zeros(2, 3), torch.tensor([0, 1])
    with pytest.raises(RunError, match="logits: have 4 columns for 3 classes"):
        score_logits(logits, labels, CLASSES, held_out=(torch.zeros(2, 4), labels))
    with pytest.raises(RunError, match=r"labels: are 0\.\.5 for 3 classes"):
        score_logits(logits, labels, CLASSES, held_out=(logits, torch.tensor([0, 5])))
    with pytest.raises(RunError, match="logits: are of 2 images for 3 labels"):
        score_logits(logits, labels, CLASSES, held_out=(logits, torch.tensor([0, 1, 2])))


@pytest.mark.parametrize(("n", "k"), [(300, 7), (300, 3), (0, 3)])
def test_json_is_read_back_as_the_same_evaluation(n: int, k: int) -> None:
    logits, labels = 2 * torch.randn(n, k), torch.randint(0, k, (n,))
    held_out = (torch.randn(50, k), torch.randint(0, k, (50,)))
    for options in ({}, {"mirror_logits": logits.flip(1)}, {"held_out": held_out}):
        evaluation = score_logits(logits, labels, tuple(map(str, range(k))), **options)
        read = Evaluation.from_dict(json.loads(json.dumps(evaluation.to_dict())))
        if n:
            assert read == evaluation
        assert read.to_dict() == evaluation.to_dict()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (("n",), r"evaluation\.json: is damaged \(n is missing\); make it again with `visionlib test`"),
        (("calibration", "reliability"), r"is damaged \(calibration\.reliability is missing\)"),
        (("risk_coverage", "area"), r"is damaged \(risk_coverage\.area is missing\)"),
        (("temperature_note",), r"is damaged \(temperature_note is missing\)"),
    ],
)
def test_a_missing_field_is_named(path: tuple[str, ...], message: str) -> None:
    fields = _evaluate_by_hand().to_dict()
    owner: Any = fields
    for name in path[:-1]:
        owner = owner[name]
    del owner[path[-1]]
    with pytest.raises(RunError, match=message):
        Evaluation.from_dict(fields)
    with pytest.raises(RunError, match="is damaged"):
        Evaluation.from_dict({**_evaluate_by_hand().to_dict(), "per_class": None})
    with pytest.raises(RunError, match=r"is damaged \(confusion\.counts has 1 rows, and must be square for 3"):
        Evaluation.from_dict({**_evaluate_by_hand().to_dict(), "confusion": {"counts": [[4]]}})
