"""What the class is predicted from, by hand; and the trees that predict it."""

import torch

from visionlib.data import ImageSplit
from visionlib.evaluation.shortcuts.prediction import _flag, predict_from
from visionlib.evaluation.shortcuts.probes import REGIONS, mark_region, measure_probes


def test_regions_by_hand() -> None:
    drawn = {name: mark_region(name, 4, 8, 4).int().tolist() for name in REGIONS}
    assert drawn["top left corner"] == [[1, 1, 0, 0, 0, 0, 0, 0]] + [[0] * 8] * 3
    assert drawn["bottom right corner"] == [[0] * 8] * 3 + [[0, 0, 0, 0, 0, 0, 1, 1]]
    assert drawn["top edge"] == [[1] * 8] + [[0] * 8] * 3
    assert drawn["right edge"] == [[0, 0, 0, 0, 0, 0, 1, 1]] * 4
    assert drawn["border"] == [[1] * 8, [1, 1, 0, 0, 0, 0, 1, 1], [1, 1, 0, 0, 0, 0, 1, 1], [1] * 8]
    assert mark_region("border", 1, 1, 16).tolist() == [[True]]


def test_corners_are_described_by_mean_and_std() -> None:
    images = torch.zeros(2, 1, 32, 32, dtype=torch.uint8)
    images[1, 0, :2, -2:] = 255
    split = ImageSplit(images, torch.tensor([0, 1]), ("a", "b"), torch.arange(2))
    found = {probe.name: probe.values.tolist() for probe in measure_probes(split)}
    # 4 of 4 pixels are white in the small square, 4 of 16 in the large one: its std is the root of 1/4 * 3/4.
    assert found["top right corner"] == [[0, 0, 0, 0], [1, 0, 0.25, float(torch.tensor(3 / 16).sqrt())]]
    assert found["top edge"][1][0] == 2 / 32
    assert "bottom left corner" not in found  # it is the same in both


def test_leaves_flag_classes_by_hand() -> None:
    # 10 and 90 images. With one average image each: 9.1 of 10, 0.1 of 90 + ... of the first class.
    counts = torch.tensor([[9.0, 0.0], [1.0, 9.0], [0.0, 81.0]], dtype=torch.float64)
    # First leaf: share 9.1 / 10 = 0.91; at equal weights 0.91 * 0.9 / (0.91 * 0.9 + 0.09 * 0.1) = 0.989.
    # Second leaf: share of the first class 1.1 / 11 = 0.1; at equal weights one half.
    # Third leaf: share of the second class 81.9 / 82; at equal weights 0.9988 * 0.1 / (0.0999 + 0.0012 * 0.9) = 0.989.
    assert _flag(counts).tolist() == [[True, False], [False, False], [False, True]]


def test_predictions_are_of_other_folds() -> None:
    labels = torch.arange(100) % 2
    folds = torch.arange(100) // 20
    told = predict_from(labels[:, None].double(), labels, folds, 2)
    assert told.predicted.equal(labels)
    assert told.is_flagged.tolist() == [[label == 0, label == 1] for label in labels.tolist()]
    # In the held-out fold the number tells the opposite: what was learnt from the others is wrong there.
    values = torch.where(folds == 4, 1 - labels, labels)[:, None].double()
    assert (predict_from(values, labels, folds, 2).predicted == labels).view(5, 20).all(1).tolist() == [
        *(True,) * 4,
        False,
    ]
