"""`visionlib features`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from visionlib.cli.console import DebugOption, JsonOption, log, print_json
from visionlib.cli.picture_files import check_picture_path, save_picture
from visionlib.errors import ConfigError
from visionlib.runs import Run, open_run, read_json

if TYPE_CHECKING:
    from torch import nn

    from visionlib.data import ImageSplit
    from visionlib.inference.trained_model import ModelRecord

_OUTSTANDING = 6
_MOST_CHANNELS = 40


def features(
    run: Annotated[Path, typer.Argument(help="A run folder that `visionlib train` has made.")],
    layer: Annotated[
        str | None, typer.Option(help="Layer to look at. Without it, the layers are listed.", show_default=False)
    ] = None,
    of: Annotated[
        int | None, typer.Option(help="Image to make feature maps of, by index. Default: the first of the split.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(help="Draw the image's feature maps, as PNG or SVG by the name.")
    ] = None,
    filters: Annotated[
        Path | None,
        typer.Option(
            help="Draw the filters of the first convolution; with --layer and nothing else asked for, of that one."
        ),
    ] = None,
    exciting: Annotated[
        Path | None, typer.Option(help="Draw the images of the split that excite channels of --layer most.")
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            help="Channels to show, such as 3,5. Default: the strongest; for --exciting those that stand out."
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=64, help="Images of each channel, for --exciting.")] = 8,
    split: Annotated[str, typer.Option(help="Split that the images are of.")] = "test",
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's data lies now, if it has moved; it must be the same.")
    ] = None,
    device: Annotated[str, typer.Option(help="What to compute on: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    json: JsonOption = False,
    debug: DebugOption = False,
) -> None:
    """Look into a run's network: feature maps of an image, filters, and the images that excite a channel most.

    Example: visionlib features runs/first --layer layer2 --of 7 --picture maps.png --exciting images.png --channel 3,5
    """
    for file in (picture, filters, exciting):
        if file is not None:
            check_picture_path(file)
    channels = _parse_channels(channel)
    is_about_maps = picture is not None or of is not None or (layer is not None and filters is exciting is None)
    _check_options(layer, channels, is_about_maps=is_about_maps, is_about_images=exciting is not None)
    looking = _Looking(open_run(run), dataset, split, device)
    result: dict[str, Any] = {"run": str(run)}
    if filters is not None:
        is_alone = not is_about_maps and exciting is None
        result["filters"] = _draw_filters(looking, layer if is_alone else None, filters)
    if layer is not None and is_about_maps:
        result["feature_maps"] = _make_maps(looking, layer, of, channels, picture)
    if layer is not None and exciting is not None:
        result["exciting_images"] = _make_images(looking, layer, channels, count, exciting)
    if len(result) == 1:
        result["layers"] = looking.list_layers()
    if json:
        print_json(result)
        return
    from visionlib.cli.feature_tables import tabulate_features
    from visionlib.cli.tables import print_tables

    print_tables(*tabulate_features(result))


class _Looking:
    """A run's network and images, each loaded when it is first needed."""

    def __init__(self, run: Run, dataset: str | None, split: str, device: str) -> None:
        from visionlib.inference.device import choose_compute
        from visionlib.inference.trained_model import load_model

        # Read first: a damaged run is told before a dataset is loaded.
        model, self.record = load_model(run)
        trained = read_json(run.config)["compute"]["precision"]
        compute = choose_compute(device, "bf16" if trained == "bf16" else "fp32")
        self.model: nn.Module = model.to(compute.device)
        self.precision = compute.precision
        self.split_name = split
        self._run, self._dataset = run, dataset
        self._split: ImageSplit | None = None

    def load_split(self) -> "ImageSplit":
        from visionlib.inference.run_data import load_run_data

        if self._split is None:
            self._split = load_run_data(self._run, self._dataset).split(self.split_name)
        return self._split

    def list_layers(self) -> list[dict[str, Any]]:
        from visionlib.explanation import list_map_layers

        size = (self.record.channels, *self.record.input_size)
        return [layer.to_dict() for layer in list_map_layers(self.model, size)]

    @property
    def settings(self) -> dict[str, Any]:
        """How the network takes in images."""
        record: ModelRecord = self.record
        return {
            "mean": record.mean,
            "std": record.std,
            "side_px": record.input_size[0],
            "precision": self.precision,
        }


def _draw_filters(looking: _Looking, layer: str | None, file: Path) -> dict[str, Any]:
    from visionlib.explanation import read_filters
    from visionlib.explanation.filter_picture import describe_filters, draw_filters

    found = read_filters(looking.model, layer)
    save_picture(draw_filters(found), file, describe_filters(found))
    log(f"drawn: {file}")
    return found.to_dict()


def _make_maps(
    looking: _Looking, layer: str, of: int | None, channels: tuple[int, ...] | None, file: Path | None
) -> dict[str, Any]:
    from visionlib.explanation import extract_feature_maps

    images = looking.load_split()
    place = _find_place(images, of, looking.split_name)
    found = extract_feature_maps(looking.model, images.images[place : place + 1], layer, **looking.settings)
    figures = found.to_dict(channels=channels)
    index, name = int(images.index[place]), images.classes[int(images.labels[place])]
    if file is not None:
        from visionlib.data.class_names import embed_name
        from visionlib.explanation.feature_picture import describe_feature_maps, draw_feature_maps

        title = f"{looking.split_name} image {index}, {embed_name(name)}"
        figure = draw_feature_maps(found, images.images[place], channels=channels, title=title)
        save_picture(figure, file, f"{title}: {describe_feature_maps(found, channels=channels)}")
        log(f"drawn: {file}")
    return {"split": looking.split_name, "index": index, "class": name, **figures}


def _make_images(
    looking: _Looking, layer: str, channels: tuple[int, ...] | None, count: int, file: Path
) -> dict[str, Any]:
    from visionlib.explanation import find_exciting_images
    from visionlib.explanation.exciting_picture import describe_exciting_images, draw_exciting_images

    images = looking.load_split()
    found = find_exciting_images(looking.model, images, layer, channels, k=count, **looking.settings)
    if channels is None:
        found = found.take(_OUTSTANDING)
    save_picture(draw_exciting_images(found, images.images), file, describe_exciting_images(found))
    log(f"drawn: {file}")
    return {"split": looking.split_name, **found.to_dict()}


def _find_place(split: "ImageSplit", index: int | None, name: str) -> int:
    if not len(split):
        raise ConfigError("--split", f"{name} has no images", "name another split")
    if index is None:
        return 0
    places = (split.index == index).nonzero().flatten().tolist()
    if not places:
        low, high = int(split.index.min()), int(split.index.max())
        raise ConfigError("--of", f"{name} has no image {index}", f"its images are numbered {low} to {high}")
    return int(places[0])


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


def _check_options(
    layer: str | None, channels: tuple[int, ...] | None, *, is_about_maps: bool, is_about_images: bool
) -> None:
    """Refuse, before anything is computed, options that lack what they are for."""
    if layer is None and (is_about_maps or is_about_images):
        raise ConfigError("--layer", "is missing", "name one; `visionlib features RUN` lists them")
    if channels is not None and not (is_about_maps or is_about_images):
        raise ConfigError("--channel", "there is nothing to show them of", "name a layer with --layer")
