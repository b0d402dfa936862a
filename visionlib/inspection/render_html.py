"""An inspection for notebooks: HTML without external files, in the colours of the page around it."""

import base64
import io
from collections.abc import Iterator
from html import escape

import torch
from jaxtyping import Float32
from PIL import Image
from torch import Tensor

from visionlib.drawing.html_table import Html, render_table
from visionlib.evaluation.shortcuts.wording import HEADERS, describe_alarms, describe_shortcuts, list_cells
from visionlib.inspection.dataset_inspection import DatasetInspection

_MAX_PICTURES = 200
_SHOWN_PX = 40


def to_html(inspection: DatasetInspection) -> str:
    """Render an inspection as one `<div>`: splits, classes with their mean images, and what was found."""
    return "\n".join(
        [
            '<div style="overflow-x: auto; color: inherit;">',
            f"<p><strong><bdi>{escape(inspection.dataset)}</bdi></strong></p>",
            _split_table(inspection),
            _class_table(inspection),
            *_findings(inspection),
            *_shortcuts(inspection),
            "</div>",
        ]
    )


def _split_table(inspection: DatasetInspection) -> str:
    rows = []
    for name, split in inspection.splits.items():
        mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (split.mean, split.std))
        height, width = split.image_size
        rows.append((name, f"{split.n:,}", f"{height} x {width}", str(split.channels), mean, std))
    return render_table(("split", "images", "size", "channels", "mean", "std"), rows)


def _class_table(inspection: DatasetInspection) -> str:
    shown = inspection.splits[inspection.shown]
    rows = []
    for label, name in enumerate(inspection.classes):
        counts = [f"{int(split.counts[label]):,}" for split in inspection.splits.values()]
        has_mean = int(shown.counts[label]) > 0 and label < _MAX_PICTURES
        picture = _picture(shown.class_means[label], f"mean of {name}") if has_mean else ""
        rows.append((name, picture, *counts))
    return render_table(("class", "mean image", *inspection.splits), rows)


def _picture(mean: Float32[Tensor, "c h w"], alternative: str) -> Html:
    pixels = mean.round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    source = base64.b64encode(buffer.getvalue()).decode()
    style = f"height: {_SHOWN_PX}px; image-rendering: pixelated; display: inline-block; margin: 0;"
    return Html(f'<img alt="{escape(alternative)}" src="data:image/png;base64,{source}" style="{style}"/>')


def _findings(inspection: DatasetInspection) -> Iterator[str]:
    counts = inspection.count_odd()
    odd = ", ".join(f"{count:,} {oddity}" for oddity, count in counts.items()) or "none"
    yield f"<p>images to look at: {escape(odd)}</p>"
    if inspection.duplicates is None:
        return
    kinds = ("exact", "near", "mirrored") if inspection.duplicates.is_near else ("exact",)
    if inspection.duplicates.by_embeddings is not None:
        kinds = (*kinds, "embedding")
    rows = [
        (" and ".join(dict.fromkeys(entry["splits"])), *(f"{entry[kind]:,}" for kind in (*kinds, "with_two_labels")))
        for entry in inspection.duplicates.counts()
    ]
    yield render_table(("pairs of duplicates", *kinds, "with two labels"), rows)


def _shortcuts(inspection: DatasetInspection) -> Iterator[str]:
    if inspection.shortcuts is not None:
        for line in (describe_shortcuts(inspection.shortcuts), *describe_alarms(inspection.shortcuts)):
            yield f"<p>{escape(line)}</p>"
        yield render_table(HEADERS, [list_cells(score) for score in inspection.shortcuts.scores])
