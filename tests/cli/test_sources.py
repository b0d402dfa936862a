"""Whoever finds a wrong label must find the file: every command names it, and a test opens it and compares."""

import csv
import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.cli.processes import visionlib
from tests.data.opening import ODD_NAMES, open_source, write_odd_folder
from visionlib.data import Dataset, load_dataset
from visionlib.errors import RunError
from visionlib.evaluation import evaluate, load_predictions
from visionlib.evaluation.mistakes import find_mistakes, write_mistakes
from visionlib.inference.predictions import SplitPredictions
from visionlib.inference.run_sources import load_sources, save_sources
from visionlib.inspection import cross_validate, find_candidates, find_neighbours
from visionlib.inspection.candidates import load_candidates, tabulate_candidates
from visionlib.runs import Run, read_json, write_json
from visionlib.training import TrainConfig, resume, train

CONFIG = TrainConfig(model="resnet20", epochs=1, batch_size=16, device="cpu", precision="fp32", peak_learning_rate=0.02)
CLASSES = ("cat", "=dog")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures with odd names, among them a constant one and a copy with another label."""
    home = write_odd_folder(tmp_path_factory.mktemp("data") / "pets", CLASSES)
    Image.new("RGB", (16, 16), "red").save(home / "train" / "cat" / "=constant\n.png")
    shutil.copy(home / "train" / "cat" / "img_22.png", home / "test" / "=dog" / "img_22 copy.png")
    return home


@pytest.fixture(scope="module")
def data(home: Path) -> Dataset:
    return load_dataset(home)


@pytest.fixture(scope="module")
def trained(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = train(data, CONFIG.replace(validation_fraction=0.25), out=tmp_path_factory.mktemp("runs") / "run")
    # Wrong for each image: all of them are mistakes.
    stored = dict(np.load(run.predictions))
    logits = torch.nn.functional.one_hot(1 - torch.from_numpy(stored["labels"]), 2).float().numpy() * 5
    np.savez(run.predictions, **{**stored, "logits": logits, "mirror_logits": logits})
    return run


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    shutil.copytree(trained.path, tmp_path / "run")
    return Run(tmp_path / "run")


def find_named(record: Any, split: str = "test") -> Iterator[tuple[str, int, str | None]]:
    """Yield split, index and source of every image in a JSON record."""
    if isinstance(record, dict):
        split = record.get("split", split)
        if "index" in record:
            yield split, record["index"], record["source"]
        for name, value in record.items():
            yield from find_named(value, "train" if name == "neighbours" and "index" in record else split)
    elif isinstance(record, list):
        for value in record:
            yield from find_named(value, split)


def image_of(data: Dataset, split: str, index: int) -> Tensor:
    (position,) = (data.split(split).index == index).nonzero().flatten().tolist()
    return data.split(split).images[position]


def check_record(record: dict[str, Any], data: Dataset, least: int) -> None:
    named = list(find_named(record))
    assert len(named) >= least
    for split, index, source in named:
        assert source is not None
        assert not source.startswith("/")
        pixels = open_source(Path(record["source_folder"]), source)
        assert torch.equal(pixels, image_of(data, split, index)), source


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8"), newline="")))


def ask(*arguments: str, cwd: Path) -> dict[str, Any]:
    told = visionlib(*arguments, "--json", cwd=cwd)
    assert told.returncode == 0, told.stderr
    return dict(json.loads(told.stdout))


def test_mistakes_as_json_as_a_table_and_as_csv(run: Run, data: Dataset, home: Path, tmp_path: Path) -> None:
    record = ask("mistakes", "run", "--count", "99", "--csv", "m.csv", "--picture", "m.png", cwd=tmp_path)
    assert record["source_folder"] == str(home)
    check_record(record, data, least=24)
    rows = read_rows(tmp_path / "m.csv")
    assert list(rows[0])[:4] == ["rank", "position", "index", "source"]
    for row in rows:
        source = row["source"].replace("\\udce9", "\udce9")
        assert torch.equal(open_source(home, source), image_of(data, "test", int(row["index"])))
    shown = visionlib("mistakes", "run", "--count", "99", cwd=tmp_path, COLUMNS="150").stdout
    assert shown.startswith(f"files in {home}; --json has")
    for name in ("two  spaces .png", "größe 猫.png", "line\\nbreak.png", "caf\\xe9.png", "<script>window"):
        assert f"test/=dog/{name}" in shown or f"test/cat/{name}" in shown or f"deep/er/{name}" in shown
    narrow = visionlib("mistakes", "run", "--count", "99", cwd=tmp_path, COLUMNS="70").stdout
    assert max(map(len, narrow.splitlines()[1:])) <= 70
    assert "…" in narrow


def test_neighbours_and_candidates(run: Run, data: Dataset, home: Path, tmp_path: Path) -> None:
    pytest.importorskip("cleanlab")
    options = ("--neighbours", "n.png", "--of", "0,5,12", "--k", "3", "--candidates", "c.csv", "--candidates", "c.png")
    record = ask("inspect", "run", *options, cwd=tmp_path)
    check_record(record, data, least=12 + record["candidates"]["candidates"])
    assert [found[0] for found in find_named(record["neighbours"])][:5] == ["test", "train", "train", "train", "test"]
    rows = read_rows(tmp_path / "c.csv")
    assert list(rows[0])[:3] == ["rank", "index", "source"]
    for row in rows:
        source = row["source"].replace("\\udce9", "\udce9")
        assert torch.equal(open_source(home, source), image_of(data, "test", int(row["index"])))
    shown = visionlib("inspect", "run", *options[:6], "--candidates", "c.csv", cwd=tmp_path).stdout
    assert shown.count(f"files in {home}") == 2


def test_odd_images_duplicates_and_examples(data: Dataset, home: Path, tmp_path: Path) -> None:
    options = ("--odd", "--duplicates-csv", "d.csv", "--picture", "p.png", "--per-class", "3")
    record = ask("data", str(home), *options, cwd=tmp_path)
    check_record({name: record[name] for name in ("source_folder", "odd", "duplicates")}, data, least=3)
    assert [odd["source"] for odd in record["odd"]["images"]] == ["train/cat/=constant\n.png"]
    (row,) = read_rows(tmp_path / "d.csv")
    assert {row["source"], row["other_source"]} == {"train/cat/img_22.png", "test/=dog/img_22 copy.png"}
    examples = record["picture"]
    for positions, sources in zip(examples["positions"], examples["sources"], strict=True):
        for position, source in zip(positions, sources, strict=True):
            assert torch.equal(open_source(home, source), data.train.images[position])
    shown = visionlib("data", str(home), "--odd", cwd=tmp_path).stdout
    assert f"files in {home}" in shown
    assert "constant\\n.png" in shown


def test_explanations_features_and_comparisons(run: Run, data: Dataset, home: Path, tmp_path: Path) -> None:
    record = ask("explain", "run", "--of", "2,9", "--picture", "e.png", cwd=tmp_path)
    check_record(record, data, least=4)
    options = ("--layer", "layer3", "--channel", "0,1", "--exciting", "x.png", "--picture", "y.png", "--of", "4")
    record = ask("features", "run", *options, cwd=tmp_path)
    check_record(record, data, least=2)
    shutil.copytree(run.path, tmp_path / "other")
    stored = dict(np.load(run.predictions))
    changed = stored["logits"].copy()
    changed[:4] = changed[:4, ::-1]
    np.savez(tmp_path / "other" / "predictions.npz", **{**stored, "logits": changed})
    pair = ask("compare", "run", "other", "--csv", "k.csv", cwd=tmp_path)["pairs"][0]
    assert len(pair["only_second_index"]) == 4
    for index, source in zip(pair["only_second_index"], pair["only_second_source"], strict=True):
        assert torch.equal(open_source(home, source), image_of(data, "test", index))
    rows = read_rows(tmp_path / "k.csv")
    assert [row["source"] for row in rows] == [s.replace("\udce9", "\\udce9") for s in pair["only_second_source"]]


def test_formulas_are_text_in_the_tables(home: Path, tmp_path: Path) -> None:
    """A folder without splits: the path begins with the name of the class."""
    for name, text in (("=dog", "=1+1"), ("cat", "@SUM(A1)")):
        shutil.copytree(home / "test" / name, tmp_path / "flat" / text)
    split = load_dataset(tmp_path / "flat").train
    logits = torch.nn.functional.one_hot(1 - split.labels, 2).float()
    found = find_mistakes(
        SplitPredictions(logits, logits, None), split.labels, split.classes, index=split.index, sources=split.sources
    )
    write_mistakes(found, tmp_path / "m.csv")
    rows = read_rows(tmp_path / "m.csv")
    assert len(rows) == len(split)
    assert {row["source"][:4] for row in rows} == {"'=1+", "'@SU"}
    for row in rows:
        source = row["source"][1:].replace("\\udce9", "\udce9")
        assert torch.equal(
            open_source(tmp_path / "flat", source),
            image_of(Dataset("", {"train": split}, ()), "train", int(row["index"])),
        )


def test_a_run_keeps_the_names_and_needs_no_data(run: Run, data: Dataset, home: Path) -> None:
    for split in ("train", "test"):
        sources = load_sources(run, split)
        assert sources is not None
        for position, index in enumerate(data.split(split).index.tolist()):
            assert sources.name(index) == data.split(split).source(position)
    assert load_sources(run, "validation") is None
    stored = load_predictions(run, file=run.validation)
    assert len(stored.index) > 3
    for index in stored.index.tolist():
        assert stored.sources is not None
        assert torch.equal(open_source(home, str(stored.sources.name(index))), image_of(data, "train", index))


def test_kept_results_have_the_names_when_they_are_read_again(run: Run, data: Dataset) -> None:
    pytest.importorskip("cleanlab")
    made = find_neighbours(run, 2, dataset=data, device="cpu").to_rows()
    assert made == find_neighbours(run, 2).to_rows()
    assert {row["source"] for row in made} == {data.test.source(at) for at in range(len(data.test))}
    found = find_candidates(cross_validate(run, 2, epochs=1, dataset=data, device="cpu"))
    found.save(run)
    assert found.to_rows() == load_candidates(run, "train").to_rows()
    assert tabulate_candidates(found).startswith("rank,index,source,split,")
    for row in found.to_rows():
        assert row["source"].startswith("train/")


@pytest.mark.parametrize("file", ["sources.json", "sources.npz"])
def test_damaged_names_are_told_and_made_anew(run: Run, home: Path, file: str) -> None:
    good = [load_sources(run, "test").name(at) for at in range(13)]  # type: ignore[union-attr]
    path = run.path / file
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match=r"sources\.(json|npz).*(damaged|SHA-256)"):
        load_sources(run, "test")
    evaluate(run, dataset=home, predict=True, device="cpu")
    assert [load_sources(run, "test").name(at) for at in range(13)] == good  # type: ignore[union-attr]


@pytest.mark.parametrize("change", [{"files": []}, {"splits": {"test": 7}}, {"splits": {"test": []}}, {"splits": 3}])
def test_a_record_that_makes_no_sense_is_an_error_in_one_line(run: Run, change: dict[str, Any]) -> None:
    write_json(run.sources, {**read_json(run.sources), **change})
    with pytest.raises(RunError, match="is damaged"):
        load_sources(run, "test")


def test_names_of_other_data_are_refused(run: Run) -> None:
    write_json(run.sources, {**read_json(run.sources), "dataset_hash": "0" * 64})
    with pytest.raises(RunError, match="other data"):
        load_sources(run, "test")


def test_a_run_of_an_older_version_has_no_names(run: Run, tmp_path: Path) -> None:
    for path in (run.sources, run.sources.with_suffix(".npz")):
        path.unlink()
    record = ask("mistakes", "run", "--count", "99", cwd=tmp_path)
    assert {source for _, _, source in find_named(record)} == {None}
    assert "files in" not in visionlib("mistakes", "run", cwd=tmp_path).stdout
    assert {row["source"] for row in find_neighbours(run, 1, device="cpu").to_rows()} == {None}


def test_data_that_has_moved_and_files_that_were_renamed(run: Run, home: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(home, tmp_path / "moved"))
    for path in sorted(moved.rglob("img_*.png")):
        path.rename(path.with_name(path.name.replace("img_", "img_new_")))
    evaluate(run, dataset=moved, predict=True, device="cpu")
    sources = load_sources(run, "test")
    assert sources is not None
    data = load_dataset(moved)
    for position, index in enumerate(data.test.index.tolist()):
        assert torch.equal(open_source(moved, str(sources.name(index))), data.test.images[position])
    record = ask("mistakes", "run", "--dataset", str(moved), cwd=tmp_path)
    assert record["source_folder"] == str(moved)


def test_a_dataset_without_files_leaves_no_names_behind(run: Run, data: Dataset) -> None:
    bare = {name: replace(split, sources=None) for name, split in data.splits.items()}
    save_sources(run, replace(data, splits=bare))
    assert load_sources(run, "test") is None
    assert not list(run.path.glob("sources.*"))


def test_an_interrupted_training_ends_with_the_names(data: Dataset, home: Path, tmp_path: Path) -> None:
    def stop(line: str) -> None:
        if line.startswith("epoch 1/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, CONFIG.replace(epochs=2), out=tmp_path / "run", log=stop)
    assert not (tmp_path / "run" / "sources.json").exists()
    stored = load_predictions(resume(tmp_path / "run", dataset=home))
    assert stored.sources is not None
    for position, index in enumerate(stored.index.tolist()):
        assert torch.equal(open_source(home, str(stored.sources.name(index))), data.test.images[position])


def test_odd_names_are_all_there(home: Path) -> None:
    names = {path.name for path in home.rglob("*.png")}
    assert names >= set(ODD_NAMES)
