"""How a folder of pictures is divided: which of its folders are splits, and which are classes.

A split holds class folders, and a class holds pictures. So a folder is a split if its name says so and its pictures lie
in folders below it; `train` among `car` and `ship` is a class. A reading that is not the usual one is told. One that
could be another is refused, with a request.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visionlib.data.split_names import SPLIT_WORDS, splits_in
from visionlib.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
_WRAPPERS = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "data"})
"""Names of folders that may stand between a split and its classes."""
_USUAL = frozenset({"train", "test", "validation", "valid", "val"})
_MOST_WRAPPERS = 2


@dataclass(frozen=True)
class FolderLayout:
    """The reading of a folder of pictures.

    Attributes:
        homes: the folder that holds the class folders of each split.
        warnings: sentences that tell a reading that is not the usual one, and what was left out.
    """

    homes: dict[str, Path]
    warnings: list[str]


def find_layout(source: Path) -> FolderLayout:
    """Tell splits from classes.

    Raises:
        DataError: if the folders can be read in two ways, or pictures have no class folders, or no split is for
            training.
    """
    folder = _unwrap(source)
    entries = [entry for entry in list_folders(folder) if list_folders(entry) or _holds_pictures(entry)]
    splits = [entry for entry in entries if _is_split(entry)]
    others = [entry for entry in entries if entry not in splits and _has_picture(entry)]
    flat = [entry for entry in others if entry.name.lower() in SPLIT_WORDS]
    if not splits:
        return _read_classes(source, folder, others, flat)
    homes = _name_splits(folder, splits)
    if "train" not in homes:
        names = ", ".join(entry.name for entry in splits)
        raise DataError(folder, f"has {names}, and no folder to train on", "call one train")
    unnamed = [entry.name for entry in others if entry not in flat]
    if unnamed and len(homes) == 1:
        raise DataError(
            folder,
            f"has {homes['train'].name}, which looks like a split, beside {_listed(unnamed)}",
            "move the other splits' pictures into test, what does not belong elsewhere, or the classes into train",
        )
    homes = {split: _unwrap_split(home) for split, home in homes.items()}
    warnings = _tell_splits(source, homes)
    for entry in others:
        why = "its pictures are in no class folder" if entry in flat else "its name tells no split"
        warnings.append(f"{entry} was left out: {why}")
    return FolderLayout(homes, warnings)


def list_folders(folder: Path) -> list[Path]:
    """List the folders in a folder, links included, without hidden ones, sorted by name."""
    return sorted(Path(entry.path) for entry in _scan(folder) if _resolve(entry).is_dir())


def walk_files(folder: Path) -> Iterator[Path]:
    """Yield the files at any depth, without hidden ones, also those in linked folders; each real folder once."""
    return (path for path, is_file in _walk(folder) if is_file)


def find_unreadable(folder: Path) -> list[Path]:
    """Find entries with the name of a picture that are no files: pipes, sockets, links to nothing or to themselves."""
    return sorted(path for path, is_file in _walk(folder) if not is_file and path.suffix.lower() in SUFFIXES)


def _walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield what is no folder, and whether it is a file."""
    pending, linked, seen = [folder], list[Path](), set[Path]()
    while pending or linked:
        # Links come last, so that pictures keep the path without a link; a link to a folder above ends there.
        current = pending.pop() if pending else linked.pop(0)
        if (real := current.resolve()) in seen:
            continue
        seen.add(real)
        for entry in sorted(_scan(current), key=lambda entry: entry.name):
            if _resolve(entry).is_dir():
                (linked if entry.is_symlink() else pending).append(Path(entry.path))
            else:
                yield Path(entry.path), _resolve(entry).is_file()


def _scan(folder: Path) -> list["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        return [entry for entry in entries if not entry.name.startswith(".")]


def _resolve(entry: "os.DirEntry[str]") -> "os.DirEntry[str] | Path":
    """Return what can be asked for its kind: of a link to itself an entry raises, and a path says it is neither."""
    return Path(entry.path) if entry.is_symlink() else entry


def _is_split(entry: Path) -> bool:
    """Whether a folder is named as a split and its pictures lie in folders; a `train` without any picture counts."""
    if not splits_in(entry.name) or not list_folders(entry):
        return False
    if _holds_pictures(entry):
        return entry.name.lower() in SPLIT_WORDS and any(map(_has_picture, list_folders(entry)))
    return entry.name.lower() in SPLIT_WORDS or _has_picture(entry)


def _name_splits(folder: Path, entries: list[Path]) -> dict[str, Path]:
    homes: dict[str, Path] = {}
    for entry in entries:
        names = splits_in(entry.name)
        if len(names) > 1:
            raise DataError(entry, f"tells two splits by its name, {' and '.join(sorted(names))}", "rename it")
        (split,) = names
        if split in homes:
            both = f"{homes[split].name} and {entry.name}"
            raise DataError(folder, f"has two folders for {split}, {both}", "join them, or rename one")
        homes[split] = entry
    return homes


def _read_classes(source: Path, folder: Path, classes: list[Path], flat: list[Path]) -> FolderLayout:
    """Take the folders as classes of one split, unless they look like splits."""
    names = [entry.name for entry in classes]
    if flat and len(flat) == len(classes):
        raise DataError(
            folder, f"has pictures in {_listed(names)} without class folders", "put them into one per class"
        )
    nested = [{below.name for below in list_folders(entry)} for entry in classes if not _holds_pictures(entry)]
    if len(nested) == len(classes) > 1 and (shared := set.intersection(*nested)):
        raise DataError(
            folder,
            f"has {_listed(names)}, each with folders {_listed(sorted(shared))}, and may hold splits or classes",
            "call splits train, validation and test, or give the path of one folder",
        )
    warnings = [] if folder == source else [f"the folders of {folder} were taken as classes"]
    warnings += [f"{entry} was taken as a class: it holds pictures, and no class folders" for entry in flat]
    return FolderLayout({"train": folder}, warnings)


def _tell_splits(source: Path, homes: dict[str, Path]) -> list[str]:
    if all(home.parent == source and home.name in _USUAL for home in homes.values()):
        return []
    told = ", ".join(f"{split} from {home.relative_to(source).as_posix()}" for split, home in homes.items())
    return [f"{source}: splits were taken by the names of folders: {told}"]


def _unwrap(folder: Path) -> Path:
    """Go down while a single folder, not named as a split, holds all pictures, and they lie in folders below it."""
    for _ in range(_MOST_WRAPPERS):
        inner = [entry for entry in list_folders(folder) if splits_in(entry.name) or _has_picture(entry)]
        if len(inner) != 1 or splits_in(inner[0].name) or _holds_pictures(inner[0]):
            break
        (folder,) = inner
    return folder


def _unwrap_split(home: Path) -> Path:
    """Return where the class folders of a split are: below `seg_train/seg_train` or `train/images`."""
    inner = [entry for entry in list_folders(home) if _has_picture(entry)]
    if len(inner) == 1 and not _holds_pictures(inner[0]):
        (entry,) = inner
        if entry.name.lower() in _WRAPPERS or splits_in(entry.name) == splits_in(home.name):
            return entry
    return home


def _holds_pictures(folder: Path) -> bool:
    """Whether pictures lie in the folder itself."""
    return any(entry.suffix.lower() in SUFFIXES and not entry.name.startswith(".") for entry in folder.iterdir())


def _has_picture(folder: Path) -> bool:
    """Whether pictures lie in the folder at any depth."""
    return any(path.suffix.lower() in SUFFIXES for path in walk_files(folder))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
