"""What pictures were before they became pixels stays with them: size and mode, in every container of pictures."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from tests.data import containers
from tests.data.test_decode import encode, slope
from visionlib.data import load_dataset, load_shapes
from visionlib.data.dataset import Originals
from visionlib.data.decode import Picture, decode_pictures


def read(*pictures: Picture) -> Originals:
    _, originals, _ = decode_pictures(pictures, image_size=8, description="decoding", describe=lambda: "here")
    return originals


def test_sizes_are_those_of_the_files_held_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter
    found = read(encode(slope(40, 20)), encode(slope(40, 20), "JPEG", exif=exif), encode(slope(5, 9)))
    assert found.sizes.tolist() == [[20, 40], [40, 20], [9, 5]]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1", "P", "CMYK"])
def test_modes_are_told_in_the_words_of_pillow(mode: str) -> None:
    assert read(encode(Image.new(mode, (8, 8)), "JPEG" if mode == "CMYK" else "PNG")).modes == (mode,)


def test_transparency_that_the_mode_does_not_tell_is_told() -> None:
    assert read(encode(Image.new("P", (8, 8)), transparency=0)).modes == ("P+transparency",)
    assert read(encode(Image.new("RGB", (8, 8)), transparency=(0, 0, 0))).modes == ("RGB+transparency",)


def test_a_subset_keeps_what_is_its_own_and_counts_begin_with_the_commonest() -> None:
    found = Originals(torch.tensor([[1, 2], [3, 4], [5, 6], [7, 8]]), ("L", "RGB", "P", "RGB"))
    part = found.subset(torch.tensor([3, 0]))
    assert part.sizes.tolist() == [[7, 8], [1, 2]]
    assert part.modes == ("RGB", "L")
    assert list(found.count_modes().items()) == [("RGB", 2), ("L", 1), ("P", 1)]


def test_splits_of_folders_and_parquet_carry_them_and_those_of_arrays_have_none(tmp_path: Path) -> None:
    pictures = [slope(8 + number, 8) for number in range(4)]
    for place, picture in zip(("train/a/1", "train/a/2", "train/b/1", "test/b/1"), pictures, strict=True):
        path = tmp_path / "folder" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    folder = load_dataset(tmp_path / "folder", image_size=8)
    assert folder.train.originals is not None
    assert folder.test.originals is not None
    assert folder.train.originals.sizes.tolist() == [[8, 8], [8, 9], [8, 10]]
    assert folder.test.originals.sizes.tolist() == [[8, 11]]
    assert folder.train.subset(torch.tensor([2])).originals.sizes.tolist() == [[8, 10]]  # type: ignore[union-attr]

    contents = [encode(picture).content for picture in pictures]
    pq.write_table(pa.table({"img": contents, "label": [0, 1, 0, 1]}), tmp_path / "train.parquet")
    hub = load_dataset(tmp_path / "train.parquet", image_size=8, holdout_fraction=0.5)
    for split in hub.splits.values():
        assert split.originals is not None
        assert split.originals.sizes[:, 1].tolist() == [8 + at for at in split.index.tolist()]

    archive = containers.write_cifar_binary(
        {"train": containers.draw_noise(3, 1, 0), "test": containers.draw_noise(3, 1, 1)}, tmp_path
    )
    assert load_dataset(archive).train.originals is None
    assert load_shapes(n_train=20, n_test=10).train.originals is None
