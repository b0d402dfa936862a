"""`visionlib data`, as a user meets it: the picture, odd images, duplicates with a run, wrong usage."""

import csv
import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from tests.cli.test_commands import write_image_folder
from tests.inspection.conftest import EASY
from tests.inspection.planted import striped_dataset
from visionlib.data import Dataset, load_dataset
from visionlib.inspection import inspect_dataset
from visionlib.runs import Run
from visionlib.training import train


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Grayscale stripes as a folder of pictures: one twice, one mirrored, one constant, and one of a palette."""
    folder = tmp_path_factory.mktemp("data") / "stripes"
    for name, split in striped_dataset(80, 40).splits.items():
        for number, (image, label) in enumerate(zip(split.images, split.labels.tolist(), strict=True)):
            place = folder / name / ("$x^2$" if label == 3 else split.classes[label]) / f"{number:03}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image[0].numpy()).save(place)
    first = folder / "train" / "rows" / "000.png"
    (folder / "test" / "rows" / "000.png").write_bytes(first.read_bytes())
    Image.new("L", (16, 16), 7).save(folder / "test" / "board" / "002.png")
    Image.open(first.with_name("004.png")).convert("1").save(first.with_name("004.png"))
    return folder


@pytest.fixture(scope="module")
def loaded(pictures: Path) -> Dataset:
    return load_dataset(pictures)


@pytest.fixture(scope="module")
def run(loaded: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(loaded, EASY.replace(epochs=1), out=tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_with_a_description(kind: str, pictures: Path, loaded: Dataset, tmp_path: Path) -> None:
    told = visionlib("data", pictures, "--picture", f"classes.{kind}", "--per-class", 3, "--seed", 5, cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stderr.splitlines()[-1] == f"drawn: classes.{kind}"
    assert [path.name for path in tmp_path.iterdir()] == [f"classes.{kind}"]
    sentence = "train: 80 images of 16 x 16, mean "
    if kind == "png":
        with Image.open(tmp_path / "classes.png") as picture:
            assert sentence in picture.info["Description"]
            assert 850 < picture.width < 1000
    else:
        ElementTree.parse(tmp_path / "classes.svg")
        assert sentence in (tmp_path / "classes.svg").read_text(encoding="utf-8")
    shown = visionlib("data", pictures, "--picture", "again.png", "--per-class", 3, "--seed", 5, "--json", cwd=tmp_path)
    record = json.loads(shown.stdout)
    expected = inspect_dataset(loaded, per_class=3, seed=5).to_dict()["examples"]
    assert record["picture"] == {"file": "again.png", **expected}
    assert [len(row) for row in record["picture"]["positions"]] == [3, 3, 3, 3]


def test_json_keeps_its_contract_and_gains_what_was_found(pictures: Path, loaded: Dataset) -> None:
    told = visionlib("data", pictures, "--json")
    assert told.returncode == 0, told.stderr
    assert told.stderr == ""
    record = json.loads(told.stdout)
    assert list(record) == [
        "dataset",
        "content_hash",
        "source_folder",
        "classes",
        "splits",
        "sizes",
        "warnings",
        "odd",
    ]
    assert record["content_hash"] == loaded.content_hash
    train_split = record["splits"]["train"]
    assert train_split["n"] == 80
    assert train_split["image_size"] == [16, 16]
    assert train_split["per_class"] == {"$x^2$": 20, "board": 20, "columns": 20, "rows": 20}
    assert train_split["mean"] == list(loaded.train.mean)
    assert train_split["std"] == list(loaded.train.std)
    assert train_split["modes"] == {"L": 79, "1": 1}
    assert record["odd"] == {"counts": {"constant": 1, "mode": 1}}
    asked = json.loads(visionlib("data", pictures, "--json", "--odd", "--duplicates", "exact").stdout)
    assert [(odd["oddity"], odd["split"]) for odd in asked["odd"]["images"]] == [
        ("constant", "test"),
        ("mode", "train"),
    ]
    assert asked["odd"]["images"][1]["detail"] == "is 1, and most are L"
    (pair,) = asked["duplicates"]["pairs"]
    assert (pair["kind"], pair["first"]["split"], pair["second"]["split"]) == ("exact", "test", "train")
    assert asked["duplicates"]["by_embeddings"] is None


def test_the_table_counts_odd_images_and_lists_them_on_request(pictures: Path) -> None:
    told = visionlib("data", pictures, NO_COLOR="1")
    assert told.returncode == 0, told.stderr
    assert "images to look at: 1 constant, 1 mode; --odd lists them" in told.stdout
    listed = visionlib("data", pictures, "--odd")
    assert "every pixel is 7" in listed.stdout
    assert "is 1, and most are L" in listed.stdout
    assert "--odd lists" not in listed.stdout
    for shown in (told, listed):
        assert "\x1b" not in shown.stdout
        assert "$x^2$" in shown.stdout


def test_a_run_is_asked_about_near_duplicates(pictures: Path, run: Run, tmp_path: Path) -> None:
    arguments = ["data", pictures, "--run", run.path, "--duplicates-csv", "twice.csv"]
    told = visionlib(*arguments, "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)["duplicates"]
    assert found["looked_for"] == ["exact", "near", "mirrored"]
    exact = found["pairs"][0]
    assert exact["kind"] == "exact"
    assert exact["cosine"] == pytest.approx(1, abs=1e-3)
    assert isinstance(found["by_embeddings"], list)
    with (tmp_path / "twice.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["pairs"]) + len(found["by_embeddings"])
    assert float(rows[0]["cosine"]) == exact["cosine"]
    shown = visionlib("data", pictures, "--run", run.path, cwd=tmp_path)
    assert "cosine similarity of the embeddings" in shown.stdout
    assert "cosine similarity of the embeddings of these pairs: lowest " in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--picture", "classes.pdf"], 2, "classes.pdf: is no picture by its name; end it in .png or .svg"),
        (["--picture", "absent/classes.png"], 2, "there is no folder absent"),
        (["--duplicates-csv", "absent/twice.csv"], 2, "there is no folder absent"),
        (["--per-class", "0"], 2, "Invalid value for '--per-class'"),
        (["--seed", "-1"], 2, "Invalid value for '--seed'"),
        (["--duplicates", "some"], 2, "Invalid value for '--duplicates'"),
        (["--run", "no-such-run"], 2, "no-such-run: there is no such run folder"),
        (["--duplicates", "exact", "--run", "."], 2, "--run: is only compared with near duplicates"),
        (["--pictures", "a.png"], 2, "No such option"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    arguments: list[str], code: int, message: str, pictures: Path, tmp_path: Path
) -> None:
    told = visionlib("data", pictures, *arguments, cwd=tmp_path)
    assert told.returncode == code, told.stderr
    assert told.stdout == ""
    last = told.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert list(tmp_path.iterdir()) == []


def test_a_run_on_other_data_is_refused_before_anything_is_searched(finished_run: Run, pictures: Path) -> None:
    told = visionlib("data", pictures, "--run", finished_run.path)
    assert told.returncode == 1
    assert told.stdout == ""
    assert "was trained on other data than" in told.stderr.splitlines()[-1]
    assert "looking for" not in told.stderr


def test_broken_pictures_are_left_out_on_request_and_in_everything_that_follows(tmp_path: Path) -> None:
    write_image_folder(tmp_path / "pets")
    broken = sorted((tmp_path / "pets" / "train").rglob("*.png"))[:2]
    for path in broken:
        path.write_bytes(b"no picture")
    refused = visionlib("data", "pets", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: 2 pictures: cannot be read: pets/train/")
    assert refused.stderr.rstrip().endswith("replace or remove them, or leave them out (--skip-broken)")
    told = visionlib("data", "pets", "--skip-broken", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert all(path.name in told.stderr for path in broken)
    options = ["--model", "resnet20", "--epochs", 1, "--batch-size", 4, "--threads", 1, "--out", "run"]
    trained = visionlib("train", "pets", "--skip-broken", *options, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["dataset"]["options"]["skip_broken"] is True
    tested = visionlib("test", "run", cwd=tmp_path)
    assert tested.returncode == 0, tested.stderr
