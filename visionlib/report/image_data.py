"""`ImageData`: labels, probabilities, pictures, maps and neighbours of the images, as the page embeds them."""

import json

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data.class_names import tidy_name
from visionlib.data.sources import Sources
from visionlib.drawing.palette import CATEGORIES
from visionlib.evaluation.mistakes import CONFIDENT_FROM
from visionlib.inspection import Duplicates
from visionlib.report.choice import MOST_LISTED, Choice, choose_images
from visionlib.report.contents import Contents, Missing
from visionlib.report.map_data import pack_maps, pack_points
from visionlib.report.packing import pack, pack_fractions, pack_unless_range
from visionlib.report.path_names import PathNames
from visionlib.report.payload import (
    CandidateEntry,
    DuplicateEntry,
    GroupImages,
    MapPoints,
    NeighbourRows,
    OtherRun,
    Payload,
    Records,
    Sheet,
    SourceNames,
)
from visionlib.report.source_names import pack_sources, write_source
from visionlib.report.sprites import make_sheet, make_thumbnails, shrink_images

_TOP = 5
_NEIGHBOURS = 3
_MOST_REFERENCED = 200
_OF_A_GROUP = 24
_TILE_PX = {False: 48, True: 96}
"""Largest height of a tile, without and with `is_full`."""
_SHEET_BYTES = {False: (560_000, 150_000), True: (2_700_000, 600_000)}
"""Size limits of the sheets of test and of training images, likewise. As base64 they are a third larger."""
_PAYLOAD_BYTES, _LEAST_THUMBNAIL_BYTES = 1_750_000, 60_000
"""Size of the payload up to which thumbnails of the other listed images fill it, and what they get in any case."""


