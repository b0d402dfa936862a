from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data import containers
from visionlib.data import cache, load_dataset
from visionlib.data.cache import Pixels, build_images, memory_limit
from visionlib.errors import ConfigError

SHAPE = (3, 1, 4, 4)


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Everything is too large for memory, and the cache is empty."""
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    monkeypatch.setenv("VISIONLIB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def fill_with_seven(images: Pixels) -> None:
    images[:] = 7


def test_what_is_too_large_is_built_once_and_mapped_from_then_on(no_memory: Path) -> None:
    first = build_images(SHAPE, fill_with_seven, lambda: "a")

    def refuse(images: Pixels) -> None:
        raise AssertionError("built again")

    second = build_images(SHAPE, refuse, lambda: "a")
    assert torch.equal(first, second)
    assert first.flatten()[0] == 7
    assert len(list((no_memory / "decoded").iterdir())) == 1


@pytest.mark.parametrize("damage", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_what_was_damaged_since_is_built_again(no_memory: Path, damage: bytes) -> None:
    build_images(SHAPE, fill_with_seven, lambda: "a")
    (file,) = (no_memory / "decoded").iterdir()
    file.write_bytes(damage)
    assert build_images(SHAPE, fill_with_seven, lambda: "a").flatten()[-1] == 7


def test_a_flipped_bit_of_a_pixel_is_noticed(no_memory: Path) -> None:
    build_images(SHAPE, fill_with_seven, lambda: "a")
    (file,) = (no_memory / "decoded").iterdir()
    content = bytearray(file.read_bytes())
    content[content.index(bytes([7] * 48)) + 20] ^= 0b100
    file.write_bytes(content)
    assert set(build_images(SHAPE, fill_with_seven, lambda: "a").flatten().tolist()) == {7}
    assert np.load(file).min() == 7


def test_writing_to_the_tensor_leaves_the_file_as_it_is() -> None:
    build_images(SHAPE, fill_with_seven, lambda: "a").fill_(1)
    assert build_images(SHAPE, fill_with_seven, lambda: "a").flatten()[0] == 7


def test_other_sources_or_shapes_have_other_files(no_memory: Path) -> None:
    build_images(SHAPE, fill_with_seven, lambda: "a")
    build_images(SHAPE, fill_with_seven, lambda: "b")
    build_images((3, 1, 2, 8), fill_with_seven, lambda: "a")
    assert len(list((no_memory / "decoded").iterdir())) == 3


def test_a_build_that_is_interrupted_leaves_nothing(no_memory: Path) -> None:
    def stop(images: Pixels) -> None:
        images[0] = 7
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_images(SHAPE, stop, lambda: "a")
    assert list((no_memory / "decoded").iterdir()) == []
    assert build_images(SHAPE, fill_with_seven, lambda: "a").flatten()[-1] == 7


def test_two_builders_at_once_both_end_well() -> None:
    """The second starts and ends while the first is still at it."""
    inner: list[torch.Tensor] = []

    def fill_while_another_does(images: Pixels) -> None:
        images[:] = 7
        inner.append(build_images(SHAPE, fill_with_seven, lambda: "a"))

    outer = build_images(SHAPE, fill_while_another_does, lambda: "a")
    assert torch.equal(outer, inner[0])


def test_what_fits_stays_in_memory(no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0.5")
    assert build_images(SHAPE, fill_with_seven, lambda: "a").shape == SHAPE
    assert not no_memory.exists()
    assert memory_limit() > 100 * np.prod(SHAPE)


@pytest.mark.parametrize("value", ["half", "2", "-0.1", "nan"])
def test_an_invalid_fraction_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", value)
    with pytest.raises(ConfigError, match=f"VISIONLIB_MEMORY_FRACTION: '{value}' is not a fraction of the memory"):
        memory_limit()


def test_a_dataset_out_of_the_cache_is_the_same_and_follows_its_files(tmp_path: Path, no_memory: Path) -> None:
    splits = {"train": containers.draw_noise(3, 2, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    folder = containers.write_folder(splits, tmp_path / "pictures", kinds=("PNG",))
    expected = [splits[name].content_hash for name in ("train", "test")]
    for _ in range(2):
        dataset = load_dataset(folder)
        assert [dataset.train.content_hash, dataset.test.content_hash] == expected
    assert len(list((no_memory / "decoded").iterdir())) == 1
    changed = folder / "train" / "airplane" / "00000.png"
    changed.write_bytes(containers.encode(splits["test"].images[0]))
    assert load_dataset(folder).train.content_hash != expected[0]


def test_a_subset_that_is_too_large_is_mapped(no_memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split = load_dataset("shapes").train
    positions = torch.arange(9_999, -1, -2)
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "1")
    expected = split.subset(positions)
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0")
    before = set(no_memory.rglob("*.npy"))
    found = split.subset(positions)
    (made,) = set(no_memory.rglob("*.npy")) - before
    assert np.load(made).nbytes == found.images.nbytes
    assert torch.equal(found.images, expected.images)
    assert found.content_hash == expected.content_hash
    assert not torch.equal(split.subset(positions.flip(0)).images, found.images)  # another order is another file
    assert len(split.subset(torch.zeros(0, dtype=torch.int64))) == 0


def write_groups(folder: Path, membership: str, limits: dict[str, str]) -> tuple[Path, Path]:
    (folder / "membership").write_text(membership)
    for name, content in limits.items():
        place = folder / "groups" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return folder / "membership", folder / "groups"


@pytest.mark.parametrize(
    ("membership", "limits", "least"),
    [
        ("0::/", {"memory.max": "5000\n"}, 5000),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "7000\n"}, 7000),
        ("0::/a/b\n", {"a/b/memory.max": "3000\n", "a/memory.max": "7000\n", "memory.max": "9000"}, 3000),
        ("0::/of/the/host\n", {"memory.max": "4000"}, 4000),  # in a container the path may be that of the host
        ("4:cpu,memory:/x\n3:cpuset:/\n", {"memory/x/memory.limit_in_bytes": "6000"}, 6000),
        ("3:cpuset:/y\n", {"memory/y/memory.limit_in_bytes": "6000"}, None),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("", {}, None),
    ],
)
def test_a_containers_limit_is_its_memory(
    membership: str, limits: dict[str, str], least: int | None, tmp_path: Path
) -> None:
    found = cache._list_limits(*write_groups(tmp_path, membership, limits))
    assert min(found) == (least or min(cache._list_limits(tmp_path / "absent")))


def test_the_limit_of_a_process_is_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    resource = pytest.importorskip("resource")
    monkeypatch.setenv("VISIONLIB_MEMORY_FRACTION", "0.5")
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2**20, -1) if kind == resource.RLIMIT_DATA else (-1, -1))
    assert memory_limit() == 2**19
