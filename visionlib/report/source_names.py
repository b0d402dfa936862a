"""`pack_sources`: the files of the listed images as the page embeds them, each folder once."""

import numpy as np
from jaxtyping import Int64
from torch import Tensor

from visionlib.data.class_names import escape_path
from visionlib.data.sources import Sources, name_sources
from visionlib.report.packing import pack
from visionlib.report.payload import SourceNames

_LONGEST = 1000


def pack_sources(sources: Sources | None, index: Int64[Tensor, "m"]) -> SourceNames | None:
    """Pack the sources of images; None if none is known.

    Args:
        sources: of the split.
        index: stable ids of the listed images.
    """
    written = [write_source(source) or "" for source in name_sources(sources, index)]
    if not any(written):
        return None
    parts = [_divide(source) for source in written]
    folders = list(dict.fromkeys(folder for folder, _ in parts))
    number_of = {folder: number for number, folder in enumerate(folders)}
    numbers = np.array([number_of[folder] for folder, _ in parts])
    return {"folders": folders, "folder": pack(numbers, "i4"), "names": [name for _, name in parts]}


def write_source(source: str | None) -> str | None:
    """Write a source as text for the page: unprintable characters, and bytes that are not UTF-8, become escapes."""
    return None if source is None else escape_path(source)[:_LONGEST]


def _divide(source: str) -> tuple[str, str]:
    """Divide after the last slash, or the colon before a row: many images share the first part."""
    end = 1 + max(source.rfind("/"), source.rfind(":"))
    return source[:end], source[end:]
