"""The same pictures give the same tensors and the same content hash, whatever the container."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.data import containers
from visionlib.data import Dataset, ImageSplit, load_dataset, load_shapes
from visionlib.errors import ConfigError, DataError

COLOUR_CONTAINERS: dict[str, Callable[[containers.Splits, Path], Path]] = {
    "binary folder": containers.write_cifar_binary,
    "binary archive": lambda s, p: containers.pack(containers.write_cifar_binary(s, p), p / "small-binary.tar.gz"),
    "python folder": containers.write_cifar_python,
    "python archive": lambda s, p: containers.pack(containers.write_cifar_python(s, p), p / "small-python.tar.gz"),
    "python 3 folder": lambda s, p: containers.write_cifar_python(s, p, protocol=5),
    "cifar-100 binary folder": containers.write_cifar100_binary,
    "cifar-100 python folder": containers.write_cifar100_python,
    "parquet": lambda s, p: containers.write_parquet(s, p / "hub"),
    "parquet of plain bytes": lambda s, p: containers.write_parquet(s, p / "hub", is_struct=False),
    "image folder": lambda s, p: containers.write_folder(s, p / "pictures"),
}
GRAYSCALE_CONTAINERS: dict[str, Callable[[containers.Splits, Path], Path]] = {
    "idx": lambda s, p: containers.write_idx(s, p / "idx"),
    "idx packed": lambda s, p: containers.write_idx(s, p / "idx", is_packed=True),
    "parquet": lambda s, p: containers.write_parquet(s, p / "hub"),
    "image folder": lambda s, p: containers.write_folder(s, p / "pictures", kinds=("PNG", "BMP")),
}


def check_same(dataset: Dataset, splits: containers.Splits) -> None:
    assert list(dataset.splits) == ["train", "test"] or sorted(dataset.splits) == ["test", "train"]
    for name, expected in splits.items():
        split = dataset.split(name)
        assert torch.equal(split.images, expected.images)
        assert split.images.is_contiguous()
        assert torch.equal(split.labels, expected.labels)
        assert torch.equal(split.index, torch.arange(len(expected)))
        assert split.content_hash == expected.content_hash
    assert dataset.content_hash == Dataset("expected", splits, ()).content_hash
    assert dataset.warnings == ()


@pytest.mark.parametrize("container", COLOUR_CONTAINERS)
def test_colour_pictures_are_the_same_from_every_container(container: str, tmp_path: Path) -> None:
    splits = {"train": containers.draw_noise(3, 2, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    dataset = load_dataset(COLOUR_CONTAINERS[container](splits, tmp_path))
    check_same(dataset, splits)
    assert dataset.classes == containers.CIFAR10_CLASSES


@pytest.mark.parametrize("container", GRAYSCALE_CONTAINERS)
def test_grayscale_pictures_are_the_same_from_every_container(container: str, tmp_path: Path) -> None:
    splits = {"train": containers.draw_noise(1, 2, seed=1), "test": containers.draw_noise(1, 1, seed=2)}
    dataset = load_dataset(GRAYSCALE_CONTAINERS[container](splits, tmp_path))
    check_same(dataset, splits)
    names = containers.CIFAR10_CLASSES if "idx" not in container else tuple("0123456789")
    assert dataset.classes == names


def test_a_source_without_test_split_is_parted_by_seed_and_says_so(tmp_path: Path) -> None:
    whole = containers.draw_noise(3, 20, seed=1)
    folder = containers.write_folder({"train": whole}, tmp_path / "pictures", kinds=("PNG",))
    dataset = load_dataset(folder, holdout_fraction=0.1, seed=3)
    assert (len(dataset.train), len(dataset.test)) == (180, 20)
    assert set(dataset.test.per_class.values()) == {2}
    assert sorted(dataset.train.index.tolist() + dataset.test.index.tolist()) == list(range(200))
    assert torch.equal(dataset.test.images, whole.images[dataset.test.index])
    assert "there is no test split: 20 of 200 images" in dataset.warnings[0]
    assert load_dataset(folder, seed=3).content_hash == dataset.content_hash
    assert load_dataset(folder, seed=4).content_hash != dataset.content_hash
    assert load_dataset(folder, **dataset.options).content_hash == dataset.content_hash


def test_names_win_over_folders_unless_written_as_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    containers.write_folder({"train": containers.draw_noise(3, 2, seed=1)}, tmp_path / "shapes")
    assert load_dataset("./shapes").classes == containers.CIFAR10_CLASSES
    assert load_dataset(Path("shapes")).classes == containers.CIFAR10_CLASSES
    assert "circle" in load_dataset("shapes", image_size=16).classes


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CIFAR10", "cifar10"),
        ("CIFAR-10", "cifar10"),
        ("cifar-100", "cifar100"),
        ("Cifar_100", "cifar100"),
        ("FashionMNIST", "fashion-mnist"),
        ("Fashion-MNIST", "fashion-mnist"),
        ("Shapes", "shapes"),
    ],
)
def test_names_are_known_in_any_case_and_with_any_hyphens(
    written: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    called = []

    def load(image_size: int | None, download: bool) -> Dataset:
        called.append((image_size, download))
        return load_shapes(n_train=20, n_test=10, image_size=16)

    monkeypatch.setattr("visionlib.data.load.NAMES", {name: load})
    load_dataset(written, download=False)
    assert called == [(None, False)]
    containers.write_folder({"train": containers.draw_noise(3, 2, seed=1)}, tmp_path / written)
    if written != name:  # a path that exists is what its spelling says
        assert load_dataset(written).classes == containers.CIFAR10_CLASSES


def test_what_is_no_dataset_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-1: is no dataset that is known by name, .* did you mean 'cifar10'"):
        load_dataset("cifar-1")
    with pytest.raises(DataError, match="known names are: shapes, cifar10, cifar100, fashion-mnist"):
        load_dataset("zzzzzz")
    with pytest.raises(DataError, match="holds no dataset that visionlib can read"):
        load_dataset(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"notes\.txt: holds no dataset"):
        load_dataset(tmp_path / "notes.txt")


@pytest.mark.parametrize("name", ["", "a" * 5000, "a\0b"])
def test_what_cannot_be_a_path_is_told(name: str) -> None:
    with pytest.raises(DataError, match="is no dataset that is known by name"):
        load_dataset(name)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_to_hold_out_that_is_none_is_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match=r"holdout_fraction: .* is out of range; set it above 0 and below 1"):
        load_dataset("shapes", holdout_fraction=fraction)


@pytest.mark.parametrize("kind", ["binary", "parquet"])
def test_a_train_split_without_images_is_refused(tmp_path: Path, kind: str) -> None:
    empty = containers.draw_noise(3, 1, seed=1).subset(torch.tensor([], dtype=torch.int64))
    splits = {"train": empty, "test": containers.draw_noise(3, 1, seed=1)}
    write = containers.write_cifar_binary if kind == "binary" else containers.write_parquet
    with pytest.raises(DataError, match="holds no"):
        load_dataset(write(splits, tmp_path / "home"))


def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder behind a closed door; root may open every door, so the system's word is put into its mouth."""
    containers.write_folder({"train": containers.draw_noise(3, 2, seed=1)}, tmp_path)

    def refuse(folder: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("visionlib.data.folder._list_folders", refuse)
    with pytest.raises(DataError, match=r"cannot be read or written \(Permission denied\); see to it, and try again"):
        load_dataset(tmp_path)


def test_an_image_size_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    splits = {"train": containers.draw_noise(3, 1, seed=1), "test": containers.draw_noise(3, 1, seed=2)}
    folder = containers.write_cifar_binary(splits, tmp_path)
    with pytest.raises(ConfigError, match="has images of 32 x 32 pixels; leave --image-size out"):
        load_dataset(folder, image_size=48)
    with pytest.raises(ConfigError, match="image_size: 0 is out of range"):
        load_dataset(folder, image_size=0)


def test_splits_of_different_sizes_are_refused(tmp_path: Path) -> None:
    train = containers.draw_noise(3, 1, seed=1)
    test = ImageSplit(train.images[:, :, :24, :24], train.labels, train.classes, train.index)
    folder = containers.write_parquet({"train": train, "test": test}, tmp_path / "hub")
    with pytest.raises(DataError, match=r"its splits have images of different sizes .*; give one --image-size"):
        load_dataset(folder)
    assert load_dataset(folder, image_size=24).train.image_size == (24, 24)


def test_the_real_cifar10_copy(project_root: Path) -> None:
    folder = project_root / ".." / "shared" / "data" / "cifar10-jpeg"
    if not folder.is_dir():
        pytest.skip(f"real CIFAR-10 is not at {folder}")
    dataset = load_dataset(folder / "test-00000-of-00001.parquet")
    assert dataset.classes == containers.CIFAR10_CLASSES
    assert list(dataset.splits) == ["test"]
    assert set(dataset.test.per_class.values()) == {1000}
    # The copy went through JPEG: the official images have 0.494, 0.485, 0.450.
    assert dataset.test.mean == pytest.approx((0.494, 0.485, 0.450), abs=2e-3)


def test_the_real_fashion_mnist() -> None:
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's package dataset-fashion-mnist is not installed")
    dataset = load_dataset("fashion-mnist")
    assert (len(dataset.train), len(dataset.test)) == (60_000, 10_000)
    assert set(dataset.test.per_class.values()) == {1000}
    # Xiao et al. 2017 and everyone since normalizes by these.
    assert dataset.train.mean == pytest.approx((0.2860,), abs=1e-4)
    assert dataset.train.std == pytest.approx((0.3530,), abs=1e-4)
