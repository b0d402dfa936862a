"""What is in a network's layers, as tables for the terminal."""

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from visionlib.data.class_names import embed_name

_MOST_ROWS = 16
_MOST_IMAGES = 4
_ELSE = """\
with --layer NAME:
  --of INDEX --picture FILE        draw the feature maps of an image
  --exciting FILE --channel 3,5    draw the images that excite channels most
without:
  --filters FILE                   draw the filters of the first convolution"""


def tabulate_features(result: dict[str, Any]) -> Iterator[RenderableType]:
    """Lay out what `visionlib features` was asked for."""
    if "layers" in result:
        yield _tabulate_layers(result["layers"])
        yield Text(_ELSE, style="dim")
    if "filters" in result:
        told = result["filters"]
        rows, columns = told["size"]
        norms = [entry["norm"] for entry in told["per_filter"]]
        text = f"{told['filters']} filters of {rows} x {columns} on {told['channels']} channels"
        yield Text(f"{told['layer']}: {text}; length {min(norms):.3g} to {max(norms):.3g}")
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


def _tabulate_maps(told: dict[str, Any]) -> Iterator[RenderableType]:
    rows, columns = told["resolution"]
    name = embed_name(told["class"], 24)
    title = f"feature maps of {told['layer']}, {rows} x {columns}: {told['split']} image {told['index']}, {name}"
    yield Text(title)
    table = Table(box=box.SIMPLE_HEAD)
    for header in ("channel", "largest", "mean", "least"):
        table.add_column(header, justify="right")
    for entry in told["maps"][:_MOST_ROWS]:
        table.add_row(str(entry["channel"]), *(f"{entry[part]:.4g}" for part in ("max", "mean", "min")))
    yield table
    shown = min(len(told["maps"]), _MOST_ROWS)
    nothing = f"{told['constant']:,} of all see nothing here: their map is constant"
    yield Text(f"{shown} of {told['channels']:,} channels; {nothing}", style="dim")


def _tabulate_images(told: dict[str, Any]) -> Iterator[RenderableType]:
    title = f"images of {told['n']:,} ({told['split']}) that excite channels of {told['layer']} most"
    yield Text(title)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("channel", justify="right")
    table.add_column("mean", justify="right")
    table.add_column("stands out", justify="right")
    table.add_column("strongest images, with index and value")
    for entry in told["exciting"]:
        images = "; ".join(
            f"{embed_name(image['class'], 16)} {image['index']} ({image['value']:.3g})"
            for image in entry["images"][:_MOST_IMAGES]
        )
        out = "constant" if entry["is_constant"] else f"{entry['stands_out']:.1f}"
        cells = (str(entry["channel"]), f"{entry['mean']:.3g}", out, "none" if entry["is_constant"] else images)
        table.add_row(*map(Text, cells))
    yield table
    yield Text("stands out: deviations by which the strongest image lies above the mean of all", style="dim")
