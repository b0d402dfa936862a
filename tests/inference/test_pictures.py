"""Pictures of any kind get the answers of the training's own decoding, in their order."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from visionlib import load
from visionlib.data import Dataset, load_dataset
from visionlib.data.decode import QUIET, fit_picture
from visionlib.errors import ConfigError, DataError, ModelError
from visionlib.inference import Predictions, TrainedModel, classify_files, load_predictions
from visionlib.inference import pictures as module
from visionlib.inference.pictures import read_images
from visionlib.runs import Run


@pytest.fixture(scope="module")
def model(finished_run: Run) -> TrainedModel:
    return load(finished_run, device="cpu")


@pytest.fixture(scope="module")
def files(small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The test images as PNG."""
    folder = tmp_path_factory.mktemp("test")
    paths = [folder / f"{at:03}.png" for at in range(len(small_shapes.test))]
    for path, image in zip(paths, small_shapes.test.images, strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    return paths


def test_files_get_the_logits_that_the_training_stored(
    model: TrainedModel, files: list[Path], finished_run: Run
) -> None:
    stored = load_predictions(finished_run)
    predictions = model.predict(files)
    assert torch.equal(predictions.logits, stored.predictions.logits)
    assert torch.equal(model.predict(files[0].parent).logits, stored.predictions.logits)
    answers = list(classify_files(model, files, k=2, batch_size=16))
    assert [answer.file for answer in answers] == list(map(str, files))
    assert [answer.top for answer in answers] == predictions.top(2)
    assert [answer.top[0][0] for answer in answers] == [
        model.classes[at] for at in stored.predictions.logits.argmax(1).tolist()
    ]


def test_every_kind_of_picture_is_the_same_picture(model: TrainedModel, files: list[Path]) -> None:
    expected = model.predict(files[:3]).logits
    opened = [Image.open(file) for file in files[:3]]
    arrays = [np.asarray(picture) for picture in opened]
    for kind in (list(map(str, files[:3])), opened, arrays, np.stack(arrays), (files[0], opened[1], arrays[2])):
        assert torch.equal(model.predict(kind).logits, expected)
    assert torch.equal(model.predict(arrays[0]).logits, expected[:1])
    assert torch.equal(model.predict(opened[0]).logits, expected[:1])


def test_any_picture_is_decoded_as_a_dataset_of_it_would_be(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    place = tmp_path / "data" / "train" / "a"
    place.mkdir(parents=True)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    pixels = draw.integers(0, 256, (90, 60, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(place / "0 turned.jpg", exif=rotated)
    Image.fromarray(pixels[..., 0]).save(place / "1 gray.png")
    Image.fromarray(draw.integers(0, 2**16, (40, 50), dtype=np.uint16)).save(place / "2 deep.png")
    Image.fromarray(np.dstack([pixels, pixels[..., :1]])).save(place / "3 clear.png")
    Image.fromarray(pixels).quantize(8).save(place / "4 palette.png")
    Image.fromarray(pixels).resize((700, 500)).save(place / "5 large.jpg")  # large enough for a reduced scale
    for resize in ("crop", "whole"):
        split = load_dataset(tmp_path / "data", image_size=24, resize=resize, holdout_fraction=0.2).splits
        images = {split[name].source(at): image for name in split for at, image in enumerate(split[name].images)}
        for file in sorted(place.iterdir()):
            expected = images[f"train/a/{file.name}"]
            assert torch.equal(fit_picture(file, (24, 24), 3, resize), expected), file
            with Image.open(file) as opened:
                assert torch.equal(fit_picture(opened, (24, 24), 3, resize), expected), file


def test_a_colour_picture_is_gray_for_a_gray_network() -> None:
    colour = np.full((8, 8, 3), (200, 100, 50), dtype=np.uint8)
    gray = round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert fit_picture(colour, (8, 8), 1).flatten().tolist() == [gray] * 64
    assert fit_picture(np.full((8, 8), 7, dtype=np.uint8), (4, 4), 3).flatten().tolist() == [7] * 48
    assert fit_picture(np.full((8, 8, 1), 7, dtype=np.uint8), (4, 4), 3).shape == (3, 4, 4)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8, 4), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
        np.zeros((3, 8, 8), dtype=np.uint8),
        np.zeros((0, 8, 3), dtype=np.uint8),
        np.zeros(8, dtype=np.uint8),
        np.zeros((8, 8), dtype=np.int64),
    ],
    ids=lambda pixels: f"{pixels.dtype} {pixels.shape}",
)
def test_arrays_that_are_no_pixels_are_refused(pixels: Any, model: TrainedModel) -> None:
    with pytest.raises(DataError, match=f"pixels: are {pixels.dtype} of shape .*; give uint8 of shape"):
        model.predict(pixels)


def test_a_broken_file_does_not_stop_the_others(model: TrainedModel, files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(files[0].read_bytes()[:60])
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "folder.png" / "a.png").write_bytes(files[1].read_bytes())
    sources = [files[0], tmp_path / "broken.jpg", tmp_path / "empty.png", tmp_path / "absent.png", files[2]]
    answers = list(classify_files(model, [*sources, tmp_path / "folder.png"], batch_size=2))
    assert [answer.error is None for answer in answers] == [True, False, False, False, True, True]
    assert "broken.jpg: is no whole PNG" in str(answers[1].error)
    assert "absent.png: there is no such file; check the path" in str(answers[3].error)
    assert answers[4].top == model.predict(files[2]).top(5)[0]
    assert answers[5].file == str(tmp_path / "folder.png" / "a.png")
    assert answers[1].to_dict() == {"file": str(sources[1]), "error": str(answers[1].error)}
    with pytest.raises(DataError, match=r"broken\.jpg"):
        model.predict(sources)


def test_a_folder_without_pictures_or_a_name_too_long_does_not_stop_the_others(
    model: TrainedModel, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    long, binary = tmp_path / f"{'x' * 300}.png", tmp_path / "a\0b.png"
    answers = list(classify_files(model, [files[0], tmp_path / "none", long, binary, files[1]], batch_size=2))
    assert [answer.error is None for answer in answers] == [True, False, False, False, True]
    assert "none: holds no pictures" in str(answers[1].error)
    assert "x.png: there is no such file; check the path" in str(answers[2].error)
    assert "b.png: there is no such file; check the path" in str(answers[3].error)
    assert answers[4].top == model.predict(files[1]).top(5)[0]
    with pytest.raises(DataError, match="there is no such file"):
        model.predict(long)


def test_a_transparent_palette_in_memory_is_that_of_its_file(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    palette = Image.fromarray(draw.integers(0, 256, (20, 20, 4), dtype=np.uint8)).quantize(8)
    palette.save(tmp_path / "palette.png")
    # By hand: 128 of 255 parts of red over white leave 127 of white.
    one = Image.new("RGBA", (4, 4), (255, 0, 0, 128)).quantize(2)
    assert fit_picture(one, (4, 4), 3)[:, 0, 0].tolist() == [255, 127, 127]
    assert torch.equal(fit_picture(palette, (20, 20), 3), fit_picture(tmp_path / "palette.png", (20, 20), 3))


def test_pictures_in_memory_that_cannot_be_decoded_are_told(model: TrainedModel, tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(whole, "JPEG")
    with pytest.raises(DataError, match=r"a picture in memory: cannot be decoded \(image file is truncated"):
        model.predict(Image.open(io.BytesIO(whole.getvalue()[:1500])))
    (tmp_path / "cut.jpg").write_bytes(whole.getvalue()[:1500])
    with Image.open(tmp_path / "cut.jpg") as cut, pytest.raises(DataError, match=r"cut\.jpg: cannot be decoded"):
        model.predict([cut])
    with pytest.raises(DataError, match="a picture in memory: has 0 x 4 pixels; give one with pixels"):
        model.predict(Image.new("RGB", (0, 4)))


@pytest.mark.parametrize("wrong", [5, None, b"a.png", [5], [torch.zeros(3, 8, 8, dtype=torch.uint8)], {"a.png": 1}])
def test_what_is_no_picture_is_refused_by_its_type(wrong: Any, model: TrainedModel) -> None:
    kind = type(wrong[0] if isinstance(wrong, list) else wrong).__name__
    with pytest.raises(ConfigError, match=f"pictures: hold a {kind}; give files, folders, arrays"):
        read_images(model, wrong)


def test_threads_leave_the_filters_of_warnings_as_they_were(model: TrainedModel, files: list[Path]) -> None:
    before = list(warnings.filters)
    both_inside = threading.Barrier(2)
    first_left = threading.Event()

    def overlap(*, is_first: bool) -> None:
        with QUIET:
            both_inside.wait(timeout=10)
            warnings.warn("within", stacklevel=1)  # an error by the filters of the tests
            if not is_first:
                first_left.wait(timeout=10)
        if is_first:
            first_left.set()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(overlap, is_first=is_first) for is_first in (True, False)]:
            done.result()
    assert list(warnings.filters) == before
    for _ in range(5):
        list(classify_files(model, files[:64]))
    assert list(warnings.filters) == before


def test_files_are_read_as_they_are_needed(
    model: TrainedModel, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    decoded, counting = [0], threading.Lock()
    real = fit_picture

    def count(*arguments: Any) -> Any:
        with counting:
            decoded[0] += 1
        return real(*arguments)

    def ask() -> Iterator[Path]:
        for at in range(10_000):
            asked.append(at)
            yield files[at % len(files)]

    monkeypatch.setattr(module, "fit_picture", count)
    answers = classify_files(model, ask(), batch_size=10)
    for _ in range(25):
        next(answers)
    assert len(asked) <= 60
    assert decoded[0] <= 60
    del answers


def test_probabilities_are_those_of_the_temperature() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 4.0]])
    predictions = Predictions(logits, None, ("a", "b", "c"), temperature=2.0)
    e = np.e
    assert predictions.probabilities[0].tolist() == pytest.approx([e / (e + 2), 1 / (e + 2), 1 / (e + 2)])
    assert [[name for name, _ in top] for top in predictions.top(2)] == [["a", "b"], ["c", "a"]]
    names, values = zip(*predictions.top(9)[1], strict=True)
    assert names == ("c", "a", "b")
    assert values == pytest.approx([e**2 / (e**2 + 2), 1 / (e**2 + 2), 1 / (e**2 + 2)])
    plain = Predictions(logits, None)
    assert [[name for name, _ in top] for top in plain.top(1)] == [["0"], ["2"]]
    assert plain.top(1)[1][0][1] == pytest.approx(e**4 / (e**4 + 2))


def test_what_cannot_be_classified_is_told(model: TrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="pictures: there are none"):
        model.predict([])
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="none: holds no pictures; name a folder with"):
        model.predict(tmp_path / "none")
    unknown = TrainedModel.from_network(torch.nn.Linear(1, 1), (0.5,) * 3, (0.5,) * 3)
    with pytest.raises(ConfigError, match="image_size: is not known of a network in memory; set it in TrainedModel"):
        unknown.predict(tmp_path)
    with pytest.raises(ModelError, match="there are no pretrained weights of this name"):
        load("nothing")


