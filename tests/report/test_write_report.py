"""`write_report`: the same bytes, what it lacks, and errors that leave nothing behind."""

import base64
import hashlib
import html
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.cli.processes import run_code
from tests.report.conftest import Written
from tests.report.runs import HOSTILE, make_run
from visionlib.data import Dataset
from visionlib.drawing.offline_page import embed_json
from visionlib.errors import ConfigError, RunError
from visionlib.report import parts, write_report
from visionlib.report.path_names import PathNames
from visionlib.runs import Run, open_run, read_json, write_json


def test_the_same_run_gives_the_same_bytes(written: Written, tmp_path: Path) -> None:
    pages = [
        write_report(written.run, dataset=written.data, against=written.run.path.parent / "second", out=tmp_path / name)
        for name in ("a.html", "b.html")
    ]
    assert pages[0].path.read_bytes() == pages[1].path.read_bytes() == written.report.path.read_bytes()
    assert pages[0].size_bytes == len(pages[0].path.read_bytes())


def test_it_needs_no_network_and_its_policy_allows_none(written: Written) -> None:
    page = written.report.path.read_text(encoding="utf-8")
    policy = html.unescape(re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[0])
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not re.findall(r"<(?:img|link|iframe|script|source)[^>]+(?:src|href)=", page)
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert not re.findall(r"\sstyle=|\son\w+=", re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL))


def test_json_within_the_page_cannot_end_its_element() -> None:
    record = {"name": "</script><!--\u2028&", "nested": ["<b>", 1.5, None]}
    text = embed_json(record)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == record


def read_embedded(page: str) -> dict[str, Any]:
    """Return the JSON records of a page by the ids of their elements."""
    found = re.findall(r'<script type="application/json" id="([^"]+)">(.*?)</script>', page, re.DOTALL)
    return {name: json.loads(text) for name, text in found}


def test_the_embedded_figures_are_those_of_the_run(written: Written, tmp_path: Path) -> None:
    embedded = read_embedded(written.report.path.read_text(encoding="utf-8"))
    assert embedded["evaluation-json"] == read_json(written.run.evaluation)
    with_paths = write_report(written.run, dataset=written.data, out=tmp_path / "page.html", with_paths=True)
    config = read_json(written.run.config)
    assert read_embedded(with_paths.path.read_text(encoding="utf-8"))["config-json"] == config
    assert embedded["config-json"]["config"] == config["config"]
    assert set(config["versions"]) - set(embedded["config-json"]["versions"]) == {"platform"}


def plant_paths(run: Run, home: str) -> None:
    """Write paths into each record of a run that has room for one."""
    config = read_json(run.config)
    command = [f"{home}/bin/visionlib", "train", f"{home}/my data/cats", f"--out={home}/secret-runs/mine", "--seed=1"]
    command += ["--config", "../secret-folder/settings.toml"]
    write_json(
        run.config,
        {
            **config,
            "command": command,
            "config": {**config["config"], "model": f"{home}/nets/mine.py:build"},
            "dataset": {**config["dataset"], "name": f"{home}/my data/cats", "path": f"{home}/my data/cats"},
            "versions": {**config["versions"], "platform": "Linux-6.1-secret-host"},
        },
    )
    write_json(run.model, {**read_json(run.model), "model": f"{home}/nets/mine.py:build"})
    write_json(run.summary, {**read_json(run.summary), "model": f"{home}/nets/mine.py:build"})
    evaluation = read_json(run.evaluation)
    note = f"{home}/my data/cats has no images to hold out, see {home}/notes.txt"
    write_json(run.evaluation, {**evaluation, "temperature_note": note})


