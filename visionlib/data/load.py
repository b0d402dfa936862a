"""`load_dataset`: load a `Dataset` by name or from a path, in any container, or from arrays in memory."""

import dataclasses
import difflib
import glob
import os
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from visionlib.data.arrays import read_arrays
from visionlib.data.cifar import is_cifar_folder, load_cifar
from visionlib.data.dataset import Dataset, ImageSplit
from visionlib.data.decode import Resize
from visionlib.data.description import describe_imbalance
from visionlib.data.download import OFFICIAL, find_official, search_folders
from visionlib.data.folder import is_image_folder, load_folder
from visionlib.data.holdout import hold_out
from visionlib.data.idx import FASHION_MNIST_CLASSES, is_idx_folder, load_idx
from visionlib.data.parquet import is_parquet, load_parquet
from visionlib.data.parquet_files import list_parquet_files
from visionlib.data.shapes import load_shapes
from visionlib.data.shard_files import find_shards, is_pattern, is_url, local_shards
from visionlib.data.shards import is_large, load_shards
from visionlib.data.streaming import stream_shards
from visionlib.errors import ConfigError, DataError

_ARCHIVE_SUFFIXES = (".tar.gz", ".tgz", ".tar")
_FASHION_MNIST_FOLDERS = ("fashion-mnist", "FashionMNIST/raw")
_DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")


def load_dataset(
    name_or_path: str | os.PathLike[str] | tuple[Any, ...],
    *,
    image_size: int | None = None,
    holdout_fraction: float = 0.1,
    seed: int = 0,
    download: bool = True,
    skip_broken: bool = False,
    resize: Resize | None = None,
    stream: bool = False,
) -> Dataset:
    """Load a dataset by name or from a path.

    Args:
        name_or_path: `shapes`, `cifar10`, `cifar100` or `fashion-mnist`, as written here, or in another case or with
            other hyphens if that is no path; or a path (write `./cifar10` for a folder of that name): an image folder,
            a parquet file or folder, an official CIFAR archive or its unpacked folder, a folder of IDX files; or
            parquet at a URL that `fsspec` opens, or by a pattern, as `s3://bucket/set/train-*.parquet`; or a tuple of
            images and labels, or of both for training and both for testing, see `Dataset.from_arrays`.
        image_size: side to resize pictures to, in pixels; by default they keep a common size. Sets of fixed size refuse
            another.
        holdout_fraction: fraction of each class that becomes the test split of a source without one.
        seed: decides which images.
        download: fetch an official archive that is not on this machine.
        skip_broken: leave out pictures that cannot be read, and name them in the warnings, instead of an error.
        resize: how pictures that must be resized become squares: `crop`, the default, takes the largest centred square;
            `whole` takes all of a picture, and changes its aspect ratio. Sets of fixed size refuse it.
        stream: return before parquet shards are decoded: reading pixels then waits for those that they are in, see
            `StreamedSplit`.
    Returns:
        Splits `train` and `test`, and `validation` if the source has one; warnings report how they were made.
    Raises:
        DataError: if there is no such dataset, or it is damaged, or it cannot be fetched.
        ConfigError: if `image_size` is below 1, or does not fit a set of fixed size, or `holdout_fraction` is not
            between 0 and 1, or there is no such `resize`.
    """
    if resize is not None and resize not in get_args(Resize):
        raise ConfigError("resize", f"{resize!r} is no way to resize", f"take one of: {', '.join(get_args(Resize))}")
    if image_size is not None and image_size < 1:
        raise ConfigError("image_size", f"{image_size} is out of range", "it must be at least 1 pixel")
    if isinstance(name_or_path, tuple):
        if len(name_or_path) not in (2, 4):
            problem = f"there are {len(name_or_path)} items"
            raise ConfigError("arrays", problem, "pass (images, labels), or four for training and test")
        if image_size is not None or resize is not None:
            raise ConfigError("arrays", "they are not resized", "leave image_size and resize out, or resize them first")
        return load_arrays(*name_or_path, holdout_fraction=holdout_fraction, seed=seed)
    _check_fraction(holdout_fraction)
    name = os.fspath(name_or_path)
    known = None if isinstance(name_or_path, os.PathLike) else _find_name(name)
    if resize is not None and known:
        raise _no_resizing(known)
    if stream:
        dataset = _stream_path(name, image_size, resize or "crop", skip_broken=skip_broken, is_path=known is None)
    else:
        dataset = NAMES[known](image_size, download) if known else _load_path(name, image_size, skip_broken, resize)
    _check_classes(dataset)
    dataset = _with_test_split(dataset, holdout_fraction, seed)
    _check_size(dataset, image_size)
    if resize is not None and not stream and next(iter(dataset.splits.values())).originals is None:
        raise _no_resizing(dataset.name)
    options: dict[str, Any] = {"image_size": image_size, "holdout_fraction": holdout_fraction, "seed": seed}
    options |= {"skip_broken": True} if skip_broken else {}
    options |= {"stream": True} if stream else {}
    options |= {"resize": resize} if resize == "whole" else {}
    return _with_imbalance(dataclasses.replace(dataset, options=options))


