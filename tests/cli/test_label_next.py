"""`visionlib label-next`: the table, JSON and CSV agree with the library, and broken files are told in a line each."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import run_forked
from visionlib.data import Dataset
from visionlib.inspection import choose_to_label
from visionlib.runs import Run


@pytest.fixture(scope="module")
def folder(small_shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """25 pictures, the first of them twice, and a broken one."""
    place = tmp_path_factory.mktemp("unlabelled")
    for at, image in enumerate(small_shapes.test.images[:25]):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(place / f"{at:02}.png")
    (place / "copy.png").write_bytes((place / "00.png").read_bytes())
    (place / "broken.png").write_bytes(b"no picture")
    return place


def test_json_and_csv_are_the_librarys(finished_run: Run, folder: Path, tmp_path: Path) -> None:
    words = ["label-next", finished_run.path, folder, "-n", 8, "--seed", 3, "--json", "--csv", "next.csv"]
    (done,) = run_forked([*words, "--device", "cpu"], tmp_path, [{}])
    assert done.returncode == 1
    error, written = done.stderr.splitlines()
    assert error.startswith(f"error: {folder}/broken.png: is no whole PNG, JPEG, WebP or BMP picture")
    assert written == "pictures to label: next.csv"
    known = choose_to_label(finished_run, [folder], 8, seed=3, device="cpu")
    answer = json.loads(done.stdout)
    assert answer.pop("schema_version", 1) == 1
    assert answer == json.loads(json.dumps({"run": str(finished_run.path), **known.to_dict()}))
    assert (answer["n"], answer["candidates"], answer["copies"], len(answer["pictures"])) == (26, 25, 1, 8)
    rows = list(csv.DictReader((tmp_path / "next.csv").read_text().splitlines()))
    assert [(row["file"], row["reason"]) for row in rows] == [(one.file, one.reason) for one in known.pictures]
    assert [float(row["score"]) for row in rows] == pytest.approx([one.score for one in known.pictures])


def test_a_list_on_stdin_as_a_table(finished_run: Run, folder: Path, tmp_path: Path) -> None:
    names = "\n".join(str(folder / f"{at:02}.png") for at in range(25))
    (done,) = run_forked(["label-next", finished_run.path, "-"], tmp_path, [{"COLUMNS": "120"}], stdin=names)
    assert (done.returncode, done.stderr) == (0, "")
    known = choose_to_label(finished_run, [folder / f"{at:02}.png" for at in range(25)])
    rows = [line for line in done.stdout.splitlines() if ".png" in line]
    assert len(rows) == 20
    for row, one in zip(rows, known.pictures, strict=False):
        assert f" {one.rank} " in row
        assert one.predicted in row
        assert f"{one.score:.2f}" in row
    assert "and 5 more; --csv FILE or --json has all" in done.stdout
    assert "25 of 25 pictures" in done.stdout


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["absent.png"], 1, "absent.png: there is no such file; check the path"),
        (["."], 2, "holds no pictures; name a folder with"),
        (["-"], 2, "IMAGE: there is none to label; name pictures, folders, or a list on stdin"),
        (["x.png", "--csv", "no/where.csv"], 2, "there is no folder no"),
        (["x.png", "--count", "0"], 2, "Invalid value for '--count'"),
        ([], 2, "Missing argument 'images'"),
    ],
)
def test_errors_are_one_line(words: list[str], code: int, message: str, finished_run: Run, tmp_path: Path) -> None:
    (done,) = run_forked(["label-next", finished_run.path, *words], tmp_path, [{}], stdin="")
    assert (done.returncode, done.stdout.strip()) == (code, "")
    assert done.stderr.startswith("error: ")
    assert message in done.stderr.splitlines()[0]
    assert list(tmp_path.iterdir()) == []