@pytest.mark.parametrize(
    "home", ["/home/secret-user", "/Users/secret-user", "C:\\Users\\secret-user", "/srv/secret-user"]
)
def test_a_page_holds_names_but_no_paths(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    place = tmp_path / "secret-place"
    for name in ("first", "second"):
        shutil.copytree(written.run.path.parent / name, place / name)
    run = open_run(place / "first")
    (run.inspection / "duplicates.json").unlink()
    (run.explanations / "maps.npz").write_bytes(b"cut")
    plant_paths(run, home)
    monkeypatch.chdir(place)
    for given in (run.path, "first", "../secret-place/first"):
        out = place / "secret-out.html"
        report = write_report(given, against="second", dataset=written.data, out=out)
        page = out.read_text(encoding="utf-8")
        for secret in ("secret-", str(tmp_path), "/home/", "/Users/", "C:\\", str(Path.home())):
            assert secret not in page
            assert secret.replace("\\", "\\\\") not in page
        assert read_embedded(page)["config-json"]["command"] == [
            *("visionlib", "train", "cats", "--out=mine", "--seed=1", "--config", "settings.toml"),
        ]
        for name in (
            "<title>first ",
            "mine.py:build on <bdi>cats</bdi>",
            "visionlib explain first",
            "--duplicates near",
        ):
            assert name in page
        assert str(given) in report.missing["duplicates"].command  # the terminal's command works
    shown = write_report(run, dataset=written.data, with_paths=True).path.read_text(encoding="utf-8")
    assert f"visionlib report {run.path}" in shown
    assert "Linux-6.1-secret-host" in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cannot read /data/x/y.npz, cut", "cannot read y.npz, cut"),
        ("see file:///data/x.html", "see x.html"),
        ("of C:\\data\\x.py:f", "of x.py:f"),
        ("on \\\\server\\share\\x", "on x"),
        ("from me@server.org:/data/x", "from x"),
        ("a run of /known place/runs/first is", "a run of first is"),
        ("/known place/runs/first/maps.npz is cut", "maps.npz is cut"),
        ("~/data/cats and '~/dogs'", "cats and 'dogs'"),
        ("precision/recall, 1/2 and 3 / 4, a </b>", "precision/recall, 1/2 and 3 / 4, a </b>"),
        ("/home/me", "~"),
    ],
)
def test_sentences_keep_all_but_paths(text: str, expected: str) -> None:
    assert PathNames(["/known place/runs/first", "first"]).shorten_sentence(text) == expected
    assert PathNames(["/known place/runs/first"], with_paths=True).shorten_sentence(text) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("--out=/a/b c/d", "--out=d"),
        ("../../data/cats/", "cats"),
        ("runs/first", "first"),
        ("cifar10", "cifar10"),
        ("/home/me", "~"),
        ("--home=C:\\Users\\me\\", "--home=~"),
        ("package.module:function", "package.module:function"),
        (0.5, 0.5),
        (["a/b", None, {"x/y": "\\\\host\\z"}], ["b", None, {"y": "z"}]),
    ],
)
def test_values_are_names(value: Any, expected: Any) -> None:
    assert PathNames([]).shorten_values(value) == expected


def test_hostile_names_stand_in_the_page_as_text_alone(hostile: Written) -> None:
    page = hostile.report.path.read_text(encoding="utf-8")
    for name in HOSTILE[:2]:
        assert name not in page
    assert "{{ 7 * 7 }}{% raw %}" in page
    shown = re.sub(r'<script type="application/json" id="[a-z]+-json">.*?</script>', "", page, flags=re.DOTALL)
    assert "\u202e" not in shown  # reverses the text direction; the downloads keep it