def load_arrays(
    train_images: object,
    train_labels: object,
    test_images: object = None,
    test_labels: object = None,
    *,
    holdout_fraction: float = 0.1,
    seed: int = 0,
    **reading: Any,
) -> Dataset:
    """Make a dataset of arrays in memory; `Dataset.from_arrays` describes the arguments."""
    _check_fraction(holdout_fraction)
    dataset = read_arrays(train_images, train_labels, test_images, test_labels, **reading)
    _check_classes(dataset)
    dataset = _with_test_split(dataset, holdout_fraction, seed)
    return _with_imbalance(dataclasses.replace(dataset, options={"holdout_fraction": holdout_fraction, "seed": seed}))


def _load_shapes(image_size: int | None, download: bool) -> Dataset:
    return load_shapes(image_size=image_size or 32)


def _load_official(name: str) -> Callable[[int | None, bool], Dataset]:
    return lambda image_size, download: load_cifar(find_official(OFFICIAL[name], download=download), name)


def _load_fashion_mnist(image_size: int | None, download: bool) -> Dataset:
    folders = [folder / name for folder in search_folders() for name in _FASHION_MNIST_FOLDERS]
    for folder in [*folders, _DEBIAN_FASHION_MNIST]:
        if folder.is_dir() and is_idx_folder(folder):
            return load_idx(folder, "fashion-mnist", FASHION_MNIST_CLASSES)
    raise DataError(
        "fashion-mnist",
        "its four IDX files are not on this machine",
        f"get them from https://github.com/zalandoresearch/fashion-mnist into {folders[0].resolve()}, "
        "or install Debian's package dataset-fashion-mnist",
    )


NAMES: Mapping[str, Callable[[int | None, bool], Dataset]] = MappingProxyType(
    {
        "shapes": _load_shapes,
        "cifar10": _load_official("cifar10"),
        "cifar100": _load_official("cifar100"),
        "fashion-mnist": _load_fashion_mnist,
    }
)
"""Datasets by name -> loader, called with the image size and whether to download."""


def _find_name(name: str) -> str | None:
    """Return the known name that is meant; another spelling than ours is a path if it exists."""
    if name in NAMES:
        return name
    meant = {_without_hyphens(known): known for known in NAMES}.get(_without_hyphens(name))
    return None if meant is None or _exists(Path(name)) else meant


