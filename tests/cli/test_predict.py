"""`visionlib predict`: tables, JSON, CSV, maps and lists, and one line for each file that cannot be read."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.processes import run_forked, visionlib
from visionlib import load
from visionlib.data import Dataset
from visionlib.runs import Run


@pytest.fixture(scope="module")
def folder(small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures of other sizes than the network's, one broken file, and a text."""
    place = tmp_path_factory.mktemp("pictures")
    for name, at in (("a.png", 0), ("sub/b.jpg", 1), ("z, 'odd'\nname.png", 2)):
        (place / name).parent.mkdir(exist_ok=True)
        Image.fromarray(small_shapes.test.images[at].permute(1, 2, 0).numpy()).resize((40, 30)).save(place / name)
    (place / "broken.png").write_bytes(b"no picture")
    (place / "notes.txt").write_text("none")
    return place


def test_json_is_a_list_with_an_object_for_each_picture_in_order(finished_run: Run, folder: Path) -> None:
    done = visionlib("predict", finished_run.path, folder, "--json", "--top", 3)
    assert done.returncode == 1
    answers = json.loads(done.stdout)
    names = ["a.png", "broken.png", "sub/b.jpg", "z, 'odd'\nname.png"]
    assert [answer["file"] for answer in answers] == [str(folder / name) for name in names]
    assert done.stderr.count("error: ") == 1
    assert f"error: {folder}/broken.png: is no whole PNG, JPEG, WebP or BMP picture" in done.stderr
    assert "broken.png: is no whole" in answers.pop(1)["error"]
    predictions = load(finished_run).predict([answer["file"] for answer in answers])
    for answer, top in zip(answers, predictions.top(3), strict=True):
        assert [row["class"] for row in answer["top"]] == [name for name, _ in top]
        assert [row["probability"] for row in answer["top"]] == pytest.approx([value for _, value in top])
        assert answer["unusual"] in (True, False)


def test_the_table_tells_classes_and_what_the_figures_are(finished_run: Run, folder: Path) -> None:
    done = visionlib("predict", finished_run.path, folder / "a.png", COLUMNS="100")
    assert done.returncode == 0
    (name, probability), (second, _), *_ = load(finished_run).predict(folder / "a.png").top()[0]
    row = next(line for line in done.stdout.splitlines() if "a.png" in line)
    assert name in row
    assert f"{100 * probability:.1f} %" in row
    assert second in row
    assert "probabilities: not calibrated, as no images were held out" in done.stderr
    assert "5 % of 200 training images" in done.stderr


def test_a_list_on_stdin_csv_and_maps(finished_run: Run, folder: Path, tmp_path: Path) -> None:
    names = f"{folder / 'a.png'}\n\n{folder / 'broken.png'}\r\n"
    words = ["predict", finished_run.path, "-", folder / "sub", folder / "a.png", "--csv", "out.csv", "--maps", "maps"]
    (done,) = run_forked(words, tmp_path, [{}], stdin=names)
    assert done.returncode == 1
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [Path(row["file"]).name for row in rows] == ["a.png", "broken.png", "b.jpg", "a.png"]
    assert rows[0]["class_1"] == rows[3]["class_1"] == load(finished_run).predict(folder / "a.png").top()[0][0][0]
    assert rows[1]["class_1"] == ""
    assert "is no whole PNG" in rows[1]["error"]
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["a-2.png", "a.png", "b.png"]
    with Image.open(tmp_path / "maps/a.png") as drawn:
        assert drawn.size == (128, 128)
        assert np.asarray(drawn).std() > 0


def test_a_folder_without_pictures_among_many_leaves_the_json_whole(
    finished_run: Run, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "none").mkdir()
    names = [str(folder / "a.png")] * 150 + ["none", str(folder / "sub")]
    (done,) = run_forked(["predict", finished_run.path, "-", "--json"], tmp_path, [{}], stdin="\n".join(names))
    assert done.returncode == 1
    answers = json.loads(done.stdout)
    assert [Path(answer["file"]).name for answer in answers] == ["a.png"] * 150 + ["none", "b.jpg"]
    assert ["error" in answer for answer in answers] == [False] * 150 + [True, False]
    assert done.stderr.strip().splitlines() == [f"error: {answers[150]['error']}"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["absent.png"], 1, "absent.png: there is no such file; check the path"),
        ([f"{'x' * 300}.png"], 1, "x.png: there is no such file; check the path"),
        (["."], 2, "holds no pictures; name a folder with"),
        (["-"], 2, "IMAGE: there is none to classify"),
        (["x.png", "--csv", "no/where.csv"], 2, "there is no folder no"),
        (["x.png", "--top", "0"], 2, "Invalid value for '--top'"),
        ([], 2, "Missing argument 'images'"),
    ],
)
def test_errors_are_one_line(words: list[str], code: int, message: str, finished_run: Run, tmp_path: Path) -> None:
    (done,) = run_forked(["predict", finished_run.path, *words], tmp_path, [{}], stdin="")
    assert (done.returncode, done.stdout.strip()) == (code, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr.splitlines()[0]
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    done = visionlib("predict", "nothing", "x.png", cwd=tmp_path)
    assert done.returncode == 2
    assert "nothing: there are no pretrained weights of this name, and no such path" in done.stderr