def test_without_data_there_is_a_page_without_pictures(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    config = read_json(run.config)
    write_json(run.config, {**config, "dataset": {**config["dataset"], "name": "gone", "path": str(tmp_path / "gone")}})
    report = write_report(run)
    assert set(report.missing) == {"images"}
    assert report.missing["images"].command == f"visionlib report {run.path} --dataset PLACE"
    assert "the data could not be read" in report.path.read_text(encoding="utf-8")


def test_curves_of_sam_are_explained(written: Written, tmp_path: Path) -> None:
    assert "perturbed weights" not in written.report.path.read_text(encoding="utf-8")
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    record = read_json(run.config)
    write_json(run.config, {**record, "config": {**record["config"], "sam_radius": 0.02, "sam_start": 0.85}})
    page = write_report(run, dataset=written.data).path.read_text(encoding="utf-8")
    assert "From 85 % of the steps on, both curves are measured at the perturbed weights of SAM" in page
    assert "<code>--sam-radius 0.02</code>" in page


def test_parts_of_other_weights_are_not_shown(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    for file in (run.inspection / "duplicates.json", run.explanations / "quality.json", run.stress, run.shortcuts):
        write_json(file, {**read_json(file), "weights_sha256": "another"})
    (run.explanations / "maps.npz").write_bytes(b"cut")
    report = write_report(run, dataset=written.data)
    assert set(report.missing) == {"duplicates", "quality", "explanations", "stress", "shortcuts"}
    assert report.missing["duplicates"].reason == "was made with other weights"


def test_accuracy_under_corruption_is_drawn_and_listed(written: Written) -> None:
    """Of 300 images those are right whose number modulo 8 is at least the strength, and none under frost at 5."""
    page = written.report.path.read_text(encoding="utf-8")
    (section,) = re.findall(r'<section id="corruption".*?</section>', page, re.DOTALL)
    right = [sum(number % 8 >= strength for number in range(300)) / 300 for strength in range(6)]
    assert right[0] == 1
    means = [*right[:5], right[5] * 14 / 15]
    mean = sum(means[1:]) / 5
    clean = "Accuracy without corruption 100.00\u00a0% (98.7\u00a0% to 100.0\u00a0%)"
    assert f"{clean}; mean corruption accuracy {100 * mean:.2f}\u00a0%" in section
    cells = [re.findall(r"<t[dh][^>]*>(?:<bdi>)?([^<]*)", row) for row in re.findall(r"<tr>(.*?)</tr>", section)]
    assert ["accuracy, %", *(f"{100 * value:.1f}" for value in means)] in cells
    assert ["mean confidence, %", *["70.0"] * 6] in cells
    frost = [*(f"{100 * value:.1f}" for value in right[1:5]), "0.0", f"{100 * sum(right[1:5]) / 5:.1f}"]
    assert ["frost", *frost] in cells
    assert "accuracy, frost" in section
    points = re.findall(r'<polyline class="series-a" points="([^"]*)"', section)[0].split()
    assert [float(point.split(",")[1]) for point in points] == pytest.approx([294 - 250 * v for v in means], abs=0.01)


def test_old_figures_are_made_anew(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    expected = read_json(run.evaluation)
    write_json(run.evaluation, {**expected, "weights_sha256": "another", "accuracy": 1.0})
    write_report(run, dataset=written.data)
    assert read_json(run.evaluation) == expected


def test_user_code_named_by_a_run_is_not_imported(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil_of_page.py").write_text("import pathlib\npathlib.Path('imported').touch()\n")
    runs = []
    for name in ("first", "second"):
        shutil.copytree(written.run.path.parent / name, tmp_path / name)
        runs.append(open_run(tmp_path / name))
        write_json(runs[-1].model, {**read_json(runs[-1].model), "model": "evil_of_page:build"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    page = write_report(runs[0], against=runs[1], dataset=written.data).path.read_text(encoding="utf-8")
    assert "evil_of_page:build" in page
    assert "evil_of_page" not in sys.modules
    assert not (tmp_path / "imported").exists()


def test_a_page_is_written_without_the_code_that_makes_its_parts(written: Written) -> None:
    code = (
        "import sys; from visionlib.report import write_report\n"
        "write_report(sys.argv[1], out=sys.argv[2]); print('visionlib.report.parts' in sys.modules)"
    )
    assert run_code(code, written.run.path, written.run.path.parent / "again.html") == "False\n"


def test_make_computes_the_missing_parts(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    summary = read_json(run.summary)
    run.summary.unlink()
    (run.inspection / "duplicates.json").unlink()
    lines: list[str] = []
    report = write_report(run, dataset=written.data, make=True, device="cpu", log=lines.append)
    assert lines == ["making: summary", "making: duplicates"]
    assert not report.missing
    assert read_json(run.summary) == summary


@pytest.mark.parametrize("error", [AttributeError("no\n such"), MemoryError(), RunError("a", "is bad", "mend it")])
def test_a_part_that_cannot_be_made_is_told_and_the_rest_is_made(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise error

    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    run.summary.unlink()
    (run.inspection / "duplicates.json").unlink()
    monkeypatch.setitem(parts._PARTS, "summary", fail)
    for debug in (False, True):
        lines: list[str] = []
        report = write_report(run, dataset=written.data, make=True, device="cpu", debug=debug, log=lines.append)
        told = [line for line in lines if line.startswith("not made: summary: ")]
        assert len(told) == 1
        assert "\n" not in told[0]
        assert told[0].endswith("a: is bad; mend it" if isinstance(error, RunError) else ": --debug shows where")
        assert any("Traceback" in line and "in fail" in line for line in lines) == debug
        assert set(report.missing) == {"summary"}
        assert report.path.is_file()
        assert (run.inspection / "duplicates.json").is_file()


def test_it_never_looks_at_the_weights(written: Written, tmp_path: Path) -> None:
    shutil.copytree(written.run.path, tmp_path / "run")
    run = open_run(tmp_path / "run")
    run.weights.unlink()
    assert not write_report(run, dataset=written.data).missing


@pytest.mark.parametrize(
    ("n", "share_right", "words"),
    [
        (40, 1.0, "pictures of all 0 mistakes and of a sample of 40 of the 40 correct images"),
        (40, 0.0, "pictures of all 37 mistakes and of a sample of 3 of the 3 correct images"),
    ],
)
def test_runs_that_are_all_right_or_wrong_have_pages(tmp_path: Path, n: int, share_right: float, words: str) -> None:
    from visionlib.data.shapes import load_shapes

    data = load_shapes(n_train=20, n_test=n, image_size=16)
    run = make_run(tmp_path / "run", data, share_right=share_right, strength=30, is_whole=False)
    assert write_report(run, dataset=data).pictures.startswith(words)


def test_many_classes_grayscale_images_and_one_class_without_images(tmp_path: Path) -> None:
    from visionlib.data import ImageSplit

    generator = torch.Generator().manual_seed(0)
    classes = tuple(f"class {number}" for number in range(120))

    def split(n: int) -> ImageSplit:
        images = torch.randint(256, (n, 1, 28, 28), dtype=torch.uint8, generator=generator)
        return ImageSplit(images, torch.arange(n) % 119, classes, torch.arange(n))

    data = Dataset("many", {"train": split(240), "test": split(240)}, classes)
    run = make_run(tmp_path / "run", data)
    page = write_report(run, dataset=data).path.read_text(encoding="utf-8")
    assert "There are 120 classes, too many for a readable matrix" in page
    assert "n/a" in page
    assert 'id="matrix"' not in page


def test_a_page_above_its_size_limit_lists_fewer_images_and_says_so(
    written: Written, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write_report(written.run, dataset=written.data, out=tmp_path / "whole.html")
    monkeypatch.setattr("visionlib.report.page._MOST_BYTES", {False: whole.size_bytes - 1})
    monkeypatch.setattr("visionlib.report.page._FEWER_LISTED", (200, 100))
    fewer = write_report(written.run, dataset=written.data, out=tmp_path / "fewer.html")
    assert fewer.size_bytes < whole.size_bytes
    assert "listed are 200 of 300 test images: " in fewer.pictures
    page = fewer.path.read_text(encoding="utf-8")
    assert fewer.pictures[1:] in page
    assert "t-SNE of 300 of 300 test images, a sample of 50 of which is drawn" in page
    records = read_embedded(page)["data"]["records"]
    assert records["n"] == 200


def test_errors_are_reported_before_anything_is_written(written: Written, page_data: Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; name a file to write"):
        write_report(written.run, out=tmp_path)
    with pytest.raises(ConfigError, match=r"there is no folder .*absent; make it first"):
        write_report(written.run, out=tmp_path / "absent" / "page.html")
    with pytest.raises(RunError, match="there is no such run folder"):
        write_report(tmp_path / "none")
    unfinished = make_run(tmp_path / "run", page_data, is_whole=False)
    unfinished.predictions.unlink()
    with pytest.raises(RunError, match=r"has no predictions to report; make them with: visionlib test .*run"):
        write_report(unfinished)
    unfinished.model.unlink()
    (unfinished.path / "resume.pt").touch()
    with pytest.raises(RunError, match=r"the run did not finish; go on with: visionlib train --resume .*run"):
        write_report(unfinished)
    assert not unfinished.report.exists()


def test_another_run_on_other_images_is_refused(written: Written, tmp_path: Path) -> None:
    from visionlib.data.shapes import load_shapes

    other = make_run(tmp_path / "other", load_shapes(n_train=20, n_test=30, image_size=32), is_whole=False)
    with pytest.raises(RunError, match="images"):
        write_report(written.run, against=other, out=tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_shortcuts_are_told_with_both_tables(written: Written) -> None:
    page = html.unescape(written.report.path.read_text(encoding="utf-8")).replace("\N{NO-BREAK SPACE}", " ")
    assert "Alarm: a property gives a class away; 2 properties of 300 images" in page
    assert "is given away by its top left corner: 80.0 % of its images, 0.40 % of others" in page
    assert "97.5 % correct, with its top left corner replaced 37.5 %" in page
    assert "The network relies on what gives a class away: top left corner; 200 test images" in page
    assert "5.0 % (30.0 %) / 3.5 %" in page


def test_a_notebook_frame_holds_the_page_and_lets_nothing_out(written: Written) -> None:
    frame = written.report._repr_html_()
    assert frame.startswith('<iframe srcdoc="')
    assert 'sandbox="allow-scripts allow-downloads"' in frame
    held = html.unescape(re.findall(r'srcdoc="([^"]*)"', frame)[0])
    assert held == written.report.path.read_text(encoding="utf-8")


def test_the_record_holds_size_and_what_is_missing(bare: Written) -> None:
    record = bare.report.to_dict()
    assert record["report"] == str(bare.report.path)
    assert record["bytes"] == bare.report.path.stat().st_size
    assert set(record["missing"]) == {
        *("groups", "explanations", "quality", "embedding_map", "neighbours"),
        *("candidates", "duplicates", "summary", "stress", "shortcuts"),
    }
    assert isinstance(bare.run, Run)
