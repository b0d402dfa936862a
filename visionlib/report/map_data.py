"""`pack_maps`: the class activation maps of a run as the page embeds them, the most reliable method first."""

import numpy as np
from numpy.typing import NDArray

from visionlib.data.class_names import tidy_name
from visionlib.explanation import StoredExplanations
from visionlib.explanation.quality import MapQuality
from visionlib.explanation.stored_explanations import StoredMap
from visionlib.report.contents import Missing
from visionlib.report.packing import pack
from visionlib.report.payload import Maps

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


def describe_explained(explanations: StoredExplanations) -> str:
    """Describe the images that have maps."""
    n = len(explanations.index)
    if explanations.selection in ("", _NAMED):
        return f"{n:,} test images, those that the views of this page open with among them"
    return explanations.selection


def _rank_maps(quality: MapQuality) -> dict[tuple[str, tuple[str, ...]], tuple[int, bool | None]]:
    """Return the rank of each method at its layers, and whether it passed the sanity check."""
    return {(one.method, one.layers): (rank, one.is_passed) for rank, one in enumerate(quality.methods, 1)}
