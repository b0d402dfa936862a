"""Which parquet files belong to a dataset, and to which split of it."""

from pathlib import Path

from visionlib.data.folder_layout import list_folders
from visionlib.data.split_names import SPLIT_WORDS, splits_in
from visionlib.errors import DataError

_MOST_FOLDERS = 2


def list_parquet_files(source: Path) -> list[Path]:
    """Return the file itself, or the parquet files of a folder: in it, or in its folders down to `default/train`."""
    if source.is_file():
        return [source] if source.suffix == ".parquet" else []
    return _list_files(source, _MOST_FOLDERS)


def _list_files(folder: Path, depth: int) -> list[Path]:
    # Opening a named pipe would block.
    files = sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))
    if depth:
        files += [path for below in list_folders(folder) for path in _list_files(below, depth - 1)]
    return files


def group_by_split(source: Path, files: list[Path]) -> tuple[dict[str, list[Path]], list[str]]:
    """Assign each file to a split, by the hub's rule: a word for a split in the name of its folder or of the file.

    Args:
        source: the file or folder that the user named; its own name and those above it do not count for a folder.
        files: what `list_parquet_files` found in it.
    Returns:
        Split -> files, and warnings that tell the reading of names that do not begin with their split.
    Raises:
        DataError: if names tell two splits of a file, or none of some files only, or there are several configurations.
    """
    _check_one_configuration(source, files)
    groups: dict[str, list[Path]] = {}
    unnamed: list[Path] = []
    for path in files:
        names = set.union(*(splits_in(part) for part in _parts(source, path)))
        if len(names) > 1:
            raise DataError(path, f"tells two splits by its name, {' and '.join(sorted(names))}", "rename it")
        if names:
            groups.setdefault(names.pop(), []).append(path)
        else:
            unnamed.append(path)
    if unnamed and groups:
        named = next(iter(groups.values()))[0]
        raise DataError(unnamed[0], f"tells no split by its name, and {named.name} does", "put train or test into it")
    if unnamed:
        is_told = len(files) > 1
        told = [f"{source}: all {len(files)} files were taken as train: no name tells a split"] if is_told else []
        return {"train": unnamed}, told
    if all(path.name.startswith(tuple(SPLIT_WORDS)) for path in files):
        return groups, []
    told_splits = ", ".join(
        f"{split} from {'/'.join(_parts(source, paths[0]))}" + (f" and {len(paths) - 1} more" if paths[1:] else "")
        for split, paths in groups.items()
    )
    return groups, [f"{source}: splits were taken by the names of files and folders: {told_splits}"]


def _check_one_configuration(source: Path, files: list[Path]) -> None:
    """Refuse a dataset of the hub with several configurations, each in its own folder."""
    folders = {tuple(part for part in _parts(source, path)[:-1] if not splits_in(part)) for path in files}
    if len(folders) > 1:
        names = ", ".join(sorted("/".join(parts) or "the folder itself" for parts in folders))
        raise DataError(
            source,
            f"holds no dataset that visionlib can read as one: parquet files are in {names}",
            "give the path of one of them",
        )


def _parts(source: Path, path: Path) -> tuple[str, ...]:
    return path.relative_to(source).parts or (path.name,)
