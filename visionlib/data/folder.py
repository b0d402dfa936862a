"""Folders of pictures: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*` alone; see `find_layout`."""

from collections import Counter
from pathlib import Path

import torch

from visionlib.data.broken import decode_whole_pictures
from visionlib.data.dataset import ImageSplit
from visionlib.data.decode import Picture, Resize
from visionlib.data.folder_layout import SUFFIXES, find_layout, find_unreadable, walk_files
from visionlib.data.folder_layout import list_folders as _list_folders
from visionlib.data.sources import Sources
from visionlib.data.split_names import SPLIT_WORDS
from visionlib.errors import DataError

_NAMED = 5
"""Entries that a warning names."""


def is_image_folder(folder: Path) -> bool:
    """Return whether a folder has a folder named as a split, or one with pictures."""
    entries = _list_folders(folder)
    return any(entry.name.lower() in SPLIT_WORDS for entry in entries) or any(map(_list_pictures, entries))


def load_folder(
    folder: Path, image_size: int | None, *, skip_broken: bool = False, resize: Resize = "crop"
) -> tuple[dict[str, ImageSplit], list[str]]:
    """Read every split of an image folder.

    Classes are the folders of `train`, sorted by name; pictures, nested ones included, are sorted by path.

    Args:
        folder: with `train/CLASS/*`, and perhaps `test` and `validation` likewise; or with `CLASS/*`. Names of splits
            are those of `SPLIT_WORDS`, in any case.
        image_size: as in `decode_pictures`, over all splits together.
        skip_broken: leave out pictures that cannot be read, with a warning; the index of the others is kept.
        resize: as in `decode_pictures`.
    Returns:
        The splits, and warnings: of an unusual layout, of files that are not pictures, of empty classes.
    Raises:
        DataError: if there is no picture, or the layout is ambiguous, or a split has a class that train lacks, or a
            picture is damaged.
    """
    layout = find_layout(folder)
    homes, warnings = layout.homes, list(layout.warnings)
    classes = tuple(entry.name for entry in _list_folders(homes["train"]))
    pictures_of = {split: _find_pictures(home, classes, warnings) for split, home in homes.items()}
    if not pictures_of["train"]:
        raise DataError(homes["train"], "holds no PNG, JPEG, WebP or BMP picture", "put some into a folder per class")

    pictures = [Picture(str(path), path) for members in pictures_of.values() for path, _ in members]

    def describe() -> str:
        stats = ((p.content, p.content.stat()) for p in pictures if isinstance(p.content, Path))
        return " ".join(f"{path.resolve()}:{stat.st_size}:{stat.st_mtime_ns}" for path, stat in stats)

    images, originals, messages, kept = decode_whole_pictures(
        pictures,
        image_size=image_size,
        description=f"decoding {folder.name}",
        describe=describe,
        skip_broken=skip_broken,
        resize=resize,
    )
    splits, start, offset = {}, 0, 0
    for split, members in pictures_of.items():
        index = [at - offset for at in kept if offset <= at < offset + len(members)]
        end = start + len(index)
        splits[split] = ImageSplit(
            images[start:end],
            torch.tensor([members[at][1] for at in index], dtype=torch.int64),
            classes,
            torch.tensor(index, dtype=torch.int64),
            originals=originals.subset(torch.arange(start, end)),
            sources=Sources.of_files(path.relative_to(folder).as_posix() for path, _ in members),
        )
        start, offset = end, offset + len(members)
    return splits, warnings + messages


def _find_pictures(home: Path, classes: tuple[str, ...], warnings: list[str]) -> list[tuple[Path, int]]:
    """List a split's pictures with their labels, in the order of class and path."""
    if strange := sorted({entry.name for entry in _list_folders(home)} - set(classes)):
        raise DataError(home, f"has a class that train lacks: {', '.join(strange)}", "rename it, or add it to train")
    members: list[tuple[Path, int]] = []
    for label, name in enumerate(classes):
        of_class = _list_pictures(home / name)
        if not of_class:
            warnings.append(f"{home / name} holds no picture")
        members += [(path, label) for path in of_class]
    lost = [path for name in classes if (home / name).is_dir() for path in find_unreadable(home / name)]
    if lost:
        names = ", ".join(path.relative_to(home).as_posix() for path in lost[:_NAMED])
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        warnings.append(f"{home}: {names}{more} were left out: they are links to nothing, pipes or the like, no files")
    skipped = Counter(
        path.suffix.lower() or path.name
        for name in classes
        for path in _list_files(home / name)
        if path.suffix.lower() not in SUFFIXES
    )
    if skipped:
        suffixes = ", ".join(f"{count} {suffix}" for suffix, count in skipped.most_common(5))
        warnings.append(f"{home}: {skipped.total()} files that are not pictures were skipped ({suffixes})")
    return members


def _list_pictures(folder: Path) -> list[Path]:
    return [path for path in _list_files(folder) if path.suffix.lower() in SUFFIXES]


def _list_files(folder: Path) -> list[Path]:
    """List files at any depth without hidden ones, sorted by POSIX path on every system."""
    if not folder.is_dir():
        return []
    return sorted(walk_files(folder), key=lambda path: path.relative_to(folder).as_posix())
