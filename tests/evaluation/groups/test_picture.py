"""The picture of weak groups, by its texts and its images."""

import pytest
import torch

from tests.drawing.test_image_grid import assert_tidy, texts
from tests.evaluation.groups.planted import draw, draw_mistakes, object_sizes, predict
from visionlib.errors import RunError
from visionlib.evaluation import WeakGroups, search_groups
from visionlib.evaluation.pictures.groups import draw_groups


@pytest.fixture(scope="module")
def found() -> WeakGroups:
    split = draw()
    rates = torch.where(object_sizes(split) < object_sizes(split).quantile(0.15), 0.5, 0.05)
    return search_groups(predict(split, draw_mistakes(rates, 0)), split)


def test_a_group_has_its_description_and_its_first_images(found: WeakGroups) -> None:
    figure = draw_groups(found, draw(), count=5)
    lines = [text.get_text() for text in texts(figure)]
    (group,) = found.groups
    assert any(line.startswith("1. small object: ") for line in lines)
    _, _, true, said, *_ = group.images.to_rows()[0]
    assert f"said {said}" in lines
    assert f"is {true}" in lines
    assert sum(line.startswith("is ") for line in lines) == 5
    assert_tidy(figure)


def test_no_group_is_said() -> None:
    split = draw()
    figure = draw_groups(search_groups(predict(split, split.labels < 0), split), split)
    assert any("No weak group among 1,000 images" in text.get_text() for text in texts(figure))


def test_another_split_is_refused(found: WeakGroups) -> None:
    with pytest.raises(RunError, match="images: lack number"):
        draw_groups(found, draw().subset(torch.arange(10)))
