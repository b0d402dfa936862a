"""`visionlib groups` as a user meets it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.cli.processes import visionlib
from visionlib.data import load_dataset
from visionlib.data.shapes import draw_shapes
from visionlib.evaluation import load_groups
from visionlib.runs import Run
from visionlib.training import TrainConfig, train

CONFIG = TrainConfig(model="resnet20", epochs=1, batch_size=16, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures and a run on them, whose predictions are replaced: two of three dark images are wrong."""
    folder = tmp_path_factory.mktemp("place")
    for part, count in (("train", 40), ("test", 300)):
        split = draw_shapes(count, image_size=16, part=part == "test")
        for position, label in enumerate(split.labels.tolist()):
            at = folder / "pictures" / part / split.classes[label] / f"{position:03}.png"
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(split.images[position].permute(1, 2, 0).numpy()).save(at)
    data = load_dataset(folder / "pictures")
    run = train(data, CONFIG, out=folder / "run")
    brightness = data.test.images.float().mean((1, 2, 3))
    number = torch.arange(len(data.test))
    is_wrong = (brightness < brightness.quantile(0.2)) & (number % 3 > 0) | (number % 25 == 0)
    logits = 5 * torch.nn.functional.one_hot((data.test.labels + is_wrong.long()) % 10, 10).float().numpy()
    np.savez(run.predictions, **{**np.load(run.predictions), "logits": logits, "mirror_logits": logits})
    rows = [f"{data.test.source(at)},{'XY'[int(is_dark)]}" for at, is_dark in enumerate((brightness < 90).tolist())]
    (folder / "cameras.csv").write_text("file,camera\n" + "\n".join(rows))
    (folder / "others.csv").write_text("file,camera\nabsent.png,X\n")
    return folder


def test_the_table_names_the_group(place: Path) -> None:
    result = visionlib("groups", "run", cwd=place)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    (group,) = load_groups(Run(place / "run")).groups
    assert group.description == "dark"
    row = next(line for line in result.stdout.splitlines() if line.split()[:2] == ["1", "dark"])
    assert row.split()[2] == str(group.n)
    assert f"brightness at most {group.conditions[0].value:.3g}; " in result.stdout
    assert "Weak groups among 300 images: 1; " in result.stdout


def test_json_csv_and_picture_hold_its_images(place: Path) -> None:
    options = ("--metadata", "cameras.csv", "--csv", "groups.csv", "--picture", "groups.png", "--count", 4, "--json")
    result = visionlib("groups", "run", *options, cwd=place)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    found = load_groups(Run(place / "run"))
    assert {**record, **json.loads(json.dumps(found.to_dict()))} == record
    assert record["source_folder"] == str(place / "pictures")
    (group,) = record["groups"]
    with (place / "groups.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["source"] for row in rows] == group["images"]["sources"]
    for row in rows:
        assert (place / "pictures" / row["source"]).is_file()
        assert row["source"].split("/")[1] == row["true"]
    with Image.open(place / "groups.png") as picture:
        assert picture.width > 500
        assert "Weak groups among 300 images" in picture.info["Description"]


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["absent"], 2, "absent: there is no such run folder"),
        (["run", "--count", "0"], 2, "should be greater than or equal to 1"),
        (["run", "--picture", "g.pdf"], 2, "g.pdf: is no picture by its name"),
        (["run", "--csv", "absent/g.csv"], 2, "there is no folder absent"),
        (["run", "--metadata", "absent.csv"], 2, "absent.csv: there is no such file"),
        (["run", "--metadata", "others.csv"], 1, "no value of its column 'file' is of an image of the split"),
    ],
)
def test_wrong_usage_is_one_line(place: Path, options: list[str], code: int, message: str) -> None:
    result = visionlib("groups", *options, cwd=place)
    assert result.returncode == code
    assert message in " ".join(result.stderr.split())
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
