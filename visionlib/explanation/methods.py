"""The methods of making maps, and `MapMaker`, which computes the maps of one method for one network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.eval_mode import Precision, eval_mode
from visionlib.explanation.activation_maps import (
    fuse_maps,
    grad_cam,
    grad_cam_plus_plus,
    hi_res_cam,
    layer_cam,
    score_cam,
)
from visionlib.explanation.gradients import LayerGradients, trace_layers
from visionlib.explanation.input_maps import (
    INTEGRATION_STEPS,
    gradient,
    gradient_x_input,
    integrate_gradients,
    occlusion,
)
from visionlib.explanation.map_layers import MapLayer, find_map_layer, list_map_layers, read_layers
from visionlib.explanation.stages import choose_stages

Stages = Literal["all", "last", "last but one"]
FromLayer = Callable[[LayerGradients], Float32[Tensor, "n h w"]]
MapFunction = Callable[[nn.Module, Tensor, Tensor], Float32[Tensor, "n h w"]]
"""Computes maps from a network, normalized images, and the class to explain for each."""

DEFAULT_METHOD = "layercam-fused"


@dataclass(frozen=True)
class Method:
    """A method of making maps.

    Attributes:
        description: in a few words.
        from_layer: computes the map of a layer from gradients; None for Score-CAM and for maps at the input.
        from_input: computes the map at the input; None for maps of layers, and for integrated gradients.
        is_integrated: integrated gradients, whose maps come with their gaps of completeness.
        stages: stages of the network that it uses, if the user names no layers.
    """

    description: str
    from_layer: FromLayer | None = None
    from_input: MapFunction | None = None
    is_integrated: bool = False
    stages: Stages = "last"

    @property
    def is_of_input(self) -> bool:
        """Whether the maps are of the input, and of no layer."""
        return self.is_integrated or self.from_input is not None


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "layercam-fused": Method("product of the LayerCAM maps of several stages", layer_cam, stages="all"),
        "layercam": Method("activations times their positive gradients", layer_cam, stages="last but one"),
        "hirescam": Method("activations times their gradients", hi_res_cam),
        "grad-cam": Method("channels weighted by their mean gradient", grad_cam),
        "grad-cam++": Method("channels weighted by their positive gradients", grad_cam_plus_plus),
        "score-cam": Method("channels weighted by the logit of the image masked by them"),
        "gradient": Method("absolute gradient with respect to the pixels", from_input=gradient),
        "gradient-x-input": Method("pixels times their gradients", from_input=gradient_x_input),
        "integrated-gradients": Method("pixels times their gradients, averaged on a line", is_integrated=True),
        "occlusion": Method("drop of the logit when a cell is covered", from_input=occlusion),
    }
)


@dataclass(frozen=True)
class MapMaker:
    """Computes the maps of one method for one network.

    Attributes:
        method: its name.
        layers: of the network, finest first; none for maps at the input.
        precision: of convolutions and products.
        is_rough: integrate in the fewest steps, for maps that are only compared with each other.
    """

    method: str
    layers: tuple[MapLayer, ...]
    precision: Precision = "fp32"
    is_rough: bool = False

    def __call__(
        self, model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
    ) -> Float32[Tensor, "n mh mw"]:
        """Compute a map of the evidence for each image's class, at the method's own resolution.

        Maps are at least 0 and not scaled; a map without evidence is 0 everywhere. The network is not changed.

        Args:
            model: the network that the maker was made for.
            inputs: normalized images.
            classes: the class to explain for each.
        Raises:
            ModelError: if a layer does not run, no gradient reaches it, or a class is out of range.
        """
        return self.make(model, inputs, classes)[0]

    def make(
        self, model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
    ) -> tuple[Float32[Tensor, "n mh mw"], Float32[Tensor, "n"] | None]:
        """Compute maps as the call does, and their gaps of completeness; None for methods without this property."""
        method = METHODS[self.method]
        with eval_mode(model, precision=self.precision, has_gradients=True) as network:
            # Autograd rejects a tensor from inference mode; its copy is a normal tensor.
            inputs = inputs.detach().clone() if inputs.is_inference() else inputs.detach()
            classes = classes.clone() if classes.is_inference() else classes
            if method.is_integrated:
                steps = INTEGRATION_STEPS[:1] if self.is_rough else INTEGRATION_STEPS
                attributions = integrate_gradients(network, inputs, classes, steps)
                return attributions.maps, attributions.gaps
            if method.from_input is not None:
                return method.from_input(network, inputs, classes).detach().float(), None
            names = [layer.name for layer in self.layers]
            if method.from_layer is not None:
                maps = [method.from_layer(layer) for layer in trace_layers(network, inputs, classes, names)]
            else:
                with torch.no_grad():
                    maps = [score_cam(network, inputs, classes, read) for read in read_layers(network, inputs, names)]
            return (maps[0] if len(maps) == 1 and method.stages != "all" else fuse_maps(maps)), None


def make_map_maker(
    method: str,
    model: nn.Module,
    input_size: tuple[int, int, int],
    *,
    layers: Sequence[str] | None = None,
    precision: Precision = "fp32",
) -> MapMaker:
    """Find the layers of a network that a method uses.

    Args:
        method: one of `METHODS`.
        model: the network; it is not changed.
        input_size: channels, height and width of its inputs.
        layers: names of layers to use instead; maps of several are fused.
        precision: of convolutions and products.
    Raises:
        ConfigError: if the method is unknown, or layers are named for a method at the input.
        ModelError: if the layer is unknown, or its output is no map of positions.
    """
    if method not in METHODS:
        raise ConfigError(method, "there is no such method", f"known are: {', '.join(METHODS)}")
    if METHODS[method].is_of_input:
        if layers:
            raise ConfigError(method, "its maps are of the input, and of no layer", "leave the layers out")
        return MapMaker(method, (), precision)
    if layers:
        return MapMaker(method, tuple(find_map_layer(model, input_size, name) for name in layers), precision)
    stages = choose_stages(list_map_layers(model, input_size), input_size)
    selected = {"all": stages, "last": stages[-1:], "last but one": stages[-2:][:1]}[METHODS[method].stages]
    return MapMaker(method, selected, precision)