def _without_hyphens(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


def _stream_path(name: str, image_size: int | None, resize: Resize, *, skip_broken: bool, is_path: bool) -> Dataset:
    path = Path(name)
    is_local = is_path and not is_url(name) and _exists(path)
    if not is_path or (is_local and not is_parquet(path)):
        raise ConfigError("stream_shards", f"{name} is no set of parquet shards", "leave it out")
    if skip_broken:
        raise ConfigError("stream_shards", "broken pictures are found too late to leave them out", "leave one out")
    if not is_local and not is_url(name) and not is_pattern(name):
        return _load_path(name, image_size, skip_broken, resize)  # which says that there is none
    files = local_shards(path, list_parquet_files(path)) if is_local else find_shards(name)
    return _assemble(name, *stream_shards(name, files, image_size, resize))


def _load_path(name: str, image_size: int | None, skip_broken: bool, resize: Resize | None) -> Dataset:
    path = Path(name)
    if is_url(name) or (is_pattern(name) and not _exists(path)):
        return _assemble(name, *load_shards(name, find_shards(name), image_size, skip_broken, resize or "crop"))
    if not name or not _exists(path):
        close = difflib.get_close_matches(name, NAMES, n=1)
        hint = f"{f'did you mean {close[0]!r}? ' if close else ''}known names are: {', '.join(NAMES)}"
        problem = f"is no dataset that is known by name, and there is no {path.absolute()}"
        raise DataError(name or "''", problem, hint, is_usage=True)
    try:
        return _read_path(path, name, image_size, skip_broken, resize or "crop")
    except OSError as error:
        # Permissions, full disks, vanished files: reported here wherever they occur.
        where = error.filename or path
        raise DataError(where, f"cannot be read or written ({error.strerror})", "see to it, and try again") from error


def _read_path(path: Path, name: str, image_size: int | None, skip_broken: bool, resize: Resize) -> Dataset:
    """Detect the container by its files, and read it."""
    if path.is_file() and path.name.endswith(_ARCHIVE_SUFFIXES):
        return load_cifar(path, name)
    if is_parquet(path):
        if is_large(shards := local_shards(path, list_parquet_files(path)), image_size):
            return _assemble(name, *load_shards(name, shards, image_size, skip_broken, resize))
        return _assemble(name, *load_parquet(path, image_size, skip_broken=skip_broken, resize=resize))
    if path.is_dir():
        if is_cifar_folder(path):
            return load_cifar(path, name)
        if is_idx_folder(path):
            return load_idx(path, name)
        if is_image_folder(path):
            return _assemble(name, *load_folder(path, image_size, skip_broken=skip_broken, resize=resize))
    raise DataError(
        path,
        "holds no dataset that visionlib can read",
        "it reads image folders (train/CLASS/*.png), parquet, CIFAR archives or folders, and IDX folders",
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long a path, or no permission
        return False


def _assemble(name: str, splits: dict[str, ImageSplit], warnings: list[str]) -> Dataset:
    return Dataset(name, splits, next(iter(splits.values())).classes, tuple(dict.fromkeys(warnings)))


def _check_classes(dataset: Dataset) -> None:
    """Refuse two classes of one name, and an empty training split."""
    name, count = Counter(dataset.classes).most_common(1)[0]
    if count > 1:
        raise DataError(dataset.name, f"has {count} classes called {name!r}", "give every class a name of its own")
    if "train" in dataset.splits and not len(dataset.train):
        raise DataError(dataset.name, "its train split holds no image", "get it again")


def _with_test_split(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Hold a test split out of train where the source has none, with a warning."""
    if "test" in dataset.splits:
        return dataset
    train, test = hold_out(dataset.train, fraction, seed)
    warning = (
        f"there is no test split: {len(test):,} of {len(dataset.train):,} images, {fraction:.0%} of each class, "
        f"were held out by seed {seed}"
    )
    splits = {**dataset.splits, "train": train, "test": test}
    return dataclasses.replace(dataset, splits=splits, warnings=(*dataset.warnings, warning))


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 1:
        raise ConfigError("holdout_fraction", f"{fraction} is out of range", "set it above 0 and below 1")


def _no_resizing(name: str) -> ConfigError:
    return ConfigError("resize", f"the images of {name} have one size", "leave --resize out")


def _with_imbalance(dataset: Dataset) -> Dataset:
    """Add a warning where one training class has many times the images of another."""
    imbalance = describe_imbalance(dataset.train) if "train" in dataset.splits else ""
    return dataclasses.replace(dataset, warnings=(*dataset.warnings, imbalance)) if imbalance else dataset


def is_known(name: str) -> bool:
    """Whether a dataset of this name can be loaded, or a path of this name exists."""
    return _find_name(name) is not None or locate_dataset(name) is not None


def locate_dataset(name: str) -> str | None:
    """Return where a dataset lies, for a record: its URL, or its absolute path or pattern; None without one."""
    path = Path(name)
    if is_url(name):
        return name
    if _exists(path):
        return str(path.resolve())
    return str(path.absolute()) if is_pattern(name) and glob.glob(name) else None  # noqa: PTH207


def _check_size(dataset: Dataset, image_size: int | None) -> None:
    sizes = {split.image_size for split in dataset.splits.values()}
    if image_size is not None and sizes != {(image_size, image_size)}:
        height, width = next(iter(sizes))
        raise ConfigError(
            "image_size", f"{dataset.name} has images of {width} x {height} pixels", "leave --image-size out"
        )
    if len(sizes) > 1:
        shown = ", ".join(f"{name} {split.image_size}" for name, split in dataset.splits.items())
        raise DataError(dataset.name, f"its splits have images of different sizes ({shown})", "give one --image-size")
