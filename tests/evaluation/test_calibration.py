"""Calibration against slow loops in plain Python, and at the edges of the bins."""

import math

import pytest
import torch
from sklearn.metrics import log_loss
from torch import Tensor

from visionlib.evaluation import wilson_interval
from visionlib.evaluation.calibration import BINS, find_confidences, measure_calibration


def _loop(logits: Tensor, labels: Tensor) -> tuple[float, float, float, list[int]]:
    """Sum everything image by image, by the definitions."""
    loss = brier = 0.0
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        weights = [math.exp(value - max(row)) for value in row]
        shares = [weight / math.fsum(weights) for weight in weights]
        loss -= (row[label] - max(row)) - math.log(math.fsum(weights))
        brier += sum((share - (number == label)) ** 2 for number, share in enumerate(shares))
        confidence = max(shares)
        number = next(m for m in range(BINS) if m / BINS < confidence <= (m + 1) / BINS)
        bins[number].append((confidence, row.index(max(row)) == label))
    ece = sum(abs(sum(c for c, _ in entries) - sum(right for _, right in entries)) for entries in bins)
    n = len(labels)
    return loss / n, brier / n, ece / n, [len(entries) for entries in bins]


@pytest.mark.parametrize(("n", "k", "scale"), [(500, 2, 2.0), (500, 10, 3.0), (60, 1000, 4.0), (300, 5, 60.0)])
def test_figures_equal_a_slow_loop(n: int, k: int, scale: float) -> None:
    logits, labels = scale * torch.randn(n, k, dtype=torch.float64), torch.randint(0, k, (n,))
    loss, brier_score, ece, counts = _loop(logits, labels)
    measured = measure_calibration(logits, labels)
    assert measured.loss == pytest.approx(loss, rel=1e-12)
    assert measured.brier_score == pytest.approx(brier_score, rel=1e-12)
    assert measured.ece == pytest.approx(ece, rel=1e-12)
    assert [entry.n for entry in measured.bins] == counts
    assert measured.n == n


def test_the_loss_is_scikit_learns() -> None:
    logits, labels = torch.randn(400, 6, dtype=torch.float64), torch.randint(0, 6, (400,))
    expected = log_loss(labels.numpy(), logits.softmax(1).numpy(), labels=range(6))
    assert measure_calibration(logits, labels).loss == pytest.approx(expected, rel=1e-12)


def _logits_of(confidences: list[float]) -> Tensor:
    """Make logits of three classes whose first has so much probability."""
    rows = [[math.log(share), *[math.log((1 - share) / 2)] * 2] for share in confidences]
    return torch.tensor(rows, dtype=torch.float64)


def test_bins_solved_by_hand() -> None:
    """Three images in one bin, of which two are right; one in another, wrong."""
    logits = _logits_of([0.81, 0.84, 0.86, 0.5])
    measured = measure_calibration(logits, torch.tensor([0, 0, 1, 2]))
    full = [entry for entry in measured.bins if entry.n]
    assert [(entry.n, entry.correct) for entry in full] == [(1, 0), (3, 2)]
    assert (full[1].lowest, full[1].highest) == pytest.approx((12 / 15, 13 / 15))
    assert full[1].mean_confidence == pytest.approx((0.81 + 0.84 + 0.86) / 3)
    assert full[1].confidence_interval == wilson_interval(2, 3)
    assert measured.ece == pytest.approx((abs(0.81 + 0.84 + 0.86 - 2) + 0.5) / 4)
    assert measured.mean_confidence == pytest.approx((0.81 + 0.84 + 0.86 + 0.5) / 4)
    assert [entry.to_dict() for entry in measured.bins] == measured.to_dict()["reliability"]


def test_a_confidence_of_exactly_one_is_in_the_last_bin() -> None:
    logits = torch.tensor([[1000.0, 0.0, 0.0]] * 4, dtype=torch.float64)
    assert find_confidences(logits).tolist() == [1.0] * 4
    measured = measure_calibration(logits, torch.tensor([0, 0, 0, 1]))
    assert [entry.n for entry in measured.bins] == [0] * (BINS - 1) + [4]
    assert measured.bins[-1].mean_confidence == 1.0
    assert measured.ece == 0.25
    assert measured.brier_score == 0.5
    assert measured.loss == 250.0


def test_certainty_that_is_right_costs_nothing() -> None:
    measured = measure_calibration(torch.tensor([[1e4, 0.0]], dtype=torch.float64), torch.tensor([0]))
    measures = (measured.loss, measured.brier_score, measured.ece)
    assert measures == (0.0, 0.0, 0.0)
    assert [math.copysign(1, measure or 0.0) for measure in measures] == [1, 1, 1]


def test_an_edge_belongs_to_the_bin_below() -> None:
    """Equal logits of three classes have the confidence 1/3, which is an edge; of two 1/2, which is inside."""
    measured = measure_calibration(torch.zeros(2, 3, dtype=torch.float64), torch.tensor([0, 1]))
    share = find_confidences(torch.zeros(1, 3, dtype=torch.float64)).item()
    (entry,) = (entry for entry in measured.bins if entry.n)
    assert entry.lowest < share <= entry.highest
    assert entry.highest == pytest.approx(1 / 3)


def test_nothing_is_known_of_no_images() -> None:
    measured = measure_calibration(torch.zeros(0, 4, dtype=torch.float64), torch.zeros(0, dtype=torch.int64))
    assert measured.loss is measured.brier_score is measured.ece is measured.mean_confidence is None
    assert len(measured.bins) == BINS
    assert all(
        (entry.mean_confidence, entry.accuracy, entry.confidence_interval) == (None,) * 3 for entry in measured.bins
    )


def test_the_order_of_the_images_changes_nothing() -> None:
    logits, labels = 3 * torch.randn(1000, 10, dtype=torch.float64), torch.randint(0, 10, (1000,))
    order = torch.randperm(1000)
    assert measure_calibration(logits, labels) == measure_calibration(logits[order], labels[order])
