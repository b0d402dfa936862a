"""Properties of images whose values are known by hand."""

import pytest
import torch
from torch import Tensor

from visionlib.data import ImageSplit
from visionlib.data.dataset import Originals
from visionlib.evaluation.groups.properties import COLOURS, Category, Quantity, measure_properties


def make_split(images: Tensor, **fields: object) -> ImageSplit:
    n = len(images)
    return ImageSplit(images, torch.zeros(n, dtype=torch.int64), ("only",), torch.arange(n), **fields)  # type: ignore[arg-type]


def measure(images: Tensor, **fields: object) -> dict[str, list[float | str | None]]:
    found: dict[str, list[float | str | None]] = {}
    for entry in measure_properties(make_split(images, **fields)):
        if isinstance(entry, Category):
            found[entry.name] = [entry.names[at] if at >= 0 else None for at in entry.values.tolist()]
        else:
            found[entry.name] = entry.values.tolist()
    return found


def paint(*colours: tuple[int, int, int]) -> Tensor:
    return torch.tensor(colours, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 4, 4).contiguous()


def test_uniform_colours_by_hand() -> None:
    found = measure(paint((255, 0, 0), (0, 0, 0), (255, 255, 255), (0, 51, 102)))
    assert found["brightness"] == pytest.approx([0.299, 0, 1, 0.2 * 0.587 + 0.4 * 0.114])
    assert found["saturation"] == pytest.approx([1, 0, 0, 0.4])
    assert found["contrast"] == pytest.approx([0, 0, 0, 0], abs=1e-6)
    assert found["sharpness"] == [0, 0, 0, 0]
    assert found["red pixels"] == [1, 0, 0, 0]
    assert found["blue pixels"] == [0, 0, 0, 1]  # its hue is 210 degrees, half way from cyan; rounded to even


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ((255, 0, 0), "red"),
        ((255, 0, 100), "red"),
        ((250, 240, 20), "yellow"),
        ((30, 160, 40), "green"),
        ((0, 200, 210), "cyan"),
        ((20, 20, 160), "blue"),
        ((200, 0, 180), "magenta"),
        ((20, 20, 20), "black"),
        ((120, 128, 125), "grey"),
        ((250, 250, 250), "white"),
    ],
)
def test_colours_have_their_names(colour: tuple[int, int, int], name: str) -> None:
    assert measure(paint(colour))["background"] == [name]


def test_half_black_half_white() -> None:
    images = torch.zeros(1, 1, 4, 4, dtype=torch.uint8)
    images[:, :, :, 2:] = 255
    found = measure(images)
    assert found["brightness"] == pytest.approx([0.5])
    assert found["contrast"] == pytest.approx([0.5])
    # The four inner pixels lie on either side of the edge: their Laplacian is 1 or -1.
    assert found["sharpness"] == pytest.approx([2.0])
    assert "saturation" not in found
    assert "red pixels" not in found


def test_blur_lowers_sharpness_and_contrast_does_not() -> None:
    images = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    blurred = torch.nn.functional.avg_pool2d(images.float(), 3, 1, 1).round().to(torch.uint8)
    faint = (images.float() / 4 + 90).round().to(torch.uint8)
    sharp, soft, pale = (measure(some)["sharpness"][0] for some in (images, blurred, faint))
    assert isinstance(sharp, float)
    assert isinstance(soft, float)
    assert soft < 0.6 * sharp
    assert pale == pytest.approx(sharp, rel=0.02)


def test_the_background_is_the_border() -> None:
    images = paint((0, 0, 255)).clone()
    images[:, :, 1:3, 1:3] = 255
    found = measure(images)
    assert found["background"] == ["blue"]


def test_objects_by_hand() -> None:
    images = paint((0, 0, 0), (0, 0, 0)).clone()
    images[0, 0, 0] = 255  # a red row in black
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[0, 0] = True
    found = measure(images, masks=masks)
    assert found["object size"] == pytest.approx([0.25, float("nan")], nan_ok=True)
    assert found["object contrast"] == pytest.approx([1.0, float("nan")], nan_ok=True)
    assert found["object colour"] == ["red", None]


def test_files_have_their_size_and_mode() -> None:
    originals = Originals(torch.tensor([[30, 60], [80, 40]]), ("RGB", "L"))
    found = measure(paint((0, 0, 0), (0, 0, 0)), originals=originals)
    assert found["original size"] == [30, 40]
    assert found["original shape"] == [2, 0.5]
    assert found["file mode"] == ["RGB", "L"]


def test_pieces_are_measured_like_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    split = make_split(torch.randint(0, 256, (7, 3, 8, 8), dtype=torch.uint8))
    whole = measure_properties(split)
    monkeypatch.setattr("visionlib.evaluation.groups.properties._VALUES_AT_ONCE", 2 * 3 * 8 * 8)
    for first, second in zip(whole, measure_properties(split), strict=True):
        assert first.values.tolist() == pytest.approx(second.values.tolist())
    assert all(isinstance(entry, Quantity) or entry.names == COLOURS for entry in whole)


def test_no_images_have_no_values() -> None:
    assert all(len(entry.values) == 0 for entry in measure_properties(make_split(torch.zeros(0, 3, 4, 4).byte())))
