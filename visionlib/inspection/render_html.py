"""An inspection for notebooks: self-contained HTML, in the colours of the surrounding page."""

import base64
import io
from collections.abc import Iterable, Iterator
from html import escape

import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from visionlib.inspection.dataset_inspection import DatasetInspection

_TABLE = (
    "color: inherit; border: none; margin-bottom: 0.8em; border-collapse: separate; border-spacing: 1em 0.1em; "
    "font-variant-numeric: tabular-nums;"
)
_LINE = "border-bottom: 1px solid rgba(128, 128, 128, 0.5);"
_NAME = "text-align: left; max-width: 24em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;"
_CELL = "text-align: right; white-space: nowrap;"
_MAX_PICTURES = 200
_SHOWN_PX = 40


def to_html(inspection: DatasetInspection) -> str:
    """Render an inspection as one `<div>`: splits, classes with their mean images, odd images and duplicates."""
    return "\n".join(
        [
            '<div style="overflow-x: auto; color: inherit;">',
            f"<p><strong><bdi>{escape(inspection.dataset)}</bdi></strong></p>",
            *_split_table(inspection),
            *_class_table(inspection),
            *_list_findings(inspection),
            "</div>",
        ]
    )


def _split_table(inspection: DatasetInspection) -> Iterator[str]:
    rows = []
    for name, split in inspection.splits.items():
        mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (split.mean, split.std))
        height, width = split.image_size
        rows.append((name, [f"{split.n:,}", f"{height} x {width}", str(split.channels), mean, std]))
    return _table(("split", "images", "size", "channels", "mean", "std"), rows)


def _class_table(inspection: DatasetInspection) -> Iterator[str]:
    shown = inspection.splits[inspection.shown]
    rows = []
    for label, name in enumerate(inspection.classes):
        counts = [f"{int(split.counts[label]):,}" for split in inspection.splits.values()]
        has_mean = int(shown.counts[label]) > 0 and label < _MAX_PICTURES
        picture = _picture(shown.class_means[label], f"mean of {name}") if has_mean else ""
        rows.append((name, [picture, *counts]))
    return _table(("class", "mean image", *inspection.splits), rows)


def _picture(mean: Float32[Tensor, "c h w"], alternative: str) -> str:
    pixels = mean.round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    source = base64.b64encode(buffer.getvalue()).decode()
    style = f"height: {_SHOWN_PX}px; image-rendering: pixelated; display: inline-block; margin: 0;"
    return f'<img alt="{escape(alternative)}" src="data:image/png;base64,{source}" style="{style}"/>'


def _list_findings(inspection: DatasetInspection) -> Iterator[str]:
    counts = inspection.count_odd()
    summary = ", ".join(f"{count:,} {oddity}" for oddity, count in counts.items()) or "none"
    yield f"<p>images to look at: {escape(summary)}</p>"
    if inspection.duplicates is None:
        return
    kinds = ("exact", "near", "mirrored") if inspection.duplicates.is_near else ("exact",)
    if inspection.duplicates.by_embeddings is not None:
        kinds = (*kinds, "embedding")
    rows = [
        (" and ".join(dict.fromkeys(entry["splits"])), [f"{entry[kind]:,}" for kind in (*kinds, "with_two_labels")])
        for entry in inspection.duplicates.counts()
    ]
    yield from _table(("pairs of duplicates", *kinds, "with two labels"), rows)


def _table(headers: tuple[str, ...], rows: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    """Render a table whose first column has the row headings; cells that are pictures are not escaped."""
    heads = "".join(
        f'<th scope="col" style="{_LINE} {_CELL if column else _NAME}"><bdi>{escape(header)}</bdi></th>'
        for column, header in enumerate(headers)
    )
    yield f'<table style="{_TABLE}">\n<thead><tr>{heads}</tr></thead>\n<tbody>'
    for name, cells in rows:
        # <bdi> isolates right-to-left names, which would otherwise reverse the figures beside them.
        head = f'<th scope="row" style="{_NAME} font-weight: normal;"><bdi>{escape(name)}</bdi></th>'
        rest = "".join(
            f'<td style="{_CELL}">{cell if cell.startswith("<img ") else escape(cell)}</td>' for cell in cells
        )
        yield f"<tr>{head}{rest}</tr>"
    yield "</tbody>\n</table>"
