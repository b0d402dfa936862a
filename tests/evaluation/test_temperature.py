"""The temperature against a search that knows nothing of slopes, and where there is none."""

import math

import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from visionlib.evaluation import fit_temperature, score_logits
from visionlib.evaluation.calibration import measure_calibration
from visionlib.evaluation.scoring import NONE_HELD_OUT


def _draw(n: int, k: int, scale: float) -> tuple[Tensor, Tensor]:
    """Draw logits, and labels by their own probabilities; then make the logits claim `scale` times as much."""
    logits = 2 * torch.randn(n, k, dtype=torch.float64)
    labels = torch.multinomial(logits.softmax(1), 1)[:, 0]
    return scale * logits, labels


@pytest.mark.parametrize(("n", "k", "scale"), [(400, 10, 1.0), (400, 2, 3.0), (300, 100, 0.2), (50, 3, 500.0)])
def test_it_is_where_a_search_finds_the_least_loss(n: int, k: int, scale: float) -> None:
    logits, labels = _draw(n, k, scale)

    def loss(power: float) -> float:
        return float((logits / math.exp(power)).log_softmax(1).gather(1, labels[:, None]).mean()) * -1

    start = math.log(scale)
    optimum = minimize_scalar(loss, bounds=(start - 3, start + 3), method="bounded", options={"xatol": 1e-9})
    temperature = fit_temperature(logits, labels)
    assert temperature == pytest.approx(math.exp(optimum.x), rel=1e-5)
    assert loss(math.log(temperature or 0)) <= optimum.fun + 1e-14


def test_it_undoes_what_logits_were_multiplied_with() -> None:
    logits, labels = _draw(500, 5, 1.0)
    fitted = [fit_temperature(factor * logits, labels) for factor in (1.0, 0.01, 7.0, 1e4)]
    assert fitted[0] is not None
    assert fitted == pytest.approx([factor * fitted[0] for factor in (1.0, 0.01, 7.0, 1e4)], rel=1e-9)
    assert fitted[0] == pytest.approx(1.0, abs=0.2)


def test_it_is_solved_by_hand_for_two_classes() -> None:
    """Three of four are right by a logit of 2: the best probability is 3/4, whose logit is log 3."""
    logits = torch.tensor([[2.0, 0.0]] * 4, dtype=torch.float64)
    assert fit_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(2 / math.log(3), rel=1e-12)


def test_twice_is_the_same_bit_for_bit() -> None:
    logits, labels = _draw(300, 10, 2.0)
    assert fit_temperature(logits, labels) == fit_temperature(logits.clone(), labels.clone())


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        (torch.zeros(0, 3), []),
        (torch.tensor([[3.0, 0.0], [0.0, 1.0]]), [0, 1]),
        (torch.tensor([[3.0, 0.0], [0.0, 1.0]]), [1, 0]),
        (torch.zeros(4, 3), [0, 1, 2, 0]),
        (torch.tensor([[1.0, 0.0], [1.0, 0.0]]), [0, 1]),
        (torch.tensor([[5.0, 5.0, 0.0]]), [0]),
    ],
    ids=["no images", "all right", "all wrong", "all alike", "by chance", "all right but for a tie"],
)
def test_where_none_is_best_there_is_none(logits: Tensor, labels: list[int]) -> None:
    targets = torch.tensor(labels, dtype=torch.int64)
    assert fit_temperature(logits.double(), targets) is None
    evaluation = score_logits(
        torch.randn(5, logits.shape[1]),
        torch.zeros(5, dtype=torch.int64),
        tuple("abc")[: logits.shape[1]],
        held_out=(logits, targets),
    )
    assert evaluation.temperature is None
    assert evaluation.temperature_note.startswith("none is best" if labels else "no images were held out")
    assert evaluation.to_dict()["temperature"] is None


def test_it_is_fitted_on_what_was_held_out_and_measured_on_the_rest() -> None:
    logits, labels = _draw(2000, 10, 3.0)
    held_out, test = (logits[:1000], labels[:1000]), (logits[1000:], labels[1000:])
    evaluation = score_logits(
        test[0].float(), test[1], tuple("abcdefghij"), held_out=(held_out[0].float(), held_out[1])
    )
    scaling = evaluation.temperature
    assert scaling is not None
    assert scaling.temperature == fit_temperature(held_out[0].float().double(), held_out[1])
    assert scaling.temperature == pytest.approx(3.0, rel=0.1)
    assert scaling.n == 1000
    assert scaling.before == evaluation.calibration
    assert scaling.after == measure_calibration(test[0].float().double() / scaling.temperature, test[1])
    assert (scaling.after.ece or 1) < (scaling.before.ece or 0) / 4
    assert [entry.correct for entry in scaling.after.bins] != [entry.correct for entry in scaling.before.bins]
    assert sum(entry.correct for entry in scaling.after.bins) == evaluation.correct
    assert evaluation.temperature_note == ""
    fields = evaluation.to_dict()["temperature"]
    assert fields["value"] == scaling.temperature
    assert fields["before"] == {
        "loss": evaluation.loss,
        "ece": evaluation.calibration.ece,
        "brier_score": evaluation.calibration.brier_score,
    }
    assert fields["after"]["loss"] < fields["before"]["loss"]


def test_without_images_held_out_it_says_how_to_get_one() -> None:
    evaluation = score_logits(torch.randn(5, 3), torch.zeros(5, dtype=torch.int64), tuple("abc"))
    assert evaluation.temperature is None
    assert evaluation.temperature_note == NONE_HELD_OUT
    assert "--validation-fraction 0.1" in NONE_HELD_OUT


def test_without_images_to_measure_it_on_there_is_none() -> None:
    held_out = (torch.randn(9, 3), torch.randint(0, 3, (9,)))
    evaluation = score_logits(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), tuple("abc"), held_out=held_out)
    assert evaluation.temperature is None
    assert evaluation.temperature_note == "there are no images to measure it on"
