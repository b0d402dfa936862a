"""The JSON of the images that the page's script reads; `data.js` unpacks it.

A record is a listed image, by its position in `Records`; a tile is a picture, by its position on a sheet.
"""

from typing import TypedDict

from visionlib.report.packing import PackedArray


class Records(TypedDict):
    """One column per property, one row per record; `index` is None where it counts from 0."""

    n: int
    top_n: int
    index: PackedArray | None
    label: PackedArray
    top: PackedArray
    probability: PackedArray
    true_probability: PackedArray
    loss: PackedArray


class SourceNames(TypedDict):
    """The file of each record: the number of its folder in `folders`, and its name in it."""

    folders: list[str]
    folder: PackedArray
    names: list[str]


class Sheet(TypedDict):
    """A sprite sheet; height and width are those of a tile."""

    uri: str
    columns: int
    n: int
    height: int
    width: int


class NeighbourRows(TypedDict):
    """A row per record with its `k` nearest training images, their files and their tiles on the training sheet."""

    k: int
    record: PackedArray
    index: PackedArray
    label: PackedArray
    distance: PackedArray
    tile: PackedArray
    source: SourceNames | None


class CandidateEntry(TypedDict):
    """A record whose label is doubtful."""

    record: int
    suggested: int
    score: float


class DuplicateEntry(TypedDict):
    """A record with a duplicate in the training split."""

    record: int
    kind: str
    correlation: float
    index: int
    source: str | None
    label: str
    tile: int


class GroupImages(TypedDict):
    """The records of a weak group, its mistakes first."""

    record: PackedArray


class MapEntry(TypedDict):
    """The maps of one method for one target; rank and sanity check are None where they were not measured."""

    method: str
    layers: list[str]
    target: str
    height: int
    width: int
    rank: int | None
    is_passed: bool | None
    values: PackedArray


class Maps(TypedDict):
    """Maps of the records in `record`."""

    record: PackedArray
    entries: list[MapEntry]


class MapPoints(TypedDict):
    """The embedding map: coordinates in the unit square, `y` from the top."""

    record: PackedArray | None
    x: PackedArray
    y: PackedArray


class OtherRun(TypedDict):
    """Predictions of the other run, a row per record."""

    name: str
    predicted: PackedArray


class Payload(TypedDict):
    """Everything that the script knows.

    `pictured` lists the record of each tile; `thumbnails` has a tile for each record without one, in their order.
    """

    name: str
    n: int
    classes: list[str]
    colours: list[str]
    confident_from: float
    missing: dict[str, str]
    records: Records
    sources: SourceNames | None
    neighbours: NeighbourRows | None
    candidates: list[CandidateEntry]
    duplicates: list[DuplicateEntry]
    groups: list[GroupImages]
    maps: Maps | None
    embedding_map: MapPoints | None
    against: OtherRun | None
    pictures: Sheet | None
    training_pictures: Sheet | None
    thumbnails: Sheet | None
    pictured: PackedArray | None
