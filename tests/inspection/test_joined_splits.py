"""Rows of joined splits are the images of the splits, in order."""

import torch

from tests.inspection.test_duplicates import make_dataset, textured
from visionlib.inspection.joined_splits import JoinedSplits
from visionlib.inspection.similarity import make_thumbnails, mirror_thumbnails


def test_a_row_is_an_image_of_one_split() -> None:
    train, test = textured(7), textured(4, seed=1)
    joined = JoinedSplits(make_dataset(train, test).splits)
    both = torch.cat([train, test])
    assert len(joined) == 11
    rows = torch.tensor([10, 0, 7, 6, 7])
    assert joined[rows].equal(both[rows])
    assert [joined.locate(row) for row in (0, 6, 7, 10)] == [("train", 0), ("train", 6), ("test", 0), ("test", 3)]
    assert [joined.row(*joined.locate(row)) for row in range(11)] == list(range(11))
    assert torch.cat(list(joined.chunks(3))).equal(both)


def test_an_empty_split_has_no_rows() -> None:
    joined = JoinedSplits(make_dataset(textured(0), textured(2)).splits)
    assert joined.locate(0) == ("test", 0)
    assert joined[torch.tensor([1])].shape == (1, 3, 32, 32)


def test_thumbnails_are_mirrored_with_their_images() -> None:
    for side_px in (8, 13, 32, 45):
        images = textured(5, side_px=side_px)
        mirrored = mirror_thumbnails(make_thumbnails(images))
        assert torch.allclose(mirrored, make_thumbnails(images.flip(3)), atol=1e-6)
