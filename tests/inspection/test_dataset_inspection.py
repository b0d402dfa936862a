"""An inspection as a whole: what it holds, as JSON, in a notebook, and what it refuses."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.inspection.planted import striped_dataset
from visionlib import inspect_dataset
from visionlib.data import Dataset, ImageSplit
from visionlib.errors import ConfigError, DataError, RunError
from visionlib.inspection import DatasetInspection
from visionlib.runs import Run


def make_dataset() -> Dataset:
    """Noise of three classes with names that are markup, with one image twice, one constant, and a class of none."""
    classes = ("<b>cat</b>", "a & b", "none")
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> ImageSplit:
        images = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=generator)
        return ImageSplit(images, torch.arange(n) % 2, classes, torch.arange(n) + 10)

    splits = {"test": draw(6), "validation": draw(4), "train": draw(10)}
    splits["test"].images[2] = splits["train"].images[3]
    splits["train"].images[5] = 9
    return Dataset("<set>", splits, classes)


def test_everything_is_there_and_train_comes_first() -> None:
    found = inspect_dataset(make_dataset(), per_class=2, seed=1, duplicates="exact")
    assert list(found.splits) == ["train", "validation", "test"]
    assert found.splits["train"].counts.tolist() == [5, 5, 0]
    assert found.examples.shape == (3, 2)
    assert found.count_odd() == {"constant": 1}
    assert found.duplicates is not None
    assert [pair.kind for pair in found.duplicates.pairs] == ["exact"]
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    positions = [*found.examples[:2].tolist(), []]
    sources = [[None, None], [None, None], []]
    assert record["examples"] == {"split": "train", "seed": 1, "positions": positions, "sources": sources}
    assert record["odd"]["counts"] == {"constant": 1}
    assert record["odd"]["images"][0]["index"] == 15
    assert record["duplicates"]["counts"][0]["splits"] == ["test", "test"]
    assert record["splits"]["test"]["n"] == 6
    assert inspect_dataset(make_dataset()).to_dict()["duplicates"] is None


def test_examples_can_be_of_another_split() -> None:
    dataset = make_dataset()
    found = inspect_dataset(dataset, split="test", per_class=3)
    assert found.shown == "test"
    assert sorted(found.examples[0].tolist()) == [0, 2, 4]


def test_a_path_is_loaded(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / ("test" if number > 3 else "train") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB" if number else "L", (3, 3) if number == 1 else (64, 64), 10 * number).save(path)
    found = inspect_dataset(tmp_path)
    assert found.classes == ("a", "b")
    told = {(odd.oddity, odd.split, odd.detail) for odd in found.odd if odd.oddity in ("tiny", "mode")}
    assert {oddity for oddity, _, _ in told} == {"tiny", "mode"}
    assert {detail for _, _, detail in told} == {"was 3 x 3 pixels", "is L, and most are RGB"}


class _Reader(HTMLParser):
    """Collects text, pictures, and tags that are open; fails on one that is closed and was not."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text, self.pictures = "", 0
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag == "img"
        self.pictures += str(dict(attrs)["src"]).startswith("data:image/png;base64,")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def test_a_notebook_shows_tables_with_the_mean_of_each_class() -> None:
    found = inspect_dataset(make_dataset(), duplicates="near")
    page = _Reader(found._repr_html_())
    assert page.pictures == 2  # of the class without images there is none
    for told in ("<set>", "<b>cat</b>", "a & b", "16 x 16", "images to look at: 1 constant", "train and test"):
        assert told.replace("train and test", "test and train") in page.text
    plain = _Reader(inspect_dataset(striped_dataset(20, 8))._repr_html_()).text
    assert "images to look at: none" in plain
    assert "duplicates" not in plain


def test_what_cannot_be_done_is_told_in_a_line(finished_run: Run, stripes: Dataset, tmp_path: Path) -> None:
    dataset = make_dataset()
    with pytest.raises(ConfigError, match="per_class: 0 is out of range; it must be at least 1"):
        inspect_dataset(dataset, per_class=0)
    with pytest.raises(DataError, match="has no split 'dev'; it has: test, validation, train"):
        inspect_dataset(dataset, split="dev")
    with pytest.raises(ConfigError, match="run: is only compared with near duplicates"):
        inspect_dataset(dataset, run=finished_run)
    with pytest.raises(RunError, match="was trained on other data than stripes holds now"):
        inspect_dataset(stripes, duplicates="near", run=finished_run)
    with pytest.raises(RunError, match="there is no such run folder"):
        inspect_dataset(stripes, duplicates="near", run=tmp_path / "absent")
    with pytest.raises(DataError, match="no-such-set"):
        inspect_dataset("no-such-set")


def test_the_result_holds_what_it_was_made_of() -> None:
    assert isinstance(inspect_dataset(make_dataset()), DatasetInspection)
    with pytest.raises(AttributeError):
        inspect_dataset(make_dataset()).seed = 3  # type: ignore[misc]
