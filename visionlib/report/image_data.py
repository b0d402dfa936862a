"""What the page's script knows of the images: labels, probabilities, pictures, maps, neighbours, places on the map."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64
from numpy.typing import NDArray
from torch import Tensor

from visionlib.data.class_names import tidy_name
from visionlib.evaluation.mistakes import CONFIDENT_FROM
from visionlib.inspection import Duplicates
from visionlib.report.choice import Choice, choose_images
from visionlib.report.contents import Contents, Missing
from visionlib.report.packing import pack, pack_shares
from visionlib.report.sprites import make_sheet

_TOP = 5
_NEIGHBOURS = 3
_MOST_REFERRED = 200
_TILE_PX = {False: 48, True: 96}
"""Height of a picture at most: by default, and with `--full`."""
_SHEET_BYTES = {False: (600_000, 150_000), True: (2_700_000, 600_000)}
"""Of the pictures of test and of training images, likewise; the page holds them as base64, a third larger."""


class ImageData:
    """Images of a run, made into what a page embeds.

    Args:
        contents: of the run.
        is_full: a picture of every image.
    """

    def __init__(self, contents: Contents, *, is_full: bool) -> None:
        self._contents, self._is_full = contents, is_full
        kept = contents.kept
        self._logits: Float64[Tensor, "n k"] = kept.predictions.logits.double()
        self._losses = F.cross_entropy(self._logits, kept.labels, reduction="none")
        self._predicted = kept.predictions.logits.argmax(1)
        self._place = {name: place for place, name in enumerate(kept.index.tolist())}
        self.choice: Choice = choose_images(
            self._losses,
            self._predicted == kept.labels,
            kept.index,
            self._explained(),
            self._referred(),
            is_full=is_full,
        )
        self._record_of = torch.full((len(kept.labels),), -1, dtype=torch.int64)
        self._record_of[self.choice.listed] = torch.arange(len(self.choice.listed))

    def to_dict(self) -> dict[str, Any]:
        """Give plain values for the JSON that the page holds."""
        contents = self._contents
        training: list[int] = []
        found = {
            "name": tidy_name(contents.name),
            "n": len(contents.kept.labels),
            "classes": [tidy_name(name) for name in contents.classes],
            "confident_from": CONFIDENT_FROM,
            "missing": {name: part.command for name, part in contents.missing.items()},
            "records": self._records(),
            "neighbours": self._neighbours(training),
            "candidates": self._candidates(),
            "duplicates": self._duplicates(training),
            "maps": self._maps(),
            "embedding_map": self._embedding_map(),
            "against": self._against(),
        }
        return {**found, **self._pictures(training)}

    def _explained(self) -> Int64[Tensor, "e"]:
        """Find the positions of images that have maps."""
        found = self._contents.explanations
        return self._locate([] if isinstance(found, Missing) else found.index.tolist())

    def _referred(self) -> Int64[Tensor, "d"]:
        """Find the positions of the first images with doubtful labels, and of the first that are twice in the data."""
        found = self._contents.candidates
        index = [] if isinstance(found, Missing) else found.index.tolist()[:_MOST_REFERRED]
        return self._locate(index + [pair[0] for pair in self._leaks()][:_MOST_REFERRED])

    def _locate(self, index: list[int]) -> Int64[Tensor, "m"]:
        return torch.tensor([self._place[name] for name in index if name in self._place], dtype=torch.int64)

    def _leaks(self) -> list[tuple[int, int, str, str, float]]:
        """List test images with a duplicate in training: index, index and label there, kind, correlation."""
        parts = self._contents.duplicates
        if not isinstance(parts, Duplicates):
            return []
        found: list[tuple[int, int, str, str, float]] = []
        for pair in (*parts.pairs, *(parts.by_embeddings or ())):
            if sorted(pair.splits) == ["test", "train"]:
                test, train = (0, 1) if pair.splits[0] == "test" else (1, 0)
                found.append((pair.index[test], pair.index[train], pair.labels[train], pair.kind, pair.whole))
        return found

    def _records(self) -> dict[str, Any]:
        listed, kept = self.choice.listed, self._contents.kept
        probabilities = self._logits[listed].softmax(1)
        count = min(_TOP, probabilities.shape[1])
        # The prediction is the first of equal logits, which sorting need not put first.
        ranked = probabilities.scatter(1, self._predicted[listed][:, None], 2.0)
        top = ranked.argsort(dim=1, descending=True, stable=True)[:, :count]
        return {
            "n": len(listed),
            "top_n": count,
            "index": _pack_unless_counted(kept.index[listed].numpy()),
            "label": pack(kept.labels[listed].numpy(), "u2"),
            "top": pack(top.numpy(), "u2"),
            "probability": pack_shares(probabilities.gather(1, top).numpy()),
            "true_probability": pack_shares(probabilities.gather(1, kept.labels[listed][:, None]).numpy()),
            "loss": pack(self._losses[listed].numpy(), "f4"),
        }

    def _pictures(self, training: list[int]) -> dict[str, Any]:
        """Make the sheets: of test images, and of those training images that something refers to."""
        images, tile = self._contents.images, _TILE_PX[self._is_full]
        most, most_training = _SHEET_BYTES[self._is_full]
        if isinstance(images, Missing):
            return {"pictures": None, "training_pictures": None}
        sheets = {"pictures": make_sheet(images.test.images[self.choice.pictured], tile, most)}
        places = {name: place for place, name in enumerate(images.train.index.tolist())}
        chosen = torch.tensor([places[name] for name in training], dtype=torch.int64)
        sheets["training_pictures"] = make_sheet(images.train.images[chosen], tile, most_training)
        told = {
            name: {
                "uri": sheet.data_uri,
                "columns": sheet.columns,
                "n": sheet.n,
                "height": sheet.tile_px[0],
                "width": sheet.tile_px[1],
            }
            for name, sheet in sheets.items()
        }
        # Which record each tile is of, in their order.
        return {**told, "pictured": pack(self._record_of[self.choice.pictured].numpy(), "i4")}

    def _neighbours(self, training: list[int]) -> dict[str, Any] | None:
        found = self._contents.neighbours
        if isinstance(found, Missing):
            return None
        rows = self.choice.neighboured
        places = {name: place for place, name in enumerate(found.index.tolist())}
        index = self._contents.kept.index[rows].tolist()
        chosen = torch.tensor([places[name] for name in index if name in places], dtype=torch.int64)
        k = min(_NEIGHBOURS, found.k)
        records = self._record_of[torch.tensor([self._place[int(name)] for name in found.index[chosen]]).long()]
        neighbour_index = found.neighbour_index[chosen, :k]
        return {
            "k": k,
            "record": pack(records.numpy(), "i4"),
            "index": pack(neighbour_index.numpy(), "i4"),
            "label": pack(found.neighbour_labels[chosen, :k].numpy(), "u2"),
            "distance": pack(found.distances[chosen, :k].numpy(), "f4"),
            "tile": pack(_tiles(neighbour_index, training).numpy(), "i4"),
        }

    def _candidates(self) -> list[dict[str, Any]]:
        found = self._contents.candidates
        if isinstance(found, Missing):
            return []
        return [
            {"record": record, "suggested": suggested, "score": score}
            for name, suggested, score in zip(
                found.index.tolist(), found.suggested.tolist(), found.scores.tolist(), strict=True
            )
            if (record := self._find_record(name)) >= 0
        ]

    def _duplicates(self, training: list[int]) -> list[dict[str, Any]]:
        found = []
        for name, index, label, kind, correlation in self._leaks():
            if (record := self._find_record(name)) >= 0:
                tile = int(_tiles(torch.tensor([index]), training)[0])
                told = {"index": index, "label": tidy_name(label), "tile": tile}
                found.append({"record": record, "kind": kind, "correlation": round(correlation, 3), **told})
        return found

    def _maps(self) -> dict[str, Any] | None:
        found = self._contents.explanations
        if isinstance(found, Missing):
            return None
        records = np.array([self._find_record(name) for name in found.index.tolist()], dtype=np.int64)
        return {
            "record": pack(records, "i4"),
            "selection": found.selection,
            "entries": [
                {
                    "method": entry.method,
                    "layers": [tidy_name(layer) for layer in entry.layers],
                    "target": tidy_name(entry.target),
                    "height": entry.resolution[0],
                    "width": entry.resolution[1],
                    "values": pack(found.values[entry.key].numpy(), "u1"),
                }
                for entry in found.maps
            ],
        }

    def _embedding_map(self) -> dict[str, Any] | None:
        found = self._contents.embedding_map
        if isinstance(found, Missing):
            return None
        records = np.array([self._find_record(name) for name in found.index.tolist()], dtype=np.int64)
        positions = found.positions.double().numpy()[records >= 0]
        low, high = positions.min(0), positions.max(0)
        # One scale for both directions: distances are what a map is for.
        scaled = (positions - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5
        return {
            "record": _pack_unless_counted(records[records >= 0]),
            "x": pack_shares(scaled[:, 0].clip(0, 1)),
            "y": pack_shares(1 - scaled[:, 1].clip(0, 1)),
        }

    def _against(self) -> dict[str, Any] | None:
        comparison = self._contents.comparison
        if comparison is None:
            return None
        predicted = comparison.predicted[1][self.choice.listed]
        return {"name": tidy_name(comparison.runs[1].name), "predicted": pack(predicted.numpy(), "u2")}

    def _find_record(self, name: int) -> int:
        place = self._place.get(name)
        return -1 if place is None else int(self._record_of[place])


def _pack_unless_counted(values: NDArray[np.int64]) -> dict[str, str] | None:
    """Pack numbers, or nothing where they merely count from 0 on, as those of a whole split do."""
    return None if np.array_equal(values, np.arange(len(values))) else pack(values, "i4")


def _tiles(index: Int64[Tensor, "*shape"], training: list[int]) -> Int64[Tensor, "*shape"]:
    """Give each training image its tile, and add those that have none yet."""
    known = {name: tile for tile, name in enumerate(training)}
    tiles = []
    for name in index.flatten().tolist():
        if name not in known:
            known[name] = len(training)
            training.append(name)
        tiles.append(known[name])
    return torch.tensor(tiles, dtype=torch.int64).view(index.shape)
