"""Arrays in memory become what the same pictures are from files, or are refused with the reason."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from visionlib.data import Dataset, load_dataset
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.inference.run_data import load_run_data
from visionlib.training import TrainConfig, train

LABELS = [0, 1, 1, 0, 1, 0]
Array = np.ndarray[Any, Any]


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


RGB = noise(6, 5, 7, 3)
"""Six images of 5 x 7 pixels, channels last."""
FIRST = RGB.transpose(0, 3, 1, 2)


def pixels_of(images: object, **options: Any) -> Array:
    """The pixels of a dataset of these images, for training and for testing."""
    dataset = Dataset.from_arrays(images, LABELS, images, LABELS, **options)
    assert torch.equal(dataset.train.images, dataset.test.images)
    assert dataset.train.images.is_contiguous()
    return dataset.train.images.numpy()


def read_only(images: Array) -> Array:
    images = images.copy()
    images.flags.writeable = False
    return images


@pytest.mark.parametrize(
    "images",
    [
        RGB,
        FIRST,
        read_only(RGB),
        np.asfortranarray(RGB),
        RGB[::-1].copy()[::-1],
        np.flip(np.flip(RGB, 2).copy(), 2),
        np.repeat(RGB, 2, axis=1)[:, ::2],
        list(RGB),
        tuple(FIRST),
        RGB.tolist(),
        [Image.fromarray(image) for image in RGB],
        torch.from_numpy(FIRST.copy()),
        torch.from_numpy(RGB.copy()).permute(0, 3, 1, 2),
        [torch.from_numpy(image.copy()) for image in FIRST],
        (torch.from_numpy(FIRST.copy()) / 255).requires_grad_(),
        RGB / 255,
        (RGB / 255).astype(np.float32),
        (RGB / 255).astype(np.float16),
        RGB.astype(np.float32),
        RGB.astype(">f4"),
        torch.from_numpy(FIRST.copy()).to(torch.bfloat16),
        *(RGB.astype(dtype) for dtype in ("i2", "i4", "i8", "u2", ">u2", "u8")),
        np.array([*RGB, None], dtype=object)[:-1],
    ],
)
def test_one_set_of_pixels_in_any_form(images: object) -> None:
    assert np.array_equal(pixels_of(images), FIRST)


def test_grayscale_truth_values_and_gray_pillow_images() -> None:
    gray = noise(6, 5, 7)
    for images in (gray, gray[:, None], gray[..., None], gray / 255, [Image.fromarray(image) for image in gray]):
        assert np.array_equal(pixels_of(images), gray[:, None])
    assert np.array_equal(pixels_of(gray > 99), 255 * (gray > 99)[:, None])
    assert np.array_equal(pixels_of(np.zeros((6, 5, 7))), np.zeros((6, 1, 5, 7)))


def test_a_dark_test_split_does_not_make_fractions_of_pixels() -> None:
    dataset = Dataset.from_arrays(RGB.astype(float), LABELS, RGB.clip(0, 1).astype(float), LABELS)
    assert np.array_equal(dataset.test.images, FIRST.clip(0, 1))
    with pytest.raises(DataError, match="test_images: hold fractions, and others exceed 1"):
        Dataset.from_arrays(RGB.astype(float), LABELS, RGB / 255, LABELS)


def test_the_dataset_keeps_a_copy() -> None:
    images = RGB.copy()
    dataset = Dataset.from_arrays(images, LABELS)
    before = dataset.content_hash
    images[:] = 0
    assert dataset.train.images.any()
    assert Dataset.from_arrays(RGB, LABELS).content_hash == before


@pytest.mark.parametrize("shape", [(6, 3, 32, 3), (6, 3, 3, 3), (6, 1, 28, 1), (6, 1, 28, 3)])
def test_ambiguous_shapes_are_asked_for(shape: tuple[int, ...]) -> None:
    images = noise(*shape)
    with pytest.raises(DataError, match=r"may be first or last; say which with channels_last=True or channels_last"):
        Dataset.from_arrays(images, LABELS)
    assert np.array_equal(pixels_of(images, channels_last=False), images)
    assert np.array_equal(pixels_of(images, channels_last=True), images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (noise(6, 5, 7, 4), "four channels: the fourth, alpha, has no colour of its own; composite it"),
        (noise(6, 4, 5, 7), "four channels"),
        (noise(6, 5, 7, 2), "without one or three channels"),
        (noise(6, 35), r"have the shape \(6, 35\); pass \(n, h, w\)"),
        (noise(6, 1, 5, 7, 3), r"have the shape \(6, 1, 5, 7, 3\)"),
        (noise(0, 5, 7, 3), "hold no pixel"),
        ([], "hold no pixel"),
        (noise(6, 0, 7), "hold no pixel"),
        (RGB / 127.5 - 1, "no pixels .* normalized already"),
        (RGB.astype("i2") - 1, "hold values from -1 to"),
        (RGB.astype("u2") * 257, "hold values from .* to 65535, .* of 16 bits"),
        (RGB.astype("f4") * 2, "to 510"),
        (RGB / 200, "hold fractions and values above 1, up to 1.275"),
        (RGB / 2, "hold fractions and values above 1"),
        (np.where(RGB > 9, RGB / 255, np.nan), "NaN or infinity"),
        (np.where(RGB > 9, RGB / 255, np.inf), "NaN or infinity"),
        (RGB.astype(complex), "are of type complex128"),
        (np.full((6, 5, 7), "x"), "are of type <U1"),
        ([RGB[0], RGB[1, :4]], "differ in size"),
        ([Image.new("L", (4, 4)), Image.new("L", (4, 5))], "differ in size"),
        ([Image.new("L", (7, 5)), RGB[0]], "mix Pillow images and others"),
    ],
)
def test_what_holds_no_pixels_is_refused_in_one_line(images: object, message: str) -> None:
    with pytest.raises(DataError, match=f"train_images: .*{message}") as caught:
        Dataset.from_arrays(images, LABELS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([3, 7, 7, 3, 9, 3], ("3", "7", "9"), [0, 1, 1, 0, 2, 0]),
        (np.array([-1, 1, 1, -1, 1, -1], dtype=np.int8), ("-1", "1"), LABELS),
        (np.array([10, 9, 9, 10, 9, 10], dtype=">u2"), ("9", "10"), [1, 0, 0, 1, 0, 1]),
        (torch.tensor(LABELS), ("0", "1"), LABELS),
        (np.array(LABELS)[:, None], ("0", "1"), LABELS),
        (np.array(LABELS, dtype=float), ("0", "1"), LABELS),
        (np.array(LABELS, dtype=object), ("0", "1"), LABELS),
        (np.array(LABELS, dtype=bool), ("False", "True"), LABELS),
        (["cat", "dog", "dog", "cat", "dog", "cat"], ("cat", "dog"), LABELS),
        (np.array(["b", "a", "a", "b", "a", "b"], dtype=object), ("a", "b"), [1, 0, 0, 1, 0, 1]),
        (np.array([b"x", b"y", b"y", b"x", b"y", b"x"]), ("x", "y"), LABELS),
        (np.eye(3)[[0, 2, 2, 0, 2, 0]], ("0", "1", "2"), [0, 2, 2, 0, 2, 0]),
        (torch.eye(2, dtype=torch.int64)[LABELS], ("0", "1"), LABELS),
        (np.eye(2, dtype=bool)[LABELS][::-1][::-1], ("0", "1"), LABELS),
    ],
)
def test_labels_become_positions_with_their_text_as_names(
    labels: object, classes: tuple[str, ...], numbers: list[int]
) -> None:
    dataset = Dataset.from_arrays(RGB, labels, RGB, labels)
    assert dataset.classes == dataset.train.classes == dataset.test.classes == classes
    assert dataset.train.labels.tolist() == dataset.test.labels.tolist() == numbers


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (LABELS, ["cat", "dog"], LABELS),
        ([0, 2, 2, 0, 2, 0], ["cat", "cow", "dog"], [0, 2, 2, 0, 2, 0]),
        ([1, 2, 2, 1, 2, 1], ["cat", "dog"], LABELS),
        ([True, False, False, True, False, True], ["no", "yes"], [1, 0, 0, 1, 0, 1]),
        (["dog", "cat", "cat", "dog", "cat", "dog"], ["dog", "cow", "cat"], [0, 2, 2, 0, 2, 0]),
        (np.eye(2)[LABELS], ["cat", "dog"], LABELS),
    ],
)
def test_names_can_be_given(labels: object, classes: list[str], numbers: list[int]) -> None:
    dataset = Dataset.from_arrays(RGB, labels, classes=classes)
    whole = torch.cat([split.labels[split.index.argsort()] for split in dataset.splits.values()])
    index = torch.cat([split.index.sort().values for split in dataset.splits.values()])
    assert dataset.classes == tuple(classes)
    assert whole[index.argsort()].tolist() == numbers


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (LABELS[:5], {}, "train_images: are 6 with 5 labels"),
        ([], {}, "are 6 with 0 labels"),
        ([0.5, 1, 1, 0, 1, 0], {}, "train_labels: hold fractions or NaN"),
        ([np.nan, 1, 1, 0, 1, 0], {}, "train_labels: hold fractions or NaN"),
        (np.full((6, 2), 0.5), {}, "train_labels: hold fractions"),
        (np.ones((6, 2), int), {}, "not one 1 and else 0 in each row"),
        (np.zeros((6, 2), int), {}, "not one 1 and else 0 in each row"),
        (np.zeros((6, 1, 2)), {}, "have the shape"),
        (3, {}, r"have the shape \(\)"),
        (["a", 1, "a", "a", 1, "a"], {}, ""),
        (np.array(["a", 1, "a", "a", 1, "a"], dtype=object), {}, "train_labels: mix int, str"),
        (np.array(["a", None, "a", "a", "b", "a"], dtype=object), {}, "train_labels: mix NoneType, str"),
        (LABELS, {"classes": ["one"]}, "hold 2 different labels, from 0 to 1, for 1 names"),
        (["a", "b", "b", "a", "b", "c"], {"classes": ["a", "b"]}, "'c' is none of the classes"),
        (LABELS, {"classes": ["x", "x"]}, "has 2 classes called 'x'"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(labels: object, options: dict[str, Any], message: str) -> None:
    if not message:  # numpy makes text of the numbers
        assert Dataset.from_arrays(RGB, labels).classes == ("1", "a")
        return
    with pytest.raises(DataError, match=message) as caught:
        Dataset.from_arrays(RGB, labels, **options)
    assert "\n" not in str(caught.value)


def test_training_and_test_must_fit_each_other() -> None:
    with pytest.raises(DataError, match="test_labels: 5 occurs in no label of train_labels"):
        Dataset.from_arrays(RGB, LABELS, RGB, [0, 1, 1, 0, 1, 5])
    with pytest.raises(DataError, match="test_labels: are no labels of the kind of train_labels"):
        Dataset.from_arrays(RGB, LABELS, RGB, list("abbaba"))
    with pytest.raises(DataError, match="test_images: differ from train_images in channels, height or width"):
        Dataset.from_arrays(RGB, LABELS, RGB[:, :4], LABELS)
    with pytest.raises(ConfigError, match="one is given without the other"):
        Dataset.from_arrays(RGB, LABELS, RGB)
    assert Dataset.from_arrays(RGB, np.array(LABELS, "u1"), RGB, np.array(LABELS, "i8")).classes == ("0", "1")


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "I;16"])
def test_pillow_images_and_a_folder_of_them_have_one_hash(mode: str, tmp_path: Path) -> None:
    pictures = [
        Image.fromarray(257 * image.astype(np.uint16)) if mode == "I;16" else Image.fromarray(image).convert(mode)
        for image in (noise(6, 5, 7) if mode == "I;16" else noise(6, 5, 7, 4))
    ]
    for split in ("train", "test"):
        for at, picture in enumerate(pictures):
            (tmp_path / split / "ab"[at // 3]).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / split / "ab"[at // 3] / f"{at}.png")
    folder, labels = load_dataset(tmp_path), [*"aaabbb"]
    dataset = Dataset.from_arrays(pictures, labels, pictures, labels)
    assert dataset.content_hash == folder.content_hash
    assert dataset.classes == folder.classes
    pixels = folder.train.images.permute(0, 2, 3, 1).numpy()
    again = Dataset.from_arrays(pixels / 255, labels, pixels, labels, channels_last=True)
    assert again.content_hash == folder.content_hash


def test_a_pillow_image_is_turned_upright() -> None:
    picture = Image.fromarray(RGB[0])
    picture.getexif()[0x0112] = 6
    dataset = Dataset.from_arrays([picture] * 6, LABELS)
    assert np.array_equal(dataset.train.images[0].numpy(), np.rot90(RGB[0], -1).transpose(2, 0, 1))


def test_without_test_images_some_are_held_out_as_from_a_folder(tmp_path: Path) -> None:
    images, labels = noise(40, 6, 6, 3), [0] * 33 + [1] * 7
    for at, image in enumerate(images):
        (tmp_path / str(labels[at])).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / str(labels[at]) / f"{at:02}.png")
    folder = load_dataset(tmp_path, holdout_fraction=0.3, seed=5)
    dataset = Dataset.from_arrays(images, labels, holdout_fraction=0.3, seed=5)
    assert dataset.content_hash == folder.content_hash
    assert dataset.warnings == folder.warnings
    assert dataset.options == {"holdout_fraction": 0.3, "seed": 5}
    with pytest.raises(ConfigError, match="holdout_fraction: 0 is out of range"):
        Dataset.from_arrays(images, labels, holdout_fraction=0)


def test_arrays_train_and_their_run_asks_for_them_again(tmp_path: Path, small_config: TrainConfig) -> None:
    images, labels = noise(24, 16, 16, 3), ["odd", "even"] * 12
    arrays = (images, labels, images, labels)
    run = train(arrays, small_config.replace(epochs=1, batch_size=12), out=tmp_path / "run")
    assert load_run_data(run, Dataset.from_arrays(*arrays)).classes == ("even", "odd")
    with pytest.raises(RunError, match="was trained on a dataset in memory, 'arrays'; pass it again"):
        load_run_data(run)
    with pytest.raises(ConfigError, match="arrays: there are 3 items; pass"):
        train((images, labels, images), small_config, out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
