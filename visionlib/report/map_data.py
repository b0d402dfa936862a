"""`pack_maps` and `pack_points`: the class activation maps and the embedding map of a run as the page embeds them."""

import numpy as np
from numpy.typing import NDArray

from visionlib.data.class_names import tidy_name
from visionlib.explanation import StoredExplanations
from visionlib.explanation.quality import MapQuality
from visionlib.explanation.stored_explanations import StoredMap
from visionlib.inspection import EmbeddingMap
from visionlib.report.contents import Missing
from visionlib.report.packing import pack, pack_fractions, pack_unless_range
from visionlib.report.payload import MapPoints, Maps

_NAMED = "images that were named"
"""The selection of images that were chosen by their ids; it says nothing to a reader of the page."""


def pack_maps(
    explanations: StoredExplanations | Missing, quality: MapQuality | Missing, records: NDArray[np.int64]
) -> Maps | None:
    """Pack the maps; those of methods that failed the sanity check come last.

    Args:
        explanations: the maps.
        quality: the rank of each method, where it was measured.
        records: the record of each image with maps.
    """
    if isinstance(explanations, Missing):
        return None
    ranks = {} if isinstance(quality, Missing) else _rank_maps(quality)

    def order(entry: StoredMap) -> tuple[bool, int]:
        rank, is_passed = ranks.get((entry.method, entry.layers), (len(ranks), None))
        return is_passed is False, rank

    return {
        "record": pack(records, "i4"),
        "entries": [
            {
                "method": entry.method,
                "layers": [tidy_name(layer) for layer in entry.layers],
                "target": tidy_name(entry.target),
                "height": entry.resolution[0],
                "width": entry.resolution[1],
                "rank": ranks.get((entry.method, entry.layers), (None, None))[0],
                "is_passed": ranks.get((entry.method, entry.layers), (None, None))[1],
                "values": pack(explanations.values[entry.key].numpy(), "u1"),
            }
            for entry in sorted(explanations.maps, key=order)
        ],
    }


def pack_points(embedding_map: EmbeddingMap, records: NDArray[np.int64], drawn: NDArray[np.int64]) -> MapPoints:
    """Pack the points of the embedding map, as fractions of its longer side.

    Args:
        embedding_map: of the test images.
        records: the record of each image of the map, -1 for one that is not listed.
        drawn: records to draw. Others of the map are listed for another reason, most as mistakes, and no sample of it.
    """
    is_drawn = (records >= 0) & np.isin(records, drawn)
    positions = embedding_map.positions.double().numpy()[is_drawn]
    low, high = positions.min(0), positions.max(0)
    # One scale for both axes keeps ratios of distances.
    scaled = (positions - (low + high) / 2) / max(float((high - low).max()), 1e-9) + 0.5
    return {
        "record": pack_unless_range(records[is_drawn]),
        "x": pack_fractions(scaled[:, 0].clip(0, 1)),
        "y": pack_fractions(1 - scaled[:, 1].clip(0, 1)),
    }


def describe_explained(explanations: StoredExplanations) -> str:
    """Describe the images that have maps."""
    n = len(explanations.index)
    if explanations.selection in ("", _NAMED):
        return f"{n:,} test images, those that the views of this page open with among them"
    return explanations.selection


def _rank_maps(quality: MapQuality) -> dict[tuple[str, tuple[str, ...]], tuple[int, bool | None]]:
    """Return the rank of each method at its layers, and whether it passed the sanity check."""
    return {(one.method, one.layers): (rank, one.is_passed) for rank, one in enumerate(quality.methods, 1)}
