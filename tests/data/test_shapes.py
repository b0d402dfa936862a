import math

import pytest
import torch

from visionlib.data.shapes import draw_shapes, load_shapes
from visionlib.data.shapes.outlines import OUTLINES


def test_fewer_images_are_the_first_of_more() -> None:
    few, many = draw_shapes(503, image_size=16), draw_shapes(620, image_size=16)
    assert torch.equal(few.images, many.images[:503])
    assert torch.equal(few.labels, many.labels[:503])
    assert few.masks is not None
    assert many.masks is not None
    assert torch.equal(few.masks, many.masks[:503])


def test_a_single_image_equals_the_same_among_others() -> None:
    assert torch.equal(draw_shapes(1).images[0], draw_shapes(30).images[0])


def test_seed_and_part_change_the_pictures_and_global_state_stays() -> None:
    before = torch.random.get_rng_state()
    first = draw_shapes(100)
    assert torch.equal(torch.random.get_rng_state(), before)
    for other in (draw_shapes(100, seed=1), draw_shapes(100, part=1)):
        pairs = (first.images[:, None] == other.images[None]).flatten(2).all(2)
        assert not pairs.any()


def test_every_ten_images_show_every_class_in_changing_order() -> None:
    split = draw_shapes(200, image_size=16)
    rounds = split.labels.view(20, 10)
    assert (rounds.sort(dim=1).values == torch.arange(10)).all()
    assert len({tuple(row) for row in rounds.tolist()}) > 15
    assert split.classes == tuple(OUTLINES)
    assert list(split.classes) == sorted(split.classes)


@pytest.mark.parametrize("size", [16, 32, 80])
def test_objects_are_whole_and_large_enough_at_any_size(size: int) -> None:
    split = draw_shapes(200, image_size=size)
    assert split.images.shape == (200, 3, size, size)
    assert split.masks is not None
    heights, widths = split.masks.any(2).sum(1), split.masks.any(1).sum(1)
    extent = torch.maximum(heights, widths) / size
    assert float(extent.min()) >= 0.18
    assert float(extent.max()) <= 0.66
    # Triangles and stars of the smallest radius fill about 2.5 % of the image, circles of the largest 28 %.
    share = split.masks.float().mean((1, 2))
    assert 0.015 < float(share.min()) < float(share.max()) < 0.3


def test_circles_and_squares_have_the_area_of_their_extent() -> None:
    split = draw_shapes(200, image_size=128)
    assert split.masks is not None
    # Of the smallest objects, 36 px across, the box may be a pixel off along each axis, which is 6 % of its area.
    for name, low, high in (
        ("circle", 0.94 * math.pi / 4, 1.06 * math.pi / 4),
        ("ring", 0.94 * math.pi / 4 * (1 - 0.56**2), 1.06 * math.pi / 4 * (1 - 0.56**2)),
        ("square", 0.94 * 0.5, 1.06),
    ):
        masks = split.masks[split.labels == split.classes.index(name)]
        box = masks.any(2).sum(1) * masks.any(1).sum(1)
        share = masks.flatten(1).sum(1) / box
        assert low < float(share.min()) <= float(share.max()) < high, name


@pytest.mark.parametrize(
    ("name", "area"),
    [
        ("circle", math.pi),
        ("ellipse", math.pi * 0.62),
        ("ring", math.pi * (1 - 0.56**2)),
        ("triangle", 1.5 * math.sin(2 * math.pi / 3)),
        ("square", 2.0),
        ("pentagon", 2.5 * math.sin(2 * math.pi / 5)),
        ("hexagon", 3 * math.sin(math.pi / 3)),
        ("star", 5 * 0.45 * math.sin(math.pi / 5)),
        ("cross", 4 * (2 * 0.95 * 0.28 - 0.28**2)),
    ],
)
def test_outline_encloses_the_area_of_the_formula(name: str, area: float) -> None:
    places = (torch.arange(1000) + 0.5) / 400 - 1.25
    inside = OUTLINES[name](places[None, None, :].expand(1, 1000, 1000), places[None, :, None].expand(1, 1000, 1000))
    assert float((inside < 0).sum()) / 400**2 == pytest.approx(area, rel=0.005)


@pytest.mark.parametrize("name", OUTLINES)
def test_outline_lies_in_the_unit_circle_and_its_distance_has_slope_one(name: str) -> None:
    places = (torch.arange(1000) + 0.5) / 400 - 1.25
    x, y = places[None, None, :].expand(1, 1000, 1000), places[None, :, None].expand(1, 1000, 1000)
    distance = OUTLINES[name](x, y)
    assert float(torch.hypot(x, y)[distance < 0].max()) <= 1.0
    down, right = torch.gradient(distance[0], spacing=1 / 400)
    slope = torch.hypot(down, right)[distance[0].abs() < 0.03]
    # Corners and the ridge of thin parts have other slopes, and they are few.
    assert float(((slope - 1).abs() < 0.08).float().mean()) > 0.9


def test_most_objects_differ_from_what_surrounds_them() -> None:
    split = draw_shapes(500)
    assert split.masks is not None
    masks = split.masks[:, None].float()
    around = torch.nn.functional.max_pool2d(masks, 7, 1, 3) - masks
    pixels = split.images.float() / 255
    inner = (pixels * masks).sum((2, 3)) / masks.sum((2, 3))
    outer = (pixels * around).sum((2, 3)) / around.sum((2, 3))
    contrast = (inner - outer).norm(dim=1)
    assert float((contrast > 0.3).float().mean()) > 0.75
    assert bool((contrast < 0.25).any()), "some should be hard to see"


def test_load_shapes_gives_two_splits_that_share_nothing() -> None:
    dataset = load_shapes(n_train=60, n_test=20, image_size=16, seed=3)
    assert (len(dataset.train), len(dataset.test)) == (60, 20)
    assert not (dataset.train.images[:, None] == dataset.test.images[None]).flatten(2).all(2).any()
    assert dataset.content_hash == load_shapes(n_train=60, n_test=20, image_size=16, seed=3).content_hash


@pytest.mark.parametrize(("n", "size"), [(0, 32), (5, 15)])
def test_too_small_arguments_are_refused(n: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"got {n} and {size}"):
        draw_shapes(n, image_size=size)
