"""The picture of mistakes shows the stored images of the first ones, whatever the names of the classes."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.drawing.test_image_grid import HOSTILE, assert_tidy, texts
from visionlib.errors import RunError
from visionlib.evaluation import Votes, find_mistakes, judge_mistakes
from visionlib.evaluation.pictures.mistakes import describe_mistakes, draw_mistakes
from visionlib.inference.predictions import SplitPredictions


def mistakes_of(wrong: int, classes: tuple[str, ...] = ("cat", "dog"), surest: float = 4.0) -> tuple[Any, Tensor]:
    """Ten images, of which the first `wrong` are cats called dogs, the later ever more surely."""
    logits = torch.zeros(10, len(classes))
    logits[:, 0] = 1
    logits[:wrong, 1] = torch.linspace(1.1, surest, wrong)
    images = torch.arange(10, dtype=torch.uint8)[:, None, None, None].expand(10, 1, 28, 28)
    found = find_mistakes(SplitPredictions(logits, logits, None), torch.zeros(10, dtype=torch.int64), classes)
    return found, images


def test_the_picture_shows_the_raw_images_of_the_first_mistakes() -> None:
    found, images = mistakes_of(9)
    assert len(found.confident) == 3
    figure = draw_mistakes(found, images, count=4)
    pixels = [int(np.asarray(image.get_array())[0, 0, 0]) for image in figure.axes[0].images]
    assert pixels == [8, 7, 6, 5, 4, 3, 2]
    lines = [text.get_text() for text in texts(figure)]
    assert "confident and wrong: 3 with a probability of at least 0.9" in lines
    assert "the other mistakes: 6" in lines
    assert "said dog 95 %" in lines
    assert "is cat 4.7 %" in lines
    assert describe_mistakes(found).startswith("9 of 10 images are predicted wrong (plain logits), 3 of them")


@pytest.mark.parametrize("wrong", [0, 1, 2, 5, 10])
def test_any_number_of_mistakes_makes_a_picture(wrong: int) -> None:
    found, images = mistakes_of(wrong)
    figure = draw_mistakes(found, images, count=3)
    shown = min(3, len(found.confident)) + min(3, len(found.unsure))
    assert len(figure.axes[0].images) == shown
    assert_tidy(figure)
    if not wrong:
        assert [text.get_text() for text in texts(figure)] == ["No mistake among 10 images (plain logits)."]


def test_hostile_class_names_and_what_people_say() -> None:
    for name, other in itertools.pairwise(HOSTILE):
        found, images = mistakes_of(4, (name, other))
        shares = torch.tensor([[0.2, 0.8]] * 10, dtype=torch.float64)
        opinions = judge_mistakes(found, Votes("v", shares, torch.ones(10, dtype=torch.bool)))
        figure = draw_mistakes(found, images, opinions=opinions)
        assert_tidy(figure)
        people = [text.get_text() for text in texts(figure) if text.get_text().startswith("people")]
        assert len(people) == 4
        assert all(line.endswith("80 %") for line in people)


def test_a_hundred_classes_of_channels_last_images_on_the_small_side() -> None:
    found, _ = mistakes_of(10, tuple(f"class number {n}" for n in range(100)))
    figure = draw_mistakes(found, torch.zeros(10, 3, 96, 96, dtype=torch.uint8))
    assert_tidy(figure)


def test_other_images_than_those_scored_are_refused() -> None:
    found, images = mistakes_of(2)
    with pytest.raises(RunError, match="images: there are 9 for 10 that were scored"):
        draw_mistakes(found, images[:9])
