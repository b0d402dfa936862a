"""The picture of a dataset shows images as they are, and nothing in it overlaps, whatever the classes are called."""

from itertools import combinations

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from tests.inspection.test_pictures import HOSTILE, pixels
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError
from visionlib.inspection import DatasetInspection, inspect_dataset
from visionlib.inspection.overview_picture import describe_overview, draw_overview


def make_dataset(
    k: int, *, side: int = 32, channels: int = 3, splits: tuple[str, ...] = ("train", "test"), name: str = "planted"
) -> Dataset:
    """Noise of k classes, of which the second has no images; other classes have different numbers of them."""
    generator = torch.Generator().manual_seed(k)
    classes = tuple(f"{HOSTILE[label % len(HOSTILE)]}{label}" for label in range(k))

    def draw(n: int) -> ImageSplit:
        images = torch.randint(0, 256, (n, channels, side, side), dtype=torch.uint8, generator=generator)
        labels = (torch.rand(n, generator=generator) ** 2 * k).long()
        labels[labels == 1] = 0
        return ImageSplit(images, labels, classes, torch.arange(n))

    return Dataset(name, {split: draw(max(30, 3 * k) // (place + 1)) for place, split in enumerate(splits)}, classes)


def draw(dataset: Dataset, per_class: int = 10) -> tuple[Figure, DatasetInspection]:
    inspection = inspect_dataset(dataset, per_class=per_class)
    return draw_overview(inspection, dataset.split(inspection.shown).images), inspection


def texts(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    return [text for text in figure.axes[0].texts if text.get_text().strip()]


@pytest.mark.parametrize(
    ("k", "side", "channels", "per_class"),
    [
        (1, 32, 3, 3),
        (2, 32, 3, 10),
        (10, 28, 1, 10),
        (20, 8, 3, 40),
        (21, 32, 3, 10),
        (30, 128, 3, 4),
        (100, 32, 3, 10),
    ],
)
def test_nothing_overlaps_or_leaves_the_picture(k: int, side: int, channels: int, per_class: int) -> None:
    splits = ("train", "validation", "test") if k % 2 else ("train", "test")
    figure, _ = draw(make_dataset(k, side=side, channels=channels, splits=splits, name="x" * 300), per_class)
    width, height = figure.get_size_inches() * figure.dpi
    assert round(width) == 900
    written = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
    for told, box in written:
        assert box.x0 >= 0, told
        assert box.x1 <= width, told
        assert box.y0 >= 0, told
        assert box.y1 <= height, told
    shrunk = [(told, box.shrunk(0.98, 0.8)) for told, box in written]
    assert [(a, b) for (a, box), (b, other) in combinations(shrunk, 2) if box.overlaps(other)] == []
    # Nor does writing lie over pixels.
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    for told, box in written:
        rows = slice(round(height - box.y1 + 2), round(height - box.y0 - 2))
        covered = sheet[rows, round(box.x0 + 1) : round(box.x1 - 1)]
        assert (covered == 255).all(), told


@pytest.mark.parametrize(("k", "scale"), [(10, 2), (30, 1)])
def test_pixels_are_those_of_mean_and_examples(k: int, scale: int) -> None:
    dataset = make_dataset(k)
    figure, inspection = draw(dataset, per_class=3)
    sheet = np.asarray(figure.axes[0].images[0].get_array())
    images, labels = dataset.train.images, dataset.train.labels

    def is_shown(image: torch.Tensor) -> bool:
        wanted = image.permute(1, 2, 0).numpy().repeat(scale, 0).repeat(scale, 1)
        side = len(wanted)
        # Where its first row is, by comparing every place with its first pixels.
        starts = np.argwhere((sheet[: -side + 1, : -side + 1] == wanted[0, 0]).all(2))
        return any(np.array_equal(sheet[y : y + side, x : x + side], wanted) for y, x in starts)

    for label in (0, 2, k - 1):
        members = images[labels == label]
        if not len(members):
            continue
        assert is_shown(members.float().mean(0).round().to(torch.uint8))
        for at in [at for at in inspection.examples[label].tolist() if at >= 0]:
            assert is_shown(images[at])
    other = next(at for at in range(len(images)) if at not in inspection.examples.flatten().tolist())
    assert not is_shown(images[other])


def test_counts_are_written_and_drawn_as_bars() -> None:
    dataset = make_dataset(10)
    figure, _ = draw(dataset)
    told = [text.get_text() for text in texts(figure)]
    lengths = [bar.get_width() for bar in figure.axes[0].patches if isinstance(bar, Rectangle)]
    train, test = (list(dataset.splits[name].per_class.values()) for name in ("train", "test"))
    most = max(train + test)
    # First the two squares that say which colour is whose.
    bars = np.array(lengths[2:]).reshape(10, 2)
    np.testing.assert_allclose(bars / bars.max(), np.array([train, test]).T / most)
    for first, second in zip(train, test, strict=True):
        assert f"{first}  {second}" in told
    assert "no image in train" in told
    assert len({bar.get_facecolor() for bar in figure.axes[0].patches}) == 2


def test_more_than_a_hundred_classes_are_shown_in_part_and_it_is_said() -> None:
    dataset = make_dataset(250, side=8)
    figure, inspection = draw(dataset, per_class=2)
    told = describe_overview(inspection)
    assert "100 of 250 classes, evenly spread" in told
    names = [text.get_text() for text in texts(figure)]
    assert [name for name in names if name.startswith("say")] == [f'say "no"{number}' for number in range(2, 250, 10)]


def test_a_description_says_what_is_to_be_seen() -> None:
    dataset = make_dataset(10, name="C:\\$pictures$")
    _, inspection = draw(dataset)
    told = describe_overview(inspection)
    assert told.startswith("C:\\$pictures$: 10 classes. For each the number of images in every split, their mean in ")
    assert "train: 30 images of 32 x 32, mean 0." in told
    assert "test: 15 images of 32 x 32" in told
    counts = dataset.train.per_class
    assert "In train classes have from 0 (" in told
    assert f"to {max(counts.values())} ($x^2$0) images." in told
    even = Dataset("even", {"train": make_dataset(1).train}, ("$x^2$0",))
    assert "every class has 30 images" in describe_overview(inspect_dataset(even))


def test_the_same_inspection_gives_the_same_picture_and_other_images_are_refused() -> None:
    dataset = make_dataset(3)
    inspection = inspect_dataset(dataset)
    images = dataset.train.images
    assert pixels(draw_overview(inspection, images)) == pixels(draw_overview(inspection, images))
    with pytest.raises(ConfigError, match="images: are 29 for 30; give those of train"):
        draw_overview(inspection, images[1:])