def test_a_run_of_an_older_version_has_the_size_before_shrinking(copied_run: Run) -> None:
    from visionlib.runs import read_json, write_json

    record, config = read_json(copied_run.model), read_json(copied_run.config)
    for name in ("image_size", "resize", "temperature"):
        del record[name]
    write_json(copied_run.model, {**record, "input_size": [12, 12]})
    write_json(copied_run.config, {**config, "config": {**config["config"], "resolutions": [0.5, 0.75]}})
    old = load(copied_run.path)
    assert (old.image_size, old.side_px, old.resize, old.temperature) == ((16, 16), 12, "crop", None)


def test_a_picture_in_memory_may_come_from_bytes(model: TrainedModel, files: list[Path]) -> None:
    with Image.open(io.BytesIO(files[0].read_bytes())) as picture:
        assert torch.equal(model.predict(picture).logits, model.predict(files[0]).logits)


@pytest.mark.parametrize("values", [np.float32(0.5), np.float32(127), np.int32(128), np.int32(2**20)])
def test_a_picture_of_another_range_than_bytes_is_refused_not_read_as_black(
    values: Any, model: TrainedModel, tmp_path: Path
) -> None:
    picture = Image.fromarray(np.full((8, 8), values))
    picture.save(tmp_path / "picture.tif")
    kind = "floating-point numbers" if picture.mode == "F" else "integers of 32 bits"
    with Image.open(tmp_path / "picture.tif") as opened:
        for one in (picture, opened):
            with pytest.raises(DataError, match=f"is of {kind}; scale its values to 0..255, and convert it to 8 bits"):
                model.predict(one)


def test_a_picture_of_16_bits_is_read(model: TrainedModel) -> None:
    deep, plain = (Image.fromarray(np.full((8, 8), value)) for value in (np.uint16(0x80FF), np.uint8(0x80)))
    assert torch.equal(model.predict(deep).logits, model.predict(plain).logits)


def test_links_to_nothing_and_pipes_in_a_folder_have_their_errors(
    model: TrainedModel, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(files[0].read_bytes())
    (tmp_path / "b.png").symlink_to(tmp_path / "absent.png")
    (tmp_path / "c.png").symlink_to(tmp_path / "c.png")
    os.mkfifo(tmp_path / "d.png")
    (tmp_path / "e.png").mkdir()
    answers = {Path(answer.file).name: str(answer.error) for answer in classify_files(model, [tmp_path])}
    assert set(answers) == {"a.png", "b.png", "c.png", "d.png"}
    assert answers["a.png"] == "None"
    assert all("there is no such file; check the path" in answers[name] for name in ("b.png", "c.png"))
    assert "is no file; check the path" in answers["d.png"]
