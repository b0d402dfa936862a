"""The layers of a network that output a map of positions: listed by running it, and read batch by batch."""

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor, nn

from visionlib.errors import ConfigError, ModelError
from visionlib.eval_mode import eval_mode, input_format, unwrap_model
from visionlib.inference.prediction import pad_batch, run_network
from visionlib.inference.trained_model import TrainedModel
from visionlib.progress import progress_bar
from visionlib.summary.calls import first_tensor

_MOST_NAMED = 12
Visit = Callable[[int, Float32[Tensor, "n k h w"]], None]
"""Takes the position of a batch's first image, and the layer's output for the batch."""


@dataclass(frozen=True)
class MapLayer:
    """A layer whose output is a map of positions.

    Attributes:
        name: of the module, such as `layer1.0.conv1`.
        type: class of the module.
        channels: of its output.
        resolution: height and width of its output, in positions.
        calls: number of runs per batch; the last output counts.
    """

    name: str
    type: str
    channels: int
    resolution: tuple[int, int]
    calls: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Return all values as plain types for JSON."""
        return {
            "layer": self.name,
            "type": self.type,
            "channels": self.channels,
            "resolution": list(self.resolution),
            "calls": self.calls,
        }


def list_map_layers(model: nn.Module, input_size: tuple[int, int, int]) -> tuple[MapLayer, ...]:
    """List the layers whose output is a map of more than one position, in the order of their first output.

    Of an output that is no tensor, but a tuple, list, dict or object of any depth, the first tensor counts.

    Args:
        model: any network on images; it runs on two images of zeros and is not changed.
        input_size: channels, height and width of its inputs, in pixels.
    Raises:
        ModelError: if it does not run on inputs of this size.
    """
    layers: dict[str, MapLayer | None] = {}
    calls: dict[str, int] = {}

    def describe(name: str, module: nn.Module, output: object) -> None:
        tensor = first_tensor(output)
        calls[name] = calls.get(name, 0) + 1
        layers[name] = None
        if tensor is not None and _is_map(tensor):
            resolution = (tensor.shape[2], tensor.shape[3])
            layers[name] = MapLayer(name, type(module).__name__, tensor.shape[1], resolution, calls[name])

    def restart(module: nn.Module, args: object) -> None:
        layers.clear()
        calls.clear()

    with eval_mode(model) as inner:
        inputs = torch.zeros(2, *input_size, device=input_format(inner)[0])
        modules = {name: module for name, module in inner.named_modules() if name}
        # A network of mixed dtypes may be run twice: the first run is then one that failed.
        restarting = inner.register_forward_pre_hook(restart)
        with forward_hooks(modules, describe), _refuse_inputs(inner, input_size), restarting:
            run_network(inner, inputs)
    return tuple(layer for layer in layers.values() if layer is not None)


def find_map_layer(model: nn.Module, input_size: tuple[int, int, int], name: str) -> MapLayer:
    """Find a layer by its name.

    Raises:
        ModelError: if no layer has that name, or its output is no map of positions; the message names layers to use.
    """
    layers = {layer.name: layer for layer in list_map_layers(model, input_size)}
    if name in layers:
        return layers[name]
    if not layers:
        remedy = "use a network with convolutions"
        raise ModelError(type(unwrap_model(model)).__name__, "has no layer with a map of positions", remedy)
    if name in dict(unwrap_model(model).named_modules()):
        remedy = f"layers that do: {_list_names(layers)}"
        raise ModelError(f"layer {name!r}", "outputs no map of positions", remedy, is_usage=True)
    close = difflib.get_close_matches(name, layers, 3, 0.5)
    remedy = f"close to it: {', '.join(close)}" if close else f"there are: {_list_names(layers)}"
    raise ModelError(f"layer {name!r}", "is not in the network", remedy, is_usage=True)


def visit_layer(
    model: TrainedModel, images: UInt8[Tensor, "n c h w"], layer: str, visit: Visit, *, batch_size: int
) -> None:
    """Run a network over images, and pass the output of a layer to `visit` batch by batch, as a copy in float32.

    The network is restored afterwards, also if it or `visit` raises.

    Raises:
        ModelError: if the layer does not run, or does not output one map per image.
        ConfigError: if batch_size is below 1.
    """
    if batch_size < 1:
        raise ConfigError("batch_size", f"{batch_size} is out of range", "it must be at least 1")
    with (
        eval_mode(model.network, precision=model.precision) as network,
        progress_bar(f"running up to {layer}", len(images), "images") as advance,
    ):
        done = 0
        for chunk in torch.split(images, batch_size) if len(images) else ():
            with _refuse_inputs(network, model.input_size(chunk)):
                (outputs,) = read_layers(network, model.prepare(chunk), [layer])
            visit(done, outputs)
            done += len(chunk)
            advance(done)


@torch.no_grad()
def read_layers(
    model: nn.Module, inputs: Float32[Tensor, "n c h w"], names: Sequence[str]
) -> tuple[Float32[Tensor, "n _k _h _w"], ...]:
    """Run a network inside `eval_mode` without gradients, and return the outputs of layers, as copies in float32.

    Raises:
        ModelError: if a layer does not run, or does not output one map per image.
    """
    outputs: dict[str, Tensor | None] = {}

    def copy_output(name: str, module: nn.Module, output: object) -> None:
        tensor = first_tensor(output)
        # A copy: an in-place module after the layer would overwrite its output. A forward may use inference mode.
        with torch.inference_mode(mode=False):
            outputs[name] = None if tensor is None else tensor.detach().to(torch.float32, copy=True)

    padded = pad_batch(inputs)
    with forward_hooks({name: model.get_submodule(name) for name in names}, copy_output):
        run_network(model, padded)
    return tuple(check_map(name, outputs.get(name), len(padded))[: len(inputs)] for name in names)


def check_map(name: str, output: Tensor | None, n: int) -> Tensor:
    """Return a layer's output after checking that it holds one map per image.

    Raises:
        ModelError: if it does not.
    """
    if output is None or output.ndim != 4 or len(output) != n:
        problem = "does not output one map of positions for each image"
        raise ModelError(f"layer {name!r}", problem, "choose another layer")
    return output


def check_channels(layer: MapLayer, channels: Sequence[int]) -> tuple[int, ...]:
    """Return the channels as a tuple after checking that the layer has them.

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


def _list_names(layers: dict[str, MapLayer]) -> str:
    """List the first few names, the least nested modules first: these are the stages."""
    names = sorted(layers, key=lambda name: name.count("."))
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


@contextmanager
def forward_hooks(modules: Mapping[str, nn.Module], hook: Callable[[str, nn.Module, Any], Any]) -> Iterator[None]:
    """Call `hook` with name, module and output after each run of one of the modules, within the block.

    A result other than None replaces the output.
    """

    def make_hook(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda module, args, output: hook(name, module, output)

    handles = []
    try:
        for name, module in modules.items():
            handles.append(module.register_forward_hook(make_hook(name)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _refuse_inputs(model: nn.Module, input_size: tuple[int, int, int]) -> Iterator[None]:
    """Raise a ModelError if the network does not accept inputs of this size within the block."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError) as error:
        size = " x ".join(map(str, input_size))
        remedy = "give images of the size that it was made for"
        raise ModelError(type(model).__name__, f"does not run on inputs of {size} ({error})", remedy) from error
