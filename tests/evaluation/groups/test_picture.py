"""The picture of weak groups, by its texts and its images."""

import pytest
import torch

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
    texts = [text.get_text() for text in figure.texts]
    (group,) = found.groups
    assert any(text.startswith("1. small object: ") for text in texts)
    _, _, true, said, *_ = group.images.to_rows()[0]
    assert f"said {said}" in texts
    assert f"is {true}" in texts
    assert sum(text.startswith("is ") for text in texts) == 5


def test_no_group_is_said() -> None:
    split = draw()
    figure = draw_groups(search_groups(predict(split, split.labels < 0), split), split)
    assert any("No weak group among 1,000 images" in text.get_text() for text in figure.texts)


def test_another_split_is_refused(found: WeakGroups) -> None:
    with pytest.raises(RunError, match="images: lack number"):
        draw_groups(found, draw().subset(torch.arange(10)))
