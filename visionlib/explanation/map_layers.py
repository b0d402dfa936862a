"""The layers of a network that put out a map of positions: found by running it, and watched batch by batch."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError
from visionlib.eval_mode import eval_mode, input_format, unwrap_model
from visionlib.inference.prediction import MIN_BATCH_ROWS, pad_batch
from visionlib.inference.preprocessing import prepare_inputs, scale_width
from visionlib.progress import progress_bar
from visionlib.summary.calls import first_tensor

_MOST_NAMED = 12
Visit = Callable[[int, Float32[Tensor, "n k h w"]], None]
"""Takes the number of a batch's first image, and what the layer put out for the batch."""


@dataclass(frozen=True)
class MapLayer:
    """A layer that puts out a map of positions.

    Attributes:
        name: where it hangs in the network, such as `layer1.0.conv1`.
        type: class of the module.
        channels: of its output.
        resolution: height and width of its output, in positions.
        calls: how often it runs on a batch; it is the last time that is looked at.
    """

    name: str
    type: str
    channels: int
    resolution: tuple[int, int]
    calls: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Give it as plain values for JSON."""
        return {
            "layer": self.name,
            "type": self.type,
            "channels": self.channels,
            "resolution": list(self.resolution),
            "calls": self.calls,
        }


def list_map_layers(model: nn.Module, input_size: tuple[int, int, int]) -> tuple[MapLayer, ...]:
    """List the layers that put out a map of more than one position, in the order in which they first end.

    Args:
        model: any network on images; it is run on two black ones and left as it was.
        input_size: channels, height and width of what it takes in, in pixels.
    Raises:
        ModelError: if it does not run on such images.
    """
    model = unwrap_model(model)
    found: dict[str, MapLayer | None] = {}
    calls: dict[str, int] = {}

    def see(name: str, module: nn.Module, output: object) -> None:
        tensor = first_tensor(output)
        calls[name] = calls.get(name, 0) + 1
        found[name] = None
        if tensor is not None and _is_map(tensor):
            resolution = (tensor.shape[2], tensor.shape[3])
            found[name] = MapLayer(name, type(module).__name__, tensor.shape[1], resolution, calls[name])

    device, dtype = input_format(model)
    inner = {name: module for name, module in model.named_modules() if name}
    with eval_mode(model), _forward_hooks(inner, see):
        _run_model(model, torch.zeros(2, *input_size, device=device, dtype=dtype))
    return tuple(layer for layer in found.values() if layer is not None)


def find_map_layer(model: nn.Module, input_size: tuple[int, int, int], name: str) -> MapLayer:
    """Find a layer by its name.

    Raises:
        ModelError: if there is none of that name, or it puts out no map of positions; the message names some that do.
    """
    layers = {layer.name: layer for layer in list_map_layers(model, input_size)}
    if name in layers:
        return layers[name]
    if not layers:
        remedy = "it cannot be looked into this way"
        raise ModelError(type(unwrap_model(model)).__name__, "has no layer with a map of positions", remedy)
    if name in dict(unwrap_model(model).named_modules()):
        raise ModelError(f"layer {name!r}", "puts out no map of positions", f"layers that do: {_name_some(layers)}")
    close = difflib.get_close_matches(name, layers, 3, 0.5)
    remedy = f"close to it: {', '.join(close)}" if close else f"there are: {_name_some(layers)}"
    raise ModelError(f"layer {name!r}", "is not in the network", remedy)


def visit_layer(
    model: nn.Module,
    images: UInt8[Tensor, "n c h w"],
    layer: str,
    visit: Visit,
    *,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    side_px: int | None,
    batch_size: int,
    precision: Literal["fp32", "bf16"],
) -> None:
    """Run a network over images, and hand over what a layer puts out, batch by batch, as a copy in float32.

    The network is left as it was, also if it or `visit` raises.

    Raises:
        ModelError: if the layer does not run, or does not put out one map per image.
        ConfigError: if batch_size is below 1.
    """
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    model = unwrap_model(model)
    device, dtype = input_format(model)
    kept: list[Tensor] = []

    def keep(name: str, module: nn.Module, output: object) -> None:
        tensor = first_tensor(output)
        # A copy: what comes after may write in its place.
        kept[:] = [] if tensor is None else [tensor.detach().to(torch.float32, copy=True)]

    with (
        eval_mode(model, precision=precision),
        _forward_hooks({layer: model.get_submodule(layer)}, keep),
        progress_bar(f"watching {layer}", len(images), "images") as advance,
    ):
        done = 0
        for chunk in torch.split(images, batch_size) if len(images) else ():
            inputs = prepare_inputs(chunk.to(device), mean, std, side_px).to(dtype)
            _run_model(model, pad_batch(inputs))
            outputs = kept.pop() if kept else None
            if outputs is None or outputs.ndim != 4 or len(outputs) != max(len(chunk), MIN_BATCH_ROWS):
                problem = "does not put out one map of positions for each image"
                raise ModelError(f"layer {layer!r}", problem, "choose another layer")
            visit(done, outputs[: len(chunk)])
            done += len(chunk)
            advance(done)


def size_of_inputs(images: UInt8[Tensor, "n c h w"], side_px: int | None) -> tuple[int, int, int]:
    """Tell channels, height and width of what the network takes in of such images.

    Raises:
        ConfigError: if they are not pixels as stored.
    """
    if images.dtype != torch.uint8 or images.ndim != 4:
        kind = f"{str(images.dtype).removeprefix('torch.')} of {images.ndim} dimensions"
        raise ConfigError("images", f"are {kind}", "give uint8 pixels as stored: image, channel, row, column")
    channels, height, width = images.shape[1:]
    return (channels, height, width) if side_px is None else (channels, side_px, scale_width(height, width, side_px))


def check_channels(layer: MapLayer, channels: Sequence[int]) -> tuple[int, ...]:
    """Refuse channels that a layer does not have.

    Raises:
        ConfigError: if one is out of range.
    """
    for channel in channels:
        if not 0 <= channel < layer.channels:
            remedy = f"{layer.name} has channels 0..{layer.channels - 1}"
            raise ConfigError("channels", f"{channel} is out of range", remedy)
    return tuple(channels)


def _is_map(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and len(tensor) == 2 and tensor.is_floating_point() and tensor[0, 0].numel() > 1


def _name_some(layers: dict[str, MapLayer]) -> str:
    """Name those first that stand for whole stages: the ones with the shortest way to them."""
    names = sorted(layers, key=lambda name: name.count("."))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


@contextmanager
def _forward_hooks(modules: dict[str, nn.Module], see: Callable[[str, nn.Module, Any], None]) -> Iterator[None]:
    """Show `see` what each of the modules puts out, by its name, while the block runs."""

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda module, args, output: see(name, module, output)

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(make_hook(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _run_model(model: nn.Module, inputs: Tensor) -> None:
    """Run a network for what can be seen within.

    Raises:
        ModelError: if it does not run on such inputs.
    """
    try:
        model(inputs)
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        size = " x ".join(map(str, inputs.shape[1:]))
        remedy = "give images such as it was made for"
        raise ModelError(type(model).__name__, f"does not run on inputs of {size} ({error})", remedy) from error
