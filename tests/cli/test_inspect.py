"""`visionlib inspect`, as a user meets it."""

import csv
import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from tests.inspection.conftest import EASY
from tests.inspection.planted import striped_dataset
from visionlib.data import Dataset, load_dataset
from visionlib.inspection import load_map
from visionlib.runs import Run, read_json
from visionlib.training import train

pytest.importorskip("cleanlab")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The little dataset as a folder of pictures, which a command can read again."""
    folder = tmp_path_factory.mktemp("data") / "stripes"
    for name, split in striped_dataset(200, 70).splits.items():
        for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
            place = folder / name / split.classes[label] / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place)
    return load_dataset(folder)


@pytest.fixture(scope="module")
def trained(pictures: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(pictures, EASY.replace(epochs=2), out=tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_without_an_option_it_makes_the_map_and_says_what_else_there_is(run: Run, tmp_path: Path) -> None:
    told = visionlib("inspect", "run", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    found = load_map(run)
    assert f"embedding map of test: 70 images, perplexity {found.perplexity:.3g}" in told.stdout
    assert f"trustworthiness {found.trustworthiness:.3f} (12 neighbours, on a sample of 70 images)" in told.stdout
    assert "kept: run/inspection/map-test.npz" in told.stdout
    for option in ("--map FILE", "--neighbours FILE", "--candidates FILE", "--folds 5"):
        assert option in told.stdout
    assert told.stderr == ""
    again = visionlib("inspect", "run", "--json", cwd=tmp_path)
    record = json.loads(again.stdout)
    folder = record.pop("source_folder")
    assert folder == read_json(run.config)["dataset"]["path"]
    assert record == {"run": "run", "map": {**found.to_dict(), "kept": "run/inspection/map-test.npz"}}


def test_everything_at_once(run: Run, pictures: Dataset, tmp_path: Path) -> None:
    files = ["--map", "map.svg", "--neighbours", "near.png", "--candidates", "c.csv", "--candidates", "c.png"]
    told = visionlib("inspect", "run", *files, "--k", 3, "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stderr.splitlines() == ["drawn: map.svg", "drawn: near.png", "written: c.csv", "drawn: c.png"]
    record = json.loads(told.stdout)
    assert set(record) == {"run", "source_folder", "map", "neighbours", "candidates"}
    assert record["neighbours"]["k"] == 3
    assert record["neighbours"]["n"] == 70
    assert [len(image["neighbours"]) for image in record["neighbours"]["images"]] == [3] * 6
    assert {image["class"] for image in record["neighbours"]["images"]} <= set(pictures.classes)
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["index"]) for row in rows] == [image["index"] for image in record["candidates"]["images"]]
    assert len(rows) == record["candidates"]["candidates"] > 0
    for name, begin in (
        ("c.png", "Label candidates in the test split"),
        ("near.png", "Test images, each with its 3 nearest"),
    ):
        with Image.open(tmp_path / name) as picture:
            assert picture.info["Description"].startswith(begin)
    assert "70 images of the test split by t-SNE" in (tmp_path / "map.svg").read_text(encoding="utf-8")
    ElementTree.parse(tmp_path / "map.svg")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "map.svg", "near.png", "c.csv", "c.png"}


def test_neighbours_of_named_images_as_a_table(run: Run, pictures: Dataset, tmp_path: Path) -> None:
    index = pictures.test.index[[5, 2]].tolist()
    told = visionlib("inspect", "run", "--of", ",".join(map(str, index)), cwd=tmp_path, NO_COLOR="1")
    assert told.returncode == 0, told.stderr
    assert "nearest training images of 2 test images" in told.stdout
    assert "embedding map" not in told.stdout
    lines = [line.split() for line in told.stdout.splitlines()]
    shown = [words[:2] for words in lines if len(words) > 3 and words[0].isdigit() and words[1] in pictures.classes]
    assert shown == [
        [str(one), pictures.classes[pictures.test.labels[place]]] for one, place in zip(index, (5, 2), strict=True)
    ]
    assert "\x1b" not in told.stdout


def test_candidates_among_the_training_images_by_folds(run: Run, tmp_path: Path) -> None:
    arguments = ["inspect", "run", "--folds", 2, "--fold-epochs", 1, "--candidates", "c.csv"]
    told = visionlib(*arguments, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert "fold 2 of 2: epoch 1/1" in told.stderr
    assert "label candidates in train: images to look at, not errors" in told.stdout
    again = visionlib(*arguments, cwd=tmp_path)
    assert "fold" not in again.stderr
    assert again.stdout == told.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--map", "map.pdf"], 2, "map.pdf: is no picture by its name; end it in .png or .svg"),
        (["--neighbours", "absent/near.png"], 2, "there is no folder absent"),
        (["--candidates", "c.xlsx"], 2, "c.xlsx: is neither a table nor a picture by its name; end it in .csv, .png"),
        (["--candidates", "absent/c.csv"], 2, "there is no folder absent"),
        (["--of", "three"], 2, "--of: 'three' is no list of indices; write it like 3,14,15"),
        (["--of", "99999999"], 2, "image 99999999: the test split of 70 images has none of that index"),
        (["--of", "1", "--k", "0"], 2, "Invalid value for '--k'"),
        (["--folds", "1"], 2, "Invalid value for '--folds'"),
        (["--fold-epochs", "1"], 2, "--fold-epochs: there are no folds; say how many with --folds"),
        (["--split", "dev"], 2, "its dataset has no split 'dev'; it has: "),
        (["--dataset", "no-such-set", "--of", "1"], 2, "no-such-set"),
        (["--picture", "a.png"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], code: int, message: str, run: Run, tmp_path: Path
) -> None:
    told = visionlib("inspect", "run", *arguments, cwd=tmp_path)
    assert told.returncode == code, told.stderr
    assert told.stdout == ""
    last = told.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_without_predictions_says_how_to_make_them(run: Run, tmp_path: Path) -> None:
    run.predictions.unlink()
    told = visionlib("inspect", "run", cwd=tmp_path)
    assert told.returncode == 1
    assert "lacks its predictions; make it again with `visionlib test --predict`" in told.stderr
