"""Layers, filters, feature maps and top-activating images, as tables for the terminal."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.cli.source_column import SourceCell
from visionlib.data.class_names import embed_name, tidy_path

_MOST_ROWS = 16
_MOST_IMAGES = 4
_USAGE = """\
with --layer NAME:
  --of INDEX --picture FILE        draw the feature maps of an image
  --exciting FILE --channel 3,5    draw the images with the highest activation of channels
without:
  --filters FILE                   draw the filters of the first convolution"""


def tabulate_features(result: dict[str, Any]) -> Iterator[RenderableType]:
    """Lay out the results of `visionlib features`."""
    if "layers" in result:
        yield _tabulate_layers(result["layers"])
        yield Text(_USAGE, style="dim")
    if "filters" in result:
        filters = result["filters"]
        rows, columns = filters["size"]
        norms = [entry["norm"] for entry in filters["per_filter"]]
        text = f"{filters['filters']} filters of {rows} x {columns} on {filters['channels']} channels"
        yield Text(f"{filters['layer']}: {text}; norm {min(norms):.3g} to {max(norms):.3g}")
    if "feature_maps" in result:
        yield from _tabulate_maps(result["feature_maps"])
    if "exciting_images" in result:
        yield from _tabulate_images(result["exciting_images"])


def _tabulate_layers(layers: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title="layers with a map of positions", title_justify="left")
    table.add_column("layer", no_wrap=True)
    table.add_column("type")
    table.add_column("channels", justify="right")
    table.add_column("positions", justify="right")
    for layer in layers:
        rows, columns = layer["resolution"]
        table.add_row(Text(layer["layer"]), Text(layer["type"]), f"{layer['channels']:,}", f"{rows} x {columns}")
    return table


def _tabulate_maps(maps: dict[str, Any]) -> Iterator[RenderableType]:
    rows, columns = maps["resolution"]
    name = embed_name(maps["class"], 24)
    yield Text(f"feature maps of {maps['layer']}, {rows} x {columns}: {maps['split']} image {maps['index']}, {name}")
    if maps["source"]:
        yield Text(f"file: {tidy_path(maps['source'])}", style="dim")
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("channel", "max", "mean", "min"):
        table.add_column(header, justify="right")
    for entry in maps["maps"][:_MOST_ROWS]:
        table.add_row(str(entry["channel"]), *(f"{entry[part]:.4g}" for part in ("max", "mean", "min")))
    yield table
    count = min(len(maps["maps"]), _MOST_ROWS)
    constant = f"the maps of {maps['constant']:,} are constant: these detect nothing in the image"
    yield Text(f"{count} of {maps['channels']:,} channels; {constant}", style="dim")


def _tabulate_images(images: dict[str, Any]) -> Iterator[RenderableType]:
    yield Text(f"images of {images['n']:,} ({images['split']}) that excite channels of {images['layer']} most")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("channel", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("stands out", justify="right")
    table.add_column("strongest images, with index and value")
    has_sources = any(image["source"] for entry in images["exciting"] for image in entry["images"])
    if has_sources:
        table.add_column("file of the first")
    for entry in images["exciting"]:
        strongest = "; ".join(
            f"{embed_name(image['class'], 16)} {image['index']} ({image['value']:.3g})"
            for image in entry["images"][:_MOST_IMAGES]
        )
        distance = "constant" if entry["is_constant"] else f"{entry['stands_out']:.1f}"
        cells = (str(entry["channel"]), f"{entry['mean']:.3g}", distance, "none" if entry["is_constant"] else strongest)
        first = None if entry["is_constant"] or not entry["images"] else entry["images"][0]["source"]
        table.add_row(*map(Text, cells), *([SourceCell(first)] if has_sources else []))
    yield table
    yield Text("stands out: distance of the strongest image from the mean of all images, in stds", style="dim")
