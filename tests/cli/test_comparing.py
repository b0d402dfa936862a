"""`visionlib mistakes` and `visionlib compare` as a user meets them."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.processes import run_code, visionlib
from tests.cli.test_commands import write_image_folder
from visionlib.evaluation import compare_runs, find_mistakes, load_predictions
from visionlib.runs import Run

PNG = b"\x89PNG\r\n\x1a\n"
SETTINGS = ["--model", "resnet20", "--epochs", 1, "--batch-size", 8, "--precision", "fp32", "--threads", 1]


@pytest.fixture(scope="module")
def runs_folder(finished_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs and their data, and a run on other images."""
    folder = tmp_path_factory.mktemp("place")
    write_image_folder(folder / "pictures")
    result = visionlib("train", "pictures", *SETTINGS, "--out", "run0", cwd=folder)
    assert result.returncode == 0, result.stderr
    shutil.copytree(folder / "run0", folder / "run1")
    with np.load(folder / "run0" / "predictions.npz") as arrays:
        stored = dict(arrays)
    # The second says the opposite of the first, of two images.
    np.savez(
        folder / "run1" / "predictions.npz",
        **{**stored, "logits": stored["logits"] * np.array([[-1], [1], [-1], [1]], "f4")},
    )
    shutil.copytree(folder / "run0", folder / "bare")
    (folder / "bare" / "predictions.npz").unlink()
    np.savez(folder / "votes.npz", votes=np.ones((9, 2)))
    shutil.copytree(finished_run.path, folder / "other")
    return folder


def test_the_table_says_what_the_library_finds(runs_folder: Path) -> None:
    result = visionlib("mistakes", "other", "--by", "margin", "--confident", "0.15", "--count", 3, cwd=runs_folder)
    assert result.returncode == 0, result.stderr
    assert "\x1b" not in result.stdout
    stored = load_predictions(runs_folder / "other")
    mistakes = find_mistakes(
        stored.predictions, stored.labels, stored.record.classes, index=stored.index, by="margin", confident_from=0.15
    )
    rows = re.findall(r"^ +(\d+) +\S+ +([\d.]+) % +\S+ +([\d.]+) % +([\d.]+) +([\d.]+) *$", result.stdout, re.MULTILINE)
    expected = [*mistakes.confident.first(3).records(), *mistakes.unsure.first(3).records()]
    assert [(int(row[0]), row[3], row[4]) for row in rows] == [
        (record["index"], f"{record['loss']:.2f}", f"{record['margin']:.3f}") for record in expected
    ]
    assert f"{len(mistakes)} of 70 test images are wrong" in result.stdout
    assert "by plain logits; largest margin first" in " ".join(result.stdout.split())


def test_json_holds_the_first_of_either_kind(runs_folder: Path) -> None:
    record = json.loads(visionlib("mistakes", "other", "--mirror", "--count", 2, "--json", cwd=runs_folder).stdout)
    assert (record["run"], record["split"], record["logits"]) == ("other", "test", "mirror-averaged")
    assert set(record["mistakes"]) == {"confident", "others"}
    assert len(record["mistakes"]["others"]) == 2
    assert record["wrong"] > 2


