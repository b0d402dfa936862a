"""`visionlib explain`, as a user meets it."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.processes import visionlib
from tests.cli.test_inspect import pictures as pictures
from tests.cli.test_inspect import trained as trained
from visionlib.runs import Run, read_json


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(tmp_path / "run")


def test_it_makes_maps_saves_them_and_draws_them(run: Run, tmp_path: Path) -> None:
    done = visionlib("explain", "run", "--n", "30", "--picture", "maps.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "maps of 30 test images" in done.stdout
    assert "layercam-fused" in done.stdout
    assert "layer2, layer3" in done.stdout
    manifest = read_json(run.explanations / "manifest.json")
    assert manifest["n"] == 30
    assert [one["target"] for one in manifest["maps"]] == ["predicted", "true"]
    with Image.open(tmp_path / "maps.png") as picture:
        assert "layercam-fused of layer2, layer3, 8 x 8 cells" in picture.info["Description"]


def test_as_json_with_quality(run: Run, tmp_path: Path) -> None:
    done = visionlib(
        *("explain", "run", "--of", "3,1", "--method", "gradient", "--method", "layercam", "--target", "rows"),
        *("--quality", "--quality-n", "12", "--picture", "maps.svg", "--smooth", "--json"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [one["method"] for one in result["explanations"]] == ["gradient", "layercam"]
    assert [one["index"] for one in result["explanations"][0]["images"]] == [3, 1]
    assert {one["explained"] for one in result["explanations"][0]["images"]} == {"rows"}
    assert {one["method"] for one in result["quality"]["methods"]} == {"gradient", "layercam"}
    assert result["quality"]["words"]
    kept = read_json(run.explanations / "quality.json")
    assert kept["n"] == 12
    assert kept["methods"] == result["quality"]["methods"]
    assert [one["layers"] for one in read_json(run.explanations / "manifest.json")["maps"]] == [
        one["layers"] for one in result["explanations"]
    ]
    ElementTree.parse(tmp_path / "maps.svg")


def test_the_tables_show_completeness_and_the_measures_that_are_kept(run: Run, tmp_path: Path) -> None:
    arguments = ("explain", "run", "--of", "3,1", "--method", "integrated-gradients")
    text = " ".join(visionlib(*arguments, "--quality", "--quality-n", "2", cwd=tmp_path).stdout.split())
    (entry,) = read_json(run.explanations / "quality.json")["methods"]
    for name in ("sensitivity", "sparseness", "complexity"):
        assert entry[name]["n"] == 2
        assert f"{entry[name]['value']:.2f}" in text
    assert f"{entry['completeness_gap']['value']:.4f}" in text
    result = json.loads(visionlib(*arguments, "--json", cwd=tmp_path).stdout)
    predicted = result["explanations"][0]["completeness"]
    assert predicted["n"] == 2
    assert f"within 1% for {predicted['within']} of 2 images; largest gap {predicted['largest_gap']:.1%}" in text


def test_layers_can_be_repeated_for_maps_of_each(run: Run, tmp_path: Path) -> None:
    layers = ("--layers", "layer2", "--layers", "layer3", "--layers", "layer2,layer3")
    done = visionlib("explain", "run", "--of", "3,1", "--method", "layercam", *layers, "--target", "true", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    kept = read_json(run.explanations / "manifest.json")["maps"]
    assert [one["layers"] for one in kept] == [["layer2"], ["layer3"], ["layer2", "layer3"]]
    assert [one["key"] for one in kept] == [
        *("layercam.true", "layercam@layer3.true", "layercam@layer2+layer3.true"),
    ]


def test_it_lists_the_methods(tmp_path: Path) -> None:
    done = visionlib("explain", "any", "--method", "list", cwd=tmp_path)
    assert done.returncode == 0
    assert "grad-cam++" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--method", "cam"], "error: --method cam: there is no such method; known are: layercam-fused"),
        (["--of", "a"], "error: --of: 'a' is no list of indices; write it like 3,14,15"),
        (["--of", "9999"], "error: image 9999: there is none of that index in the split; it has 70"),
        (["--picture", "maps.gif"], "error: maps.gif: is no picture by its name"),
        (["--target", "moon"], "error: target moon: there is no such class; known are: board, columns, flat, rows"),
        (["--layers", "layer2"] * 2, "error: layercam-fused of layer2: is asked for twice; ask for it once"),
        (["--layers", "layer7"], "error: layer 'layer7': is not in the network; close to it: layer"),
        (["--method", "gradient", "--layers", "layer1"], "error: gradient: its maps are of the input, and of no layer"),
    ],
)
def test_wrong_use_is_one_line(run: Run, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = visionlib("explain", "run", "--n", "5", *arguments, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
