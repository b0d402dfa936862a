"""What of a picture is stored, and the sentence that says so."""

import io
import json
from pathlib import Path
from typing import Any, Literal

import jaxtyping
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.cli.processes import visionlib
from visionlib.data import Dataset, load_dataset
from visionlib.data.description import describe_sizes
from visionlib.errors import ConfigError
from visionlib.inference.run_data import load_run_data
from visionlib.runs import read_json
from visionlib.training import TrainConfig, train

BOTH: tuple[Literal["crop", "whole"], ...] = ("crop", "whole")
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def thirds(width: int = 96, height: int = 32) -> Image.Image:
    """A red left third, a green middle third and a blue right third."""
    picture = Image.new("RGB", (width, height), GREEN)
    picture.paste(RED, (0, 0, width // 3, height))
    picture.paste(BLUE, (width - width // 3, 0, width, height))
    return picture


def save(picture: Image.Image, folder: Path, kind: str = "png", **options: Any) -> Path:
    for split in ("train", "test"):
        for name in "ab":
            (folder / split / name).mkdir(parents=True)
            picture.save(folder / split / name / f"0.{kind}", **options)
    return folder


def corners(dataset: Dataset) -> list[str]:
    """The main colour of each column of a third of the image, from left to right, and of each row likewise."""
    image = dataset.train.images[0].float()
    side = image.shape[1]
    parts = [side // 6, side // 2, side - 1 - side // 6]
    names = ["red", "green", "blue"]
    across = [names[int(image[:, :, at].mean(1).argmax())] for at in parts]
    down = [names[int(image[:, at].mean(1).argmax())] for at in parts]
    return [*across, "|", *down]


WHOLE = ["red", "green", "blue", "|"]


@pytest.mark.parametrize(("width", "height"), [(96, 32), (300, 100), (1200, 400)])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_crop_shows_the_middle_and_whole_all_of_a_wide_picture(
    width: int, height: int, kind: str, tmp_path: Path
) -> None:
    folder = save(thirds(width, height), tmp_path, kind)
    cut = load_dataset(folder, image_size=24)
    assert set(corners(cut)) == {"green", "|"}
    assert corners(load_dataset(folder, image_size=24, resize="whole"))[:4] == WHOLE
    assert load_dataset(folder, image_size=24, resize="crop").content_hash == cut.content_hash


def test_a_tall_picture_and_one_that_is_turned_by_its_orientation(tmp_path: Path) -> None:
    tall = save(thirds().transpose(Image.Transpose.ROTATE_270), tmp_path / "tall")  # red is at the top
    whole = load_dataset(tall, image_size=24, resize="whole")
    assert corners(whole)[4:] == WHOLE[:3]
    assert set(corners(load_dataset(tall, image_size=24))) == {"green", "|"}
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    turned = save(thirds(), tmp_path / "turned", exif=exif)
    assert load_dataset(turned, image_size=24, resize="whole").content_hash == whole.content_hash


def test_parquet_is_resized_alike(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    thirds().save(buffer, "PNG")
    table = pa.table({"image": [buffer.getvalue()] * 2, "label": [0, 1]})
    for split in ("train", "test"):
        pq.write_table(table, tmp_path / f"{split}.parquet")
    assert corners(load_dataset(tmp_path, image_size=24, resize="whole"))[:4] == WHOLE
    assert set(corners(load_dataset(tmp_path, image_size=24))) == {"green", "|"}
    folder = save(thirds(), tmp_path / "folder")
    of_folder = load_dataset(folder, image_size=24, resize="whole")
    assert load_dataset(tmp_path / "train.parquet", image_size=24, resize="whole").train.images.shape[2:] == (24, 24)
    assert torch.equal(of_folder.train.images, load_dataset(tmp_path, image_size=24, resize="whole").train.images)


def test_the_cache_holds_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(thirds(), tmp_path / "data")
    in_memory = [load_dataset(folder, image_size=24, resize=resize).content_hash for resize in BOTH]
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    for _ in range(2):
        cached = [load_dataset(folder, image_size=24, resize=resize).content_hash for resize in BOTH]
        assert cached == in_memory
    assert in_memory[0] != in_memory[1]
    assert len(list((tmp_path / "cache" / "decoded").glob("*.npy"))) == 2


def test_what_needs_no_resizing_is_kept_by_either(tmp_path: Path) -> None:
    folder = save(thirds(), tmp_path)
    crop, whole = (load_dataset(folder, resize=resize) for resize in BOTH)
    assert crop.content_hash == whole.content_hash
    assert crop.train.image_size == (32, 96)


def test_other_words_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as a user meets it
        with pytest.raises(ConfigError, match="resize: 'pad' is no way to resize; take one of: crop, whole"):
            load_dataset(tmp_path, resize="pad")  # type: ignore[arg-type]
    assert visionlib("data", tmp_path, "--resize", "pad").returncode == 2


def test_commands_take_it_and_later_ones_remember_it(tmp_path: Path) -> None:
    folder, run = save(thirds(), tmp_path / "data"), tmp_path / "run"
    sentence = "images of 96 x 32 px, stored as 24 x 24, resized whole; --image-size N changes it"
    shown = visionlib("data", folder, "--image-size", 24, "--resize", "whole")
    assert sentence in shown.stdout
    fields = json.loads(visionlib("data", folder, "--image-size", 24, "--resize", "whole", "--json").stdout)
    assert fields["sizes"] == sentence
    assert fields["content_hash"] == load_dataset(folder, image_size=24, resize="whole").content_hash
    settings = ["--model", "resnet20", "--resolutions", 1, "--epochs", 1, "--device", "cpu", "--optimizer", "sgd"]
    trained = visionlib("train", folder, "--image-size", 24, "--resize", "whole", "--out", run, *settings)
    assert trained.returncode == 0, trained.stderr
    assert sentence in trained.stderr
    tested = visionlib("test", run, "--predict", "--json", "--device", "cpu")
    assert tested.returncode == 0, tested.stderr
    refused = visionlib("train", "--resume", run, "--resize", "crop")
    assert refused.returncode == 2
    assert "--resize: a resumed run keeps the settings" in refused.stderr


def test_sets_of_one_size_refuse_it() -> None:
    with pytest.raises(ConfigError, match="resize: the images of shapes have one size; leave --resize out"):
        load_dataset("shapes", resize="whole")
    images = torch.zeros(6, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match="arrays: they are not resized; leave image_size and resize out"):
        load_dataset((images, [0, 1] * 3), resize="whole")


def test_a_run_remembers_it(tmp_path: Path, small_config: TrainConfig) -> None:
    folder = save(thirds(), tmp_path / "data")
    dataset = load_dataset(folder, image_size=16, resize="whole")
    lines = list[str]()
    config = small_config.replace(epochs=1, crop_px=0)
    run = train(dataset, config, out=tmp_path / "run", log=lines.append)
    assert read_json(run.config)["dataset"]["options"]["resize"] == "whole"
    again = load_run_data(run)
    assert again.content_hash == dataset.content_hash
    assert corners(again)[:4] == WHOLE
    assert "images of 96 x 32 px, stored as 16 x 16, resized whole; --image-size N changes it" in lines
    assert "resize" not in load_dataset(folder, image_size=16, resize="crop").options


def test_the_sentence_names_the_smallest_and_the_largest_picture(tmp_path: Path, small_shapes: Dataset) -> None:
    folder = save(thirds(180, 240), tmp_path)
    thirds(640, 480).save(folder / "train" / "a" / "1.png")
    thirds(300, 200).save(folder / "test" / "b" / "1.png")
    cut, whole = (load_dataset(folder, image_size=64, resize=resize) for resize in BOTH)
    assert describe_sizes(whole) == (
        "images of 180 x 240 to 640 x 480 px, stored as 64 x 64, resized whole; --image-size N changes it"
    )
    assert describe_sizes(cut) == (
        "images of 180 x 240 to 640 x 480 px, stored as 64 x 64, resized from their largest centred square (--resize "
        "whole takes all); --image-size N changes it"
    )
    assert "180 x 240 to 640 x 480 pixels were resized whole to 64 x 64" in whole.warnings[0]
    kept = save(thirds(), tmp_path / "kept")
    assert describe_sizes(load_dataset(kept)) == "images of 96 x 32 px, stored as they are; --image-size N changes it"
    assert describe_sizes(small_shapes) == "images of 16 x 16 px"
