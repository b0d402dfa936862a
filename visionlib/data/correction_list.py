"""`read_corrections`: a file that names training images to leave out or to relabel.

Requirements:

- A table with a header names images by `index`, by file, or by both, which must agree. It may be what `visionlib
  inspect --candidates` writes, edited or not. Anything else is a plain list, a name or an id in each line.
- An image that is named is left out, unless a column `new_label` or `label` holds a class.
- Nothing is guessed: a name that no training image has, or several have, is an error, and so is whatever tells that the
  list is of another split or of other data. Ids of different splits may be equal, so an id alone does not tell.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visionlib.data.corrections import Corrections
from visionlib.data.dataset import Dataset
from visionlib.data.sources import name_sources
from visionlib.errors import ConfigError, DataError

_IDS = ("index", "id", "image_id")
_FILES = ("source", "file", "filename", "file_name", "name", "path")
_LABELS = ("new_label", "label")
_OF_PREDICTIONS = frozenset({"predicted", "first_predicted"})
"""Columns of lists of test images, as `visionlib mistakes` and `compare` write."""
_DELIMITERS = ",;\t"
_ROW_WITH_NAME = re.compile(r"(.+:\d+) \((.+)\)", re.DOTALL)
_SHOWN, _LONGEST, _MOST_DIGITS = 3, 80, 18


@dataclass(frozen=True)
class _Line:
    """A line of the list; a field that it does not hold is empty, and `label` None where there is no such column."""

    place: str
    image_id: str = ""
    file: str = ""
    label: str | None = None
    given: str = ""
    split: str = ""


def read_corrections(path: Path, dataset: Dataset) -> Corrections:
    """Read a list of training images to leave out or to relabel.

    Returns:
        The images by their ids; an image whose new label is the one that it has already is neither.
    Raises:
        ConfigError: if there is no such file.
        DataError: if it is no such list, or names what is no image of the training split, or several; the message names
            the line.
    """
    images = _TrainingImages(dataset)
    labels: dict[int, str | None] = {}
    for line in _read_lines(path):
        image_id = images.find(line)
        label = images.find_label(line)
        if labels.setdefault(image_id, label) != label:
            raise DataError(line.place, f"image {image_id} is named before, with another label", "name it once")
    if not labels:
        raise DataError(path, "names no image", "write an index or a file name in each line")
    left_out = sorted(image_id for image_id, label in labels.items() if label is None)
    named = [(image_id, label) for image_id, label in sorted(labels.items()) if label is not None]
    return Corrections(tuple(left_out), tuple(pair for pair in named if pair[1] != images.label(pair[0])))


def check_list(path: Path) -> None:
    """Refuse, before the data is loaded, a list that cannot be read.

    Raises:
        ConfigError: if there is no such file.
    """
    if not path.is_file():  # reading a pipe would wait for a writer
        problem = "is no file" if path.exists() else "there is no such file"
        raise ConfigError(path, problem, "name a list of training images")


def _read_lines(path: Path) -> list[_Line]:
    check_list(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        first = next((line for line in lines if line.strip()), "")
        delimiter = max(_DELIMITERS, key=first.count)
        header = [cell.strip().lower() for row in csv.reader([first], delimiter=delimiter) for cell in row]
        if not {*_IDS, *_FILES} & set(header):
            numbered = ((number, line.strip()) for number, line in enumerate(lines, 1))
            return [_read_plain(f"{path}, line {number}", line) for number, line in numbered if line]
        if _OF_PREDICTIONS & set(header):
            problem = "is a list of test images with their predictions, and those are not learned from"
            remedy = "list training images, as `visionlib inspect RUN --folds 5 --candidates FILE` does"
            raise DataError(path, problem, remedy)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            table = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except OSError as error:
        raise ConfigError(path, f"cannot be read ({error.strerror})", "make it readable") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(path, f"is no list in UTF-8 ({error})", "save it again") from error
    return [_read_row(f"{path}, line {number}", header, cells) for number, cells in table[1:]]


def _read_plain(place: str, line: str) -> _Line:
    return _Line(place, image_id=line) if line.isdecimal() else _Line(place, file=line)


def _read_row(place: str, header: list[str], cells: list[str]) -> _Line:
    if len(cells) != len(header):
        raise DataError(
            place, f"has {len(cells)} columns instead of {len(header)}", "give it one for each in the header"
        )
    row = dict(zip(header, (cell.strip() for cell in cells), strict=True))

    def take(names: Iterable[str]) -> str | None:
        return next((row[name] for name in names if name in row), None)

    return _Line(place, take(_IDS) or "", take(_FILES) or "", take(_LABELS), row.get("given", ""), row.get("split", ""))


class _TrainingImages:
    """The training images of a dataset by ids and names, and those of its other splits, to tell them apart."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._positions = {image_id: at for at, image_id in enumerate(dataset.train.index.tolist())}
        self._exact: dict[str, set[tuple[str, int]]] = defaultdict(set)
        self._by_end: dict[str, set[tuple[str, str, int]]] = defaultdict(set)
        self._sources: dict[tuple[str, int], str] = {}
        for name, split in dataset.splits.items():
            for image_id, source in zip(split.index.tolist(), name_sources(split.sources, split.index), strict=True):
                if source is None:
                    continue
                self._sources[name, image_id] = source
                for spelling in _spell(source):
                    self._exact[spelling].add((name, image_id))
                    self._by_end[spelling.rpartition("/")[2]].add((spelling, name, image_id))

    def find(self, line: _Line) -> int:
        """Find the image that a line names."""
        if line.split not in ("", "train"):
            problem = f"is about the split {_show(line.split)}, and only training images are learned from"
            raise DataError(line.place, problem, "find candidates among them by `visionlib inspect RUN --folds 5`")
        by_file = self._find_file(line) if line.file else None
        if not line.image_id:
            if by_file is None:
                raise DataError(line.place, "names no image", "write an index or a file name in each line")
            return by_file
        image_id = self._find_id(line)
        if by_file not in (None, image_id):
            problem = f"{_show(line.file)} is image {by_file}, and its index is {image_id}"
            raise DataError(line.place, problem, "use the list with the data that it was made of")
        if line.given and _unescape(line.given) != (label := self.label(image_id)):
            problem = f"image {image_id} is labelled {_show(line.given)} here, and {label!r} in {self._dataset.name}"
            raise DataError(line.place, problem, "use the list with the data that it was made of")
        return image_id

    def label(self, image_id: int) -> str:
        """The name of a training image's class."""
        train = self._dataset.train
        return train.classes[int(train.labels[self._positions[image_id]])]

    def find_label(self, line: _Line) -> str | None:
        """Find the class that a line gives its image; None to leave it out."""
        if not line.label:
            return None
        classes = self._dataset.classes
        name = line.label if line.label in classes else _unescape(line.label)
        if name not in classes:
            raise DataError(line.place, f"{_show(line.label)} is no class", f"the classes are: {', '.join(classes)}")
        return name

    def _find_id(self, line: _Line) -> int:
        number = line.image_id.removesuffix(".0")  # as spreadsheets and pandas write a column with gaps
        if not number.isdecimal() or len(number) > _MOST_DIGITS:
            raise DataError(line.place, f"{_show(line.image_id)} is no index", "write the number that visionlib lists")
        if (image_id := int(number)) in self._positions:
            return image_id
        others = [name for name, split in self._dataset.splits.items() if image_id in split.index.tolist()]
        if others:
            problem = f"image {image_id} is in the {others[0]} split, and only training images are learned from"
            raise DataError(line.place, problem, "remove the line")
        raise DataError(line.place, f"{self._dataset.name} has no training image {image_id}", "remove the line")

    def _find_file(self, line: _Line) -> int | None:
        if not self._exact:
            if line.image_id:
                return None
            problem = f"{_show(line.file)} cannot be told: the images of {self._dataset.name} have no files"
            raise DataError(line.place, problem, "name them by index")
        found = self._look_up(line.file) or self._look_up(_unescape(line.file))
        if not found:
            problem = f"{self._dataset.name} has no image {_show(line.file)}"
            raise DataError(line.place, problem, "write the path within the dataset's folder")
        if len(found) > 1:
            names = sorted(self._sources[image] for image in found)
            shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
            problem = f"{_show(line.file)} may be any of {len(found)} images ({shown})"
            raise DataError(line.place, problem, "write the path within the dataset's folder")
        ((split, image_id),) = found
        if split != "train":
            problem = f"{_show(line.file)} is in the {split} split, and only training images are learned from"
            raise DataError(line.place, problem, "remove the line")
        return image_id

    def _look_up(self, name: str) -> set[tuple[str, int]]:
        """Find images of exactly this name, or else those of which one of the two names is the end of the other."""
        name = name if name in self._exact else name.replace("\\", "/").removeprefix("./")
        if name in self._exact:
            return self._exact[name]
        return {
            (split, image_id)
            for spelling, split, image_id in self._by_end.get(name.rpartition("/")[2], ())
            if spelling.endswith(f"/{name}") or name.endswith(f"/{spelling}")
        }


def _spell(source: str) -> set[str]:
    """List the names by which a source may be called: as it is, in a table, and a row by its number or own name."""
    parts = _ROW_WITH_NAME.fullmatch(source)
    return {source, source.encode("utf-8", "backslashreplace").decode(), *(parts.groups() if parts else ())}


def _unescape(text: str) -> str:
    """Remove the apostrophe that tables have before text that a spreadsheet would evaluate."""
    return text.removeprefix("'")


def _show(text: str) -> str:
    return repr(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")