class ImageData:
    """Images of a run as the page embeds them.

    Args:
        contents: the results of the run.
        names: shorten the paths in commands.
        is_full: include a picture of every image.
        with_files: include the file of every image.
        most_listed: largest number of listed images.
    """

    def __init__(
        self,
        contents: Contents,
        names: PathNames,
        *,
        is_full: bool,
        with_files: bool = True,
        most_listed: int = MOST_LISTED,
    ) -> None:
        self._contents, self._names, self._is_full = contents, names, is_full
        self._with_files = with_files
        stored = contents.stored
        self._logits: Float64[Tensor, "n k"] = stored.predictions.logits.double()
        self._losses = F.cross_entropy(self._logits, stored.labels, reduction="none")
        self._predicted = stored.predictions.logits.argmax(1)
        self._positions = {index: position for position, index in enumerate(stored.index.tolist())}
        self._training_tiles: dict[int, int] = {}  # the tile of each training image that is referenced, by its index
        self.choice: Choice = choose_images(
            self._losses,
            self._predicted == stored.labels,
            stored.index,
            self._locate_explained(),
            self._locate_referenced(),
            self._locate_mapped(),
            is_full=is_full,
            most_listed=most_listed,
        )
        self._record_of = torch.full((len(stored.labels),), -1, dtype=torch.int64)
        self._record_of[self.choice.listed] = torch.arange(len(self.choice.listed))

    def to_dict(self) -> Payload:
        """Return the JSON for the page's script."""
        contents = self._contents
        # Both reference training images, whose tiles are on the second sheet.
        neighbours, duplicates = self._list_neighbours(), self._list_duplicates()
        pictures, training_pictures = self._make_sheets()
        explanations = contents.explanations
        no_index = torch.zeros(0, dtype=torch.int64)
        explained = no_index if isinstance(explanations, Missing) else explanations.index
        payload: Payload = {
            "name": tidy_name(contents.name),
            "n": len(contents.stored.labels),
            "classes": [tidy_name(name) for name in contents.classes],
            "colours": list(CATEGORIES),
            "confident_from": CONFIDENT_FROM,
            "missing": {name: self._names.shorten_sentence(part.command) for name, part in contents.missing.items()},
            "records": self._list_records(),
            "sources": self._pack_sources(contents.sources, contents.stored.index[self.choice.listed]),
            "neighbours": neighbours,
            "candidates": self._list_candidates(),
            "duplicates": duplicates,
            "groups": self._list_groups(),
            "maps": pack_maps(explanations, contents.quality, self._find_records(explained)),
            "embedding_map": self._pack_embedding_map(),
            "against": self._pack_other_run(),
            "pictures": pictures,
            "training_pictures": training_pictures,
            "thumbnails": None,
            "pictured": None if pictures is None else pack(self._record_of[self.choice.pictured].numpy(), "i4"),
        }
        return {**payload, "thumbnails": self._make_thumbnails(len(json.dumps(payload)))}

    def _locate_explained(self) -> Int64[Tensor, "e"]:
        """Return the positions of images with maps."""
        explanations = self._contents.explanations
        return self._locate([] if isinstance(explanations, Missing) else explanations.index.tolist())

    def _locate_referenced(self) -> Int64[Tensor, "d"]:
        """Return the positions of the first label candidates, duplicates of training images, and images of groups."""
        candidates = self._contents.candidates
        index = [] if isinstance(candidates, Missing) else candidates.index.tolist()[:_MOST_REFERENCED]
        first = [group.images.index[:_OF_A_GROUP] for group in self._contents.weak_groups]
        leaks = [leak[0] for leak in self._find_leaks()][:_MOST_REFERENCED]
        return self._locate([*index, *leaks, *(image for images in first for image in images)])

    def _locate_mapped(self) -> Int64[Tensor, "m"]:
        """Return the positions of the images on the map."""
        embedding_map = self._contents.embedding_map
        return self._locate([] if isinstance(embedding_map, Missing) else embedding_map.index.tolist())

    def _locate(self, indices: list[int]) -> Int64[Tensor, "m"]:
        positions = [self._positions[index] for index in indices if index in self._positions]
        return torch.tensor(positions, dtype=torch.int64)

    def _find_leaks(self) -> list[tuple[int, int, str | None, str, str, float]]:
        """List test images with a duplicate in training: index; index, file and label there; kind, correlation."""
        duplicates = self._contents.duplicates
        if not isinstance(duplicates, Duplicates):
            return []
        leaks: list[tuple[int, int, str | None, str, str, float]] = []
        for pair in (*duplicates.pairs, *(duplicates.by_embeddings or ())):
            if sorted(pair.splits) == ["test", "train"]:
                test, train = (0, 1) if pair.splits[0] == "test" else (1, 0)
                there = (pair.index[train], pair.sources[train], pair.labels[train])
                leaks.append((pair.index[test], *there, pair.kind, pair.correlation))
        return leaks

    def _list_records(self) -> Records:
        listed, stored = self.choice.listed, self._contents.stored
        probabilities = self._logits[listed].softmax(1)
        count = min(_TOP, probabilities.shape[1])
        # The prediction is the first of equal logits, which sorting need not put first.
        ranked = probabilities.scatter(1, self._predicted[listed][:, None], 2.0)
        top = ranked.argsort(dim=1, descending=True, stable=True)[:, :count]
        kind = "u1" if self._logits.shape[1] <= 256 else "u2"
        return {
            "n": len(listed),
            "top_n": count,
            "index": pack_unless_range(stored.index[listed].numpy()),
            "label": pack(stored.labels[listed].numpy(), kind),
            "top": pack(top.numpy(), kind),
            "probability": pack_fractions(probabilities.gather(1, top).numpy()),
            "true_probability": pack_fractions(probabilities.gather(1, stored.labels[listed][:, None]).numpy()),
            "loss": pack(self._losses[listed].numpy(), "f4"),
        }

    def _make_sheets(self) -> tuple[Sheet | None, Sheet | None]:
        """Make the sheets of test images and of the referenced training images."""
        data = self._contents.images
        if isinstance(data, Missing):
            return None, None
        positions = {index: position for position, index in enumerate(data.train.index.tolist())}
        referenced = torch.tensor([positions[index] for index in self._training_tiles], dtype=torch.int64)
        most_px, (test_bytes, training_bytes) = _TILE_PX[self._is_full], _SHEET_BYTES[self._is_full]
        return (
            make_sheet(shrink_images(data.test.images, self.choice.pictured, most_px), test_bytes).to_dict(),
            make_sheet(shrink_images(data.train.images, referenced, most_px), training_bytes).to_dict(),
        )

    def _make_thumbnails(self, used_bytes: int) -> Sheet | None:
        """Make the sheet of the other listed images, in the room that is left on the page."""
        data, choice = self._contents.images, self.choice
        if isinstance(data, Missing):
            return None
        others = choice.listed[~torch.isin(choice.listed, choice.pictured)]
        room = (_PAYLOAD_BYTES - used_bytes) * 3 // 4  # base64 takes four bytes for three
        return make_thumbnails(data.test.images, others, max(_LEAST_THUMBNAIL_BYTES, room)).to_dict()

    def _list_neighbours(self) -> NeighbourRows | None:
        neighbours = self._contents.neighbours
        if isinstance(neighbours, Missing):
            return None
        rows = {index: row for row, index in enumerate(neighbours.index.tolist())}
        indices = self._contents.stored.index[self.choice.neighboured].tolist()
        chosen = torch.tensor([rows[index] for index in indices if index in rows], dtype=torch.int64)
        k = min(_NEIGHBOURS, neighbours.k)
        neighbour_index = neighbours.neighbour_index[chosen, :k]
        return {
            "k": k,
            "record": pack(self._find_records(neighbours.index[chosen]), "i4"),
            "index": pack(neighbour_index.numpy(), "i4"),
            "label": pack(neighbours.neighbour_labels[chosen, :k].numpy(), "u2"),
            "distance": pack(neighbours.distances[chosen, :k].numpy(), "f4"),
            "tile": pack(
                np.array([self._find_training_tile(index) for index in neighbour_index.flatten().tolist()]), "i4"
            ),
            "source": self._pack_sources(neighbours.training_sources, neighbour_index.flatten()),
        }

    def _pack_sources(self, sources: Sources | Missing | None, index: Int64[Tensor, "m"]) -> SourceNames | None:
        return None if isinstance(sources, Missing) or not self._with_files else pack_sources(sources, index)

    def _list_candidates(self) -> list[CandidateEntry]:
        candidates = self._contents.candidates
        if isinstance(candidates, Missing):
            return []
        records = self._find_records(candidates.index).tolist()
        return [
            {"record": record, "suggested": suggested, "score": score}
            for record, suggested, score in zip(
                records, candidates.suggested.tolist(), candidates.scores.tolist(), strict=True
            )
            if record >= 0
        ]

    def _list_duplicates(self) -> list[DuplicateEntry]:
        return [
            {
                "record": record,
                "kind": kind,
                "correlation": round(correlation, 3),
                "index": training_index,
                "source": write_source(source) if self._with_files else None,
                "label": tidy_name(label),
                "tile": self._find_training_tile(training_index),
            }
            for index, training_index, source, label, kind, correlation in self._find_leaks()
            if (record := self._find_record(index)) >= 0
        ]

    def _list_groups(self) -> list[GroupImages]:
        records = [self._find_records(torch.tensor(group.images.index)) for group in self._contents.weak_groups]
        return [{"record": pack(found[found >= 0], "i4")} for found in records]

    def _pack_embedding_map(self) -> MapPoints | None:
        embedding_map = self._contents.embedding_map
        if isinstance(embedding_map, Missing):
            return None
        records = self._find_records(embedding_map.index)
        return pack_points(embedding_map, records, self._record_of[self.choice.mapped].numpy())

    def _pack_other_run(self) -> OtherRun | None:
        comparison = self._contents.comparison
        if comparison is None:
            return None
        predicted = comparison.predicted[1][self.choice.listed]
        return {"name": tidy_name(comparison.runs[1].name), "predicted": pack(predicted.numpy(), "u2")}

    def _find_records(self, indices: Int64[Tensor, "m"]) -> NDArray[np.int64]:
        return np.array([self._find_record(index) for index in indices.tolist()], dtype=np.int64)

    def _find_record(self, index: int) -> int:
        """Return the record of a test image, -1 if it is not listed."""
        position = self._positions.get(index)
        return -1 if position is None else int(self._record_of[position])

    def _find_training_tile(self, index: int) -> int:
        """Return the tile of a training image, the next free one if it has none yet."""
        return self._training_tiles.setdefault(index, len(self._training_tiles))
