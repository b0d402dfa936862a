"""Of a stream, the most unsure pictures are kept, and none of them twice."""

import math

import pytest
import torch
from jaxtyping import UInt8
from torch import Tensor

from tests.inspection.copying import IN_PLACE
from visionlib.data import load_shapes
from visionlib.inference import Predictions
from visionlib.inspection.unsure_pictures import Candidates, UnsurePictures


def candidates(images: UInt8[Tensor, "n c h w"], uncertainty: list[float]) -> Candidates:
    """Candidates of this uncertainty, each its own direction, numbered from 0."""
    n = len(images)
    return Candidates(
        index=torch.arange(n),
        uncertainty=torch.tensor(uncertainty, dtype=torch.float64),
        top=torch.zeros(n, 2, dtype=torch.int64),
        probabilities=torch.zeros(n, 2, dtype=torch.float64),
        is_unusual=torch.zeros(n, dtype=torch.bool),
        embeddings=torch.eye(n),
        images=images,
    )


def keep(limit: int, images: UInt8[Tensor, "n c h w"], uncertainty: list[float], batch: int) -> UnsurePictures:
    unsure, rows = UnsurePictures(limit), candidates(images, uncertainty)
    for chunk in torch.split(torch.arange(len(images)), batch):
        unsure.add(rows.take(chunk))
    return unsure


@pytest.mark.parametrize("batch", [1, 7, 40])
@pytest.mark.parametrize("name", IN_PLACE)
def test_a_copy_is_left_out_and_the_more_unsure_one_kept(name: str, batch: int) -> None:
    images = load_shapes(n_train=20, n_test=1).train.images
    copies = torch.stack([IN_PLACE[name](image) for image in images])
    first = [0.5 + 0.01 * at for at in range(20)]
    second = [value + (0.005 if at % 2 else -0.005) for at, value in enumerate(first)]
    unsure = keep(30, torch.cat([images, copies]), first + second, batch)
    assert unsure.kept.index.tolist() == [20 + at if at % 2 else at for at in reversed(range(20))]
    assert unsure.copies == 20


@pytest.mark.parametrize("batch", [1, 9, 64, 300])
def test_a_stream_of_any_batches_keeps_the_most_unsure(batch: int) -> None:
    images = torch.randint(0, 256, (200, 3, 9, 9), dtype=torch.uint8)
    uncertainty = torch.rand(200, dtype=torch.float64)
    unsure = keep(25, images, uncertainty.tolist(), batch)
    assert unsure.kept.index.tolist() == uncertainty.argsort(descending=True)[:25].tolist()
    assert unsure.copies == 0


def test_frames_of_a_video_do_not_take_the_places_of_other_pictures() -> None:
    images = load_shapes(n_train=10, n_test=1).train.images
    frames = images[:1].repeat(40, 1, 1, 1)
    uncertainty = [0.9] * 40 + [0.1 * at for at in range(1, 10)]
    unsure = keep(5, torch.cat([frames, images[1:]]), uncertainty, 16)
    assert unsure.kept.index.tolist() == [0, 48, 47, 46, 45]
    assert unsure.copies == 39


@pytest.mark.parametrize("side", [4, 12])
def test_constant_and_tiny_pictures_are_copies_if_equal(side: int) -> None:
    values = torch.tensor([10, 200, 10, 200, 30], dtype=torch.uint8)
    images = values[:, None, None, None].expand(5, 3, side, side).contiguous()
    assert keep(5, images, [0.1, 0.2, 0.3, 0.15, 0.05], 2).kept.index.tolist() == [2, 1, 4]


def test_the_uncertainty_is_one_less_the_margin() -> None:
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])
    predictions = Predictions(2 * probabilities.log(), None, temperature=2.0)
    rows = Candidates.from_predictions(7, predictions, torch.zeros(2, 3, 40, 50, dtype=torch.uint8))
    assert rows.uncertainty.tolist() == pytest.approx([0.8, 0.3])
    assert rows.top.tolist() == [[0, 1], [2, 0]]
    assert rows.probabilities.flatten().tolist() == pytest.approx([0.5, 0.3, 0.8, 0.1])
    assert rows.embeddings.flatten().tolist() == pytest.approx([0.5, 0.3, 0.2, 0.1, 0.1, 0.8])
    assert rows.index.tolist() == [7, 8]
    assert rows.images.shape == (2, 3, 32, 32)


def test_what_is_not_finite_is_comparable_all_the_same() -> None:
    logits = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [1.0, 0.0]])
    embeddings = torch.tensor([[math.inf], [-math.inf], [1.0]]).half()
    rows = Candidates.from_predictions(0, Predictions(logits, embeddings), torch.zeros(3, 1, 8, 8, dtype=torch.uint8))
    assert bool(rows.uncertainty.isfinite().all())
    assert bool(rows.embeddings.isfinite().all())
