"""`visionlib features`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionlib.cli.console import log, print_json
from visionlib.cli.options import DebugOption, DeviceOption, JsonOption, MovedDatasetOption, RunArgument, TrustOption
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import Run, open_run

if TYPE_CHECKING:
    from visionlib.data import ImageSplit
    from visionlib.inference import TrainedModel

_OUTSTANDING = 6
_MOST_CHANNELS = 40


def features(
    run: RunArgument,
    layer: Annotated[
        str | None, typer.Option(help="Name of the layer. Without it, the layers are listed.", show_default=False)
    ] = None,
    of: Annotated[
        int | None, typer.Option(help="Image for the feature maps, by index. Default: the first of the split.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the image's feature maps, as PNG or SVG by the name.")
    ] = None,
    filters: Annotated[
        Path | None,
        typer.Option(
            help="Draw the filters of the first convolution, or of --layer if no other option needs the layer."
        ),
    ] = None,
    exciting: Annotated[
        Path | None,
        typer.Option(help="Draw the images of the split that activate channels of --layer most."),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Channels to show, such as 3,5. Default: the strongest; for --exciting, those that stand out most."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=64, help="Number of images per channel, for --exciting.")] = 8,
    split: Annotated[str, typer.Option(help="Split of the images.")] = "test",
    dataset: MovedDatasetOption = None,
    device: DeviceOption = "auto",
    json: JsonOption = False,
    trust: TrustOption = False,
    debug: DebugOption = False,
) -> None:
    """Show features of a run's network: feature maps of an image, filters, and the images that excite a channel most.

    Example: visionlib features runs/first --layer layer2 --of 7 --picture maps.png --exciting images.png --channel 3,5
    """
    for file in (picture, filters, exciting):
        if file is not None:
            check_picture_path(file)
    channels = _parse_channels(channel)
    has_maps = picture is not None or of is not None or (layer is not None and filters is None and exciting is None)
    _check_options(layer, channels, needs_layer=has_maps or exciting is not None)

    from visionlib.cli.source_column import find_source_folder
    from visionlib.inference import TrainedModel, load_run_data

    opened = open_run(run)
    # First: a damaged run is reported before its data is loaded.
    model = TrainedModel.from_run(opened, device=device)
    result: dict[str, Any] = {"run": str(run)}
    if filters is not None:
        is_alone = not has_maps and exciting is None
        result["filters"] = _draw_filters(model, layer if is_alone else None, filters)
    if layer is not None and (has_maps or exciting is not None):
        images = load_run_data(opened, dataset).split(split)
        if has_maps:
            result["feature_maps"] = _extract_maps(model, images, split, layer, of, channels, picture)
        if exciting is not None:
            exciting_images = _find_images(model, images, layer, channels, count, exciting)
            result["exciting_images"] = {"split": split, **exciting_images}
    if len(result) == 1:
        result["layers"] = _list_layers(opened, model)
    if json:
        print_json({**result, "source_folder": find_source_folder(opened, dataset)})
        return
    from visionlib.cli.feature_tables import tabulate_features
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_features(result))


def _list_layers(run: Run, model: "TrainedModel") -> list[dict[str, Any]]:
    from visionlib.explanation import list_map_layers
    from visionlib.models.model_record import load_record

    size = (model.channels, *load_record(run).input_size)
    return [layer.to_dict() for layer in list_map_layers(model.network, size)]


def _draw_filters(model: "TrainedModel", layer: str | None, file: Path) -> dict[str, Any]:
    from visionlib.explanation import read_filters
    from visionlib.explanation.filter_picture import describe_filters, draw_filters

    filters = read_filters(model.network, layer)
    save_picture(draw_filters(filters), file, describe_filters(filters))
    log(f"drawn: {file}")
    return filters.to_dict()


def _extract_maps(
    model: "TrainedModel",
    split: "ImageSplit",
    split_name: str,
    layer: str,
    of: int | None,
    channels: tuple[int, ...] | None,
    file: Path | None,
) -> dict[str, Any]:
    from visionlib.explanation import extract_feature_maps

    position = _find_position(split, of, split_name)
    image = split.images[position]
    maps = extract_feature_maps(model, image[None], layer)
    record = maps.to_dict(channels=channels)
    index, name = int(split.index[position]), split.classes[int(split.labels[position])]
    if file is not None:
        from visionlib.data.class_names import embed_name
        from visionlib.explanation.feature_picture import describe_feature_maps, draw_feature_maps

        title = f"{split_name} image {index}, {embed_name(name)}"
        figure = draw_feature_maps(maps, image, channels=channels, title=title)
        save_picture(figure, file, f"{title}: {describe_feature_maps(maps, channels=channels)}")
        log(f"drawn: {file}")
    return {"split": split_name, "index": index, "source": split.source(position), "class": name, **record}


def _find_images(
    model: "TrainedModel",
    split: "ImageSplit",
    layer: str,
    channels: tuple[int, ...] | None,
    count: int,
    file: Path,
) -> dict[str, Any]:
    from visionlib.explanation import find_exciting_images
    from visionlib.explanation.exciting_picture import describe_exciting_images, draw_exciting_images

    images = find_exciting_images(model, split, layer, channels, k=count)
    if channels is None:
        images = images.take(_OUTSTANDING)
    save_picture(draw_exciting_images(images, split.images), file, describe_exciting_images(images))
    log(f"drawn: {file}")
    return images.to_dict()


def _find_position(split: "ImageSplit", index: int | None, name: str) -> int:
    if not len(split):
        raise ConfigError("--split", f"{name} has no images", "name another split")
    if index is None:
        return 0
    positions = (split.index == index).nonzero().flatten().tolist()
    if not positions:
        low, high = int(split.index.min()), int(split.index.max())
        raise ConfigError("--of", f"{name} has no image {index}", f"its images are numbered {low} to {high}")
    return int(positions[0])


def _parse_channels(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        channels = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise ConfigError("--channel", f"{text!r} is no list of channels", "write it like 3,5") from None
    if len(channels) > _MOST_CHANNELS:
        raise ConfigError("--channel", f"{len(channels)} are too many", f"name at most {_MOST_CHANNELS}")
    return channels


def _check_options(layer: str | None, channels: tuple[int, ...] | None, *, needs_layer: bool) -> None:
    """Check, before anything is computed, that options have the options that they need."""
    if layer is None and needs_layer:
        raise ConfigError("--layer", "is missing", "name one; `visionlib features RUN` lists them")
    if channels is not None and not needs_layer:
        raise ConfigError("--channel", "there is nothing to show them of", "name a layer with --layer")
