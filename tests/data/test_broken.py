"""Broken pictures: all are named at once, and on request they are left out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.data import containers
from visionlib.data import load_dataset
from visionlib.errors import BrokenPicturesError

SPLIT = containers.draw_noise(3, 4, seed=1)


def whole(number: int) -> bytes:
    return containers.encode(SPLIT.images[number])


def write_folder(home: Path, broken: dict[int, bytes]) -> Path:
    """Write 20 pictures to learn from and two to test on; of `broken` the given bytes."""
    for number in range(20):
        folder = home / "train" / ("cat" if number < 10 else "dog")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:02}.png").write_bytes(broken.get(number, whole(number)))
    for name in ("cat", "dog"):
        (home / "test" / name).mkdir(parents=True)
        (home / "test" / name / "x.png").write_bytes(whole(30))
    return home


CUT, EMPTY, TEXT = whole(1)[:-60], b"", b"<html>"


def test_all_broken_pictures_are_named_in_one_message(tmp_path: Path) -> None:
    """Some have no header, others end within their pixels."""
    write_folder(tmp_path, {3: CUT, 7: EMPTY, 15: TEXT})
    with pytest.raises(BrokenPicturesError) as found:
        load_dataset(tmp_path)
    message = str(found.value)
    names = ", ".join(str(tmp_path / "train" / name) for name in ("cat/03.png", "cat/07.png", "dog/15.png"))
    assert message.startswith(f"3 pictures: cannot be read: {names} (the first one is no whole PNG")
    assert message.endswith("; replace or remove them, or leave them out (--skip-broken)")
    assert "\n" not in message


def test_ten_are_named_and_all_are_counted(tmp_path: Path) -> None:
    write_folder(tmp_path, dict.fromkeys(range(13), CUT))
    with pytest.raises(BrokenPicturesError, match=r"^13 pictures: .*cat/09\.png and 3 more \(the first") as found:
        load_dataset(tmp_path)
    assert "10.png" not in str(found.value)


def test_a_single_one_is_told_with_its_reason(tmp_path: Path) -> None:
    write_folder(tmp_path, {3: EMPTY})
    with pytest.raises(
        BrokenPicturesError, match=r"03\.png: is no whole .*; replace it, or remove it, or leave it out \(--skip-broken"
    ):
        load_dataset(tmp_path)


@pytest.mark.parametrize("fraction", ["0.25", "0"])
def test_on_request_they_are_left_out_by_name(fraction: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, and in a memory-mapped file, which only whole pictures get."""
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", fraction)
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    home = write_folder(tmp_path / "home", {3: CUT, 7: EMPTY, 15: TEXT})
    for _ in range(2):
        dataset = load_dataset(home, skip_broken=True)
        kept = torch.tensor([number for number in range(20) if number not in (3, 7, 15)])
        assert torch.equal(dataset.train.images, SPLIT.images[kept])
        assert torch.equal(dataset.train.index, kept)
        assert dataset.train.per_class == {"cat": 8, "dog": 9}
        assert dataset.train.originals is not None
        assert len(dataset.train.originals.modes) == 17
        assert torch.equal(dataset.test.images, SPLIT.images[[30, 30]])
        names = ", ".join(str(home / "train" / name) for name in ("cat/03.png", "cat/07.png", "dog/15.png"))
        assert dataset.warnings == (f"pictures that cannot be read were left out, 3: {names}",)
    assert load_dataset(home, **dataset.options).content_hash == dataset.content_hash


def test_whole_data_are_the_same_with_and_without(tmp_path: Path) -> None:
    write_folder(tmp_path, {})
    plain, skipping = load_dataset(tmp_path), load_dataset(tmp_path, skip_broken=True)
    assert plain.content_hash == skipping.content_hash
    assert plain.warnings == skipping.warnings == ()
    assert "skip_broken" not in plain.options


def test_nothing_but_broken_pictures_is_an_error(tmp_path: Path) -> None:
    home = write_folder(tmp_path, dict.fromkeys(range(20), TEXT))
    for name in ("cat", "dog"):
        (home / "test" / name / "x.png").write_bytes(TEXT)
    with pytest.raises(BrokenPicturesError, match="22 pictures"):
        load_dataset(home, skip_broken=True)


def test_rows_of_a_parquet_file(tmp_path: Path) -> None:
    contents = [TEXT if number in (2, 5) else whole(number) for number in range(8)]
    for split in ("train", "test"):
        pq.write_table(pa.table({"image": contents, "label": [0, 1] * 4}), tmp_path / f"{split}.parquet")
    with pytest.raises(BrokenPicturesError, match=r"2 pictures: .*parquet: row 2, .*parquet: row 5 \("):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, skip_broken=True)
    for part in (dataset.train, dataset.test):
        assert part.index.tolist() == [0, 1, 3, 4, 6, 7]
        assert part.labels.tolist() == [0, 1, 1, 0, 0, 1]
        assert torch.equal(part.images, SPLIT.images[part.index])
