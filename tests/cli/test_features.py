"""`visionlib features`, as a user meets it."""

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from tests.inspection.conftest import EASY
from tests.inspection.planted import striped_dataset
from visionlib.data import load_dataset
from visionlib.explanation import extract_feature_maps, find_exciting_images
from visionlib.inference.run_data import load_run_data
from visionlib.inference.trained_model import TrainedModel
from visionlib.runs import Run
from visionlib.training import train


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run on a folder of pictures, which a command can read again."""
    home = tmp_path_factory.mktemp("home")
    for name, split in striped_dataset(60, 30).splits.items():
        for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
            place = home / "stripes" / name / split.classes[label] / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place)
    train(load_dataset(home / "stripes"), EASY.replace(epochs=1, precision="fp32"), out=home / "run")
    return home


def test_without_an_option_the_layers_are_listed(home: Path) -> None:
    done = visionlib("features", "run", cwd=home)
    assert done.returncode == 0, done.stderr
    for part in ("layers with a map of positions", "layer1.0.conv1", "Conv2d", "--exciting FILE --channel 3,5"):
        assert part in done.stdout
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    layers = json.loads(visionlib("features", "run", "--json", cwd=home).stdout)["layers"]
    assert layers[0]["layer"] == "conv1"


def test_everything_at_once_equals_the_library(home: Path) -> None:
    drawn = ["--picture", "maps.png", "--exciting", "images.svg"]
    done = visionlib("features", "run", "--layer", "layer2", "--of", 4, *drawn, "--channel", "3,1", "--json", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["drawn: maps.png", "drawn: images.svg"]
    record = json.loads(done.stdout)
    run = Run(home / "run")
    model = TrainedModel.from_run(run)
    test = load_run_data(run).test
    position = int((test.index == 4).nonzero())
    maps = extract_feature_maps(model, test.images[position : position + 1], "layer2")
    name = test.classes[int(test.labels[position])]
    named = {"split": "test", "index": 4, "source": test.source(position), "class": name}
    assert record["feature_maps"] == {**named, **maps.to_dict(channels=(3, 1))}
    found = find_exciting_images(model, test, "layer2", (3, 1))
    assert record["exciting_images"] == {"split": "test", **found.to_dict()}
    with Image.open(home / "maps.png") as picture:
        assert picture.text["Description"].startswith(f"test image 4, {name}: 2 of ")  # type: ignore[attr-defined]
        assert picture.width <= 900
    assert "Images of 30 that excite channels of layer2 most" in (home / "images.svg").read_text(encoding="utf-8")


def test_filters_and_outstanding_channels_as_tables(home: Path) -> None:
    done = visionlib("features", "run", "--filters", "filters.png", cwd=home)
    assert done.returncode == 0, done.stderr
    assert "conv1: 16 filters of 3 x 3 on 1 channels; norm " in done.stdout
    done = visionlib("features", "run", "--layer", "layer3", "--exciting", "images.png", "--count", 2, cwd=home)
    assert done.returncode == 0, done.stderr
    assert "images of 30 (test) that excite channels of layer3 most" in " ".join(done.stdout.split())
    assert (home / "filters.png").is_file()
    assert (home / "images.png").is_file()
    done = visionlib("features", "run", "--layer", "layer1", "--split", "train", cwd=home)
    assert "feature maps of layer1, 16 x 16: train image 0," in done.stdout


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--layer", "layr2"], 2, "layer 'layr2': is not in the network; close to it: layer2"),
        (["--layer", "linear"], 2, "layer 'linear': outputs no map of positions; layers that do: conv1, bn1"),
        (["--of", 3], 2, "--layer: is missing; name one; `visionlib features RUN` lists them"),
        (["--exciting", "a.png"], 2, "--layer: is missing"),
        (["--channel", "1"], 2, "--channel: there is nothing to show them of"),
        (["--layer", "layer1", "--channel", "1,b"], 2, "--channel: '1,b' is no list of channels; write it like 3,5"),
        (["--layer", "layer1", "--channel", "16"], 2, "channels: 16 is out of range; layer1 has channels 0..15"),
        (["--layer", "layer1", "--of", 30], 2, "--of: test has no image 30; its images are numbered 0 to 29"),
        (["--layer", "layer1", "--split", "dev"], 2, "has no split 'dev'"),
        (["--layer", "layer1", "--picture", "a.gif"], 2, "a.gif: is no picture by its name"),
        (["--filters", "none/a.png"], 2, "none/a.png: there is no folder none"),
    ],
)
def test_errors_are_one_line(home: Path, options: list[object], code: int, message: str) -> None:
    done = visionlib("features", "run", *options, cwd=home, COLUMNS="300")
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert message in line


def test_a_folder_that_is_no_run_is_an_error(home: Path) -> None:
    done = visionlib("features", "stripes", cwd=home)
    assert done.returncode == 2
    assert "stripes: is no run" in done.stderr


def test_a_picture_is_the_same_twice(home: Path) -> None:
    for name in ("one.png", "two.png"):
        visionlib("features", "run", "--layer", "layer1", "--picture", name, cwd=home)
    assert (home / "one.png").read_bytes() == (home / "two.png").read_bytes()
