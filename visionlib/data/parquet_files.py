"""Which parquet files belong to a dataset, and to which split of it."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PurePath
from typing import TypeVar

from visionlib.data.folder_layout import list_folders
from visionlib.data.split_names import SPLIT_WORDS, splits_in
from visionlib.errors import DataError

MOST_FOLDERS = 2
"""Folders between a dataset and its files, as in `default/train`."""

File = TypeVar("File")


def list_parquet_files(source: Path) -> list[Path]:
    """Return the file itself, or the parquet files of a folder: in it, or in its folders down to `default/train`."""
    if source.is_file():
        return [source] if source.suffix == ".parquet" else []
    return _list_files(source, MOST_FOLDERS)


def _list_files(folder: Path, depth: int) -> list[Path]:
    # Opening a named pipe would block.
    files = sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))
    if depth:
        files += [path for below in list_folders(folder) for path in _list_files(below, depth - 1)]
    return files


def group_by_split(source: object, files: Mapping[PurePath, File]) -> tuple[dict[str, list[File]], list[str]]:
    """Assign each file to a split, by the hub's rule: a word for a split in the name of its folder or of the file.

    Args:
        source: what the user named, for messages; its own name and those above it do not count for a folder.
        files: by their paths within it; a file that was named itself by its name.
    Returns:
        Split -> files, and warnings that tell the reading of names that do not begin with their split.
    Raises:
        DataError: if names tell two splits of a file, or none of some files only, or there are several configurations.
    """
    _check_one_configuration(source, files)
    groups: dict[str, list[PurePath]] = {}
    unnamed: list[PurePath] = []
    for path in files:
        names = set.union(*map(splits_in, path.parts))
        if len(names) > 1:
            problem = f"tells two splits by its name, {' and '.join(sorted(names))}"
            raise DataError(files[path], problem, "rename it")
        if names:
            groups.setdefault(names.pop(), []).append(path)
        else:
            unnamed.append(path)
    if unnamed and groups:
        named = next(iter(groups.values()))[0]
        problem = f"tells no split by its name, and {named.name} does"
        raise DataError(files[unnamed[0]], problem, "put train or test into it")
    if unnamed:
        is_told = len(files) > 1
        told = [f"{source}: all {len(files)} files were taken as train: no name tells a split"] if is_told else []
        return {"train": list(files.values())}, told
    found = {split: [files[path] for path in paths] for split, paths in groups.items()}
    if all(path.name.startswith(tuple(SPLIT_WORDS)) for path in files):
        return found, []
    told_splits = ", ".join(
        f"{split} from {paths[0].as_posix()}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
        for split, paths in groups.items()
    )
    return found, [f"{source}: splits were taken by the names of files and folders: {told_splits}"]


def _check_one_configuration(source: object, files: Iterable[PurePath]) -> None:
    """Refuse a dataset of the hub with several configurations, each in its own folder."""
    folders = {tuple(part for part in path.parts[:-1] if not splits_in(part)) for path in files}
    if len(folders) > 1:
        names = ", ".join(sorted("/".join(parts) or "the folder itself" for parts in folders))
        raise DataError(
            source,
            f"holds no dataset that visionlib can read as one: parquet files are in {names}",
            "give the path of one of them",
        )
