"""The threshold comes from held-out images, and only images up to it get more views."""

import math

import pytest
import torch
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.evaluation.selective import (
    SelectiveAveraging,
    Threshold,
    average_views,
    choose_threshold,
    score_selectively,
    select_unsure,
)
from visionlib.inference.trained_model import TrainedModel


def logits_of(confidences: list[float]) -> Tensor:
    """Two classes, of which the first is predicted with these probabilities."""
    return torch.tensor([[math.log(value), math.log(1 - value)] for value in confidences])


def test_the_threshold_reaches_nine_tenths_of_the_errors() -> None:
    wrong = [0.51, 0.55, 0.60, 0.65, 0.70, 0.75, 0.80, 0.85, 0.90, 0.99]
    logits = logits_of([*wrong, 0.52, 0.97])
    threshold = choose_threshold((logits, torch.tensor([1] * 10 + [0, 0])))
    assert threshold.confidence == pytest.approx(0.90)
    assert threshold.n == 12
    assert select_unsure(logits, threshold).tolist() == [True] * 9 + [False, True, False]
    one = choose_threshold((logits_of([0.6, 0.9]), torch.tensor([1, 0])))
    assert one.confidence == pytest.approx(0.6)


def test_without_errors_on_held_out_images_it_is_fixed_and_says_so() -> None:
    none, empty = choose_threshold(None), choose_threshold((torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)))
    right = choose_threshold((logits_of([0.6, 0.9]), torch.tensor([0, 0])))
    assert [each.confidence for each in (none, empty, right)] == [0.9] * 3
    assert [each.n for each in (none, empty, right)] == [0] * 3
    assert none.source == empty.source == "fixed: no training images were held out to choose it on"
    assert right.source == "fixed: no prediction on the held-out images is wrong"


class Corner(nn.Module):
    """Logits are the top left and the bottom right pixel, so that each view can be solved by hand."""

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.stack([inputs[:, 0, 0, 0], inputs[:, 0, -1, -1]], 1)


def corner_model() -> TrainedModel:
    return TrainedModel.from_network(Corner(), (0.0,), (1 / 255,))


def test_six_views_are_those_of_the_source() -> None:
    image = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=torch.uint8)[None, None]
    model = corner_model()
    plain = model.predict(image).logits
    assert plain.tolist() == [[1, 9]]
    # The image 1, 9; mirrored 3, 7. Windows a pixel down right and up left, reflected: 5, 5 each, mirrored the same.
    down_right = ([5, 5], [5, 5])
    up_left = ([5, 5], [5, 5])
    expected = (
        torch.tensor([[1.0, 9.0]])
        + torch.tensor([[3.0, 7.0]])
        + sum(0.5 * torch.tensor([view], dtype=torch.float32) for view in (*down_right, *up_left))
    ) / 4
    torch.testing.assert_close(average_views(model, image, plain), expected)


def test_windows_move_both_ways() -> None:
    image = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4) ** 2 % 97
    model = corner_model()
    # Rows 1 2 3 2 and 1 0 1 2, as reflection at the border gives them; columns too.
    views = [image, image[:, :, [1, 2, 3, 2]][..., [1, 2, 3, 2]], image[:, :, [1, 0, 1, 2]][..., [1, 0, 1, 2]]]
    weights = (1.0, 0.5, 0.5)
    expected = sum(
        weight * model.predict(each).logits
        for weight, view in zip(weights, views, strict=True)
        for each in (view, view.flip(3))
    )
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(average_views(model, image, model.predict(image).logits), expected / 4)


def test_only_unsure_images_are_averaged() -> None:
    images = torch.zeros(3, 1, 3, 3, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.tensor([2, 9, 2])  # the views of the first and the last: below, the second is sure
    images[:, 0, 0, 2] = 0
    images[:, 0, 2, 2] = 1
    images[:, 0, 2, 0] = 9
    model = corner_model()
    logits = model.predict(images).logits
    assert logits.tolist() == [[2, 1], [9, 1], [2, 1]]
    labels = torch.tensor([1, 1, 0])
    result = score_selectively(model, images, labels, logits, Threshold(0.9, 5, "held out"))
    # The mirror image gives 0, 9, and the shifted views 0, 0: the class of unsure images becomes the second.
    assert result == SelectiveAveraging(Threshold(0.9, 5, "held out"), n=3, selected=2, correct=1)
    assert result.accuracy == pytest.approx(1 / 3)
    assert result.passes_per_image == pytest.approx((6 + 1 + 6) / 3)
    sure = score_selectively(model, images, labels, logits, Threshold(0.5, 5, "held out"))
    assert (sure.selected, sure.passes_per_image, sure.correct) == (0, 1, 1)
    assert torch.equal(logits, model.predict(images).logits)


def test_images_of_a_pixel_are_refused_in_one_line() -> None:
    images = torch.zeros(2, 1, 1, 5, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=r"images: cannot be shifted, .*; leave --selective out"):
        average_views(corner_model(), images, torch.zeros(2, 2))


def test_no_images_have_no_accuracy() -> None:
    result = SelectiveAveraging(choose_threshold(None), 0, 0, 0)
    assert result.to_dict()["accuracy"] is result.to_dict()["passes_per_image"] is None