def test_everything_is_written_at_once(runs_folder: Path, tmp_path: Path) -> None:
    votes = tmp_path / "votes.csv"
    with votes.open("w", newline="") as file:
        csv.writer(file).writerows([["index", "circle", "square"], [0, 9, 1], [1, 1, 9], [2, 5, 5], [3, 0, 10]])
    header = load_predictions(runs_folder / "run0").record.classes
    votes.write_text(votes.read_text().replace("circle,square", ",".join(header)))
    options = ["--picture", tmp_path / "m.png", "--csv", tmp_path / "m.csv", "--votes", votes, "--json"]
    result = visionlib("mistakes", "run0", *options, cwd=runs_folder)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert sum(record["kinds"][kind] for kind in ("model", "label", "ambiguous", "no votes")) == record["wrong"]
    assert (tmp_path / "m.png").read_bytes().startswith(PNG)
    with Image.open(tmp_path / "m.png") as picture:
        described = picture.info["Description"]
    assert described.startswith(
        f"{record['wrong']} of 4 images are predicted wrong" if record["wrong"] else "No mistake"
    )
    with (tmp_path / "m.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == record["wrong"] + 1
    result = visionlib("mistakes", "run0", "--votes", votes, cwd=runs_folder)
    assert "people agree, 70 % of them on one class" in " ".join(result.stdout.split())


def test_a_comparison_is_printed_drawn_and_written(runs_folder: Path, tmp_path: Path) -> None:
    options = ["--picture", tmp_path / "d.svg", "--gallery", tmp_path / "g.png", "--csv", tmp_path / "d.csv"]
    result = visionlib("compare", "run0", "run1", *options, cwd=runs_folder)
    assert result.returncode == 0, result.stderr
    comparison = compare_runs([runs_folder / "run0", runs_folder / "run1"])
    assert comparison.pairs[0].counts.only_first + comparison.pairs[0].counts.only_second == 2
    assert " ".join(comparison.describe(comparison.pairs[0]).split()) in " ".join(result.stdout.split())
    for note in comparison.notes:
        assert note in " ".join(result.stdout.split())
    drawn = (tmp_path / "d.svg").read_text()
    assert drawn.startswith("<?xml")
    assert f"Of 4 images {comparison.pairs[0].counts.only_first} are right by run0 alone" in drawn
    assert (tmp_path / "g.png").read_bytes().startswith(PNG)
    assert (tmp_path / "d.csv").read_text().startswith("first,second,right,position,index,source,true,")
    record = json.loads(visionlib("compare", "run0", "run1", "--json", cwd=runs_folder).stdout)
    assert record == json.loads(json.dumps(comparison.to_dict())) | {
        "runs": [
            metrics.to_dict() | {"run": name} for metrics, name in zip(comparison.runs, ("run0", "run1"), strict=True)
        ]
    }


def test_several_runs_and_one_twice(runs_folder: Path) -> None:
    result = visionlib("compare", "run0", "run1", "run0", "--against-first", cwd=runs_folder)
    assert result.returncode == 0, result.stderr
    assert "2 pairs were tested; their p-values are adjusted by Holm" in " ".join(result.stdout.split())
    assert "run0 (1) and run0 (2) are right and wrong on the same ones of 4 images" in result.stdout


WRONG: list[tuple[list[str], int, str]] = [
    (["mistakes"], 2, "Missing argument 'run'"),
    (["mistakes", "absent"], 2, "absent: there is no such run folder"),
    (["mistakes", "run0", "--by", "size"], 2, "'size' is not one of"),
    (["mistakes", "run0", "--confident", "2"], 2, "confident: 2.0 is out of range"),
    (["mistakes", "run0", "--count", "0"], 2, "should be greater than or equal to 1"),
    (["mistakes", "run0", "--picture", "m.pdf"], 2, "m.pdf: is no picture by its name"),
    (["mistakes", "run0", "--csv", "absent/m.csv"], 2, "there is no folder absent"),
    (["mistakes", "run0", "--csv", "pictures"], 2, "pictures: is a folder"),
    (["mistakes", "run0", "--votes", "absent.csv"], 2, "absent.csv: there is no such file"),
    (["mistakes", "run0", "--votes", "run0/predictions.npz"], 1, "and no array `votes`"),
    (["mistakes", "other", "--picture", "m.png", "--dataset", "pictures"], 1, "was trained on other data than"),
    (["mistakes", "run0", "--votes", "votes.npz"], 1, "has 9 rows for 4 images; name the votes of this split"),
    (["mistakes", "bare"], 1, "the run lacks its predictions; make it again with `visionlib test --predict`"),
    (["compare", "run0", "bare"], 1, "the run lacks its predictions; make it again with `visionlib test --predict`"),
    (["compare", "run0"], 2, "runs: 1 cannot be compared; name two or more"),
    (["compare", "run0", "absent"], 2, "absent: there is no such run folder"),
    (["compare", "run0", "other"], 1, "other: was tested on other images than run0"),
    (["compare", "run0", "pictures"], 2, "pictures: is no run, it has no config.json"),
    (["compare", "run0", "run1", "--gallery", "g"], 2, "g: is no picture by its name"),
    (["compare", "run0", "--against", "run1", "bare"], 2, "runs: 1 of a recipe cannot tell the variance between seeds"),
    (["compare", "run0", "run1", "--against", "run1"], 2, "name two or more on either side, or compare two runs"),
    (["compare", "run0", "run1", "--against", "bare", "run0"], 1, "the run lacks its predictions"),
    (["compare", "run0", "run1", "--against", "other", "run0"], 2, "run0: is named twice, and counts as one draw"),
    (["compare", "run0", "run1", "--paired"], 2, "--paired: there are no pairs of seeds; name the runs of the other"),
    (["compare", "run0", "--against", "a", "b", "--csv", "d"], 2, "--csv: is about single runs, not recipes"),
    (["compare", "--against", "run0", "run1"], 2, "Missing argument 'runs'"),
    (["compare", "run0", "run1", "--against"], 2, "Option '--against' requires an argument"),
]

_RUN_ALL = """
import contextlib, io, json, sys
from visionlib.cli.app import main
endings = []
for arguments in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            endings.append([ended.code, out.getvalue(), err.getvalue()])
print(json.dumps(endings))
"""


@pytest.fixture(scope="module")
def endings(runs_folder: Path) -> list[tuple[int, str, str]]:
    """How each wrong command ends, all run by one process: code, stdout, stderr."""
    before = sorted(runs_folder.rglob("*"))
    told = run_code(_RUN_ALL, json.dumps([arguments for arguments, _, _ in WRONG]), cwd=runs_folder)
    assert sorted(runs_folder.rglob("*")) == before
    return [(code, out, err) for code, out, err in json.loads(told)]


@pytest.mark.parametrize("case", range(len(WRONG)), ids=[" ".join(arguments) for arguments, _, _ in WRONG])
def test_errors_are_one_line_and_leave_nothing(case: int, endings: list[tuple[int, str, str]]) -> None:
    _, code, message = WRONG[case]
    ended, out, err = endings[case]
    assert ended == code
    assert out == ""
    assert "Traceback" not in err
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
