"""The methods by name, and what makes their maps: a literal table, and a maker with its layers found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.errors import ConfigError
from visionlib.eval_mode import eval_mode
from visionlib.explanation.activation_maps import (
    fuse_maps,
    grad_cam,
    grad_cam_plus_plus,
    hi_res_cam,
    layer_cam,
    score_cam,
)
from visionlib.explanation.gradients import LayerGradients, trace_layers
from visionlib.explanation.input_maps import gradient, gradient_x_input, integrated_gradients, occlusion
from visionlib.explanation.map_layers import MapLayer, find_map_layer, list_map_layers
from visionlib.explanation.stages import choose_stages

Stages = Literal["all", "last", "last but one"]
FromLayer = Callable[[LayerGradients], Float32[Tensor, "n h w"]]
FromInput = Callable[[nn.Module, Tensor, Tensor], Float32[Tensor, "n h w"]]

DEFAULT_METHOD = "layercam-fused"


@dataclass(frozen=True)
class Method:
    """How a map is made.

    Attributes:
        words: what it is, for people.
        from_layer: makes the map of one layer; None for maps on the input.
        from_input: makes the map on the input; None for maps of layers.
        stages: which of the network's stages it takes, if the user names no layers.
        is_masking: whether it looks through the channels of the layer instead of differentiating.
    """

    words: str
    from_layer: FromLayer | None = None
    from_input: FromInput | None = None
    stages: Stages = "last"
    is_masking: bool = False


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "layercam-fused": Method("LayerCAM of several stages, where all of them speak", layer_cam, stages="all"),
        "layercam": Method("activations times their positive gradients", layer_cam, stages="last but one"),
        "hirescam": Method("activations times their gradients", hi_res_cam),
        "grad-cam": Method("channels weighed by their mean gradient", grad_cam),
        "grad-cam++": Method("channels weighed by their positive gradients", grad_cam_plus_plus),
        "score-cam": Method("channels weighed by the logit of the image seen through them", is_masking=True),
        "gradient": Method("size of the gradient by the pixels", from_input=gradient),
        "gradient-x-input": Method("pixels times their gradients", from_input=gradient_x_input),
        "integrated-gradients": Method("pixels times their gradients on the way", from_input=integrated_gradients),
        "occlusion": Method("fall of the logit when a cell is covered", from_input=occlusion),
    }
)


@dataclass(frozen=True)
class MapMaker:
    """Makes the maps of one method for one network.

    Attributes:
        method: its name.
        layers: what the maps are taken from, finest first; none for maps on the input.
        precision: format of the network's convolutions and products.
    """

    method: str
    layers: tuple[MapLayer, ...]
    precision: Literal["fp32", "bf16"] = "fp32"

    def __call__(
        self, model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"]
    ) -> Float32[Tensor, "n mh mw"]:
        """Make a map of the evidence for each image's class, at the resolution that the method has.

        Maps are not scaled: at least 0, and 0 everywhere where there is no evidence. The network is left as it was.

        Args:
            model: the network that the maker was made for.
            inputs: normalised images.
            classes: the class of each that is to be explained.
        Raises:
            ModelError: if a layer does not run, or a class is out of range.
        """
        method = METHODS[self.method]
        with eval_mode(model, precision=self.precision, has_gradients=True) as inside:
            # What was made in inference mode can have no gradients; a copy can.
            inputs = inputs.detach().clone() if inputs.is_inference() else inputs.detach()
            classes = classes.clone() if classes.is_inference() else classes
            if method.from_input is not None:
                return method.from_input(inside, inputs, classes).detach().float()
            traced = trace_layers(inside, inputs, classes, [layer.name for layer in self.layers])
            with torch.no_grad():
                maps = [self._map_layer(inside, inputs, classes, one) for one in traced]
                return maps[0] if len(maps) == 1 and method.stages != "all" else fuse_maps(maps)

    def _map_layer(
        self, model: nn.Module, inputs: Float32[Tensor, "n c h w"], classes: Int64[Tensor, "n"], traced: LayerGradients
    ) -> Float32[Tensor, "n mh mw"]:
        if METHODS[self.method].is_masking:
            return score_cam(model, inputs, classes, traced.activations)
        from_layer = METHODS[self.method].from_layer
        assert from_layer is not None
        return from_layer(traced)


def make_map_maker(
    method: str,
    model: nn.Module,
    input_size: tuple[int, int, int],
    *,
    layers: Sequence[str] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> MapMaker:
    """Find the layers that a method takes of a network, and give what makes the maps.

    Args:
        method: one of `METHODS`.
        model: the network; it is left as it was.
        input_size: channels, height and width of its inputs.
        layers: names of layers to take instead; maps of several are fused.
        precision: format of the network's convolutions and products.
    Raises:
        ConfigError: if there is no such method, or it takes no layers.
        ModelError: if there is no such layer, or it has no height and width.
    """
    if method not in METHODS:
        raise ConfigError(method, "there is no such method", f"known are: {', '.join(METHODS)}")
    if METHODS[method].from_input is not None:
        if layers:
            raise ConfigError(method, "its maps are of the input, and of no layer", "leave the layers out")
        return MapMaker(method, (), precision)
    if layers:
        return MapMaker(method, tuple(find_map_layer(model, input_size, name) for name in layers), precision)
    stages = choose_stages(list_map_layers(model, input_size), input_size)
    taken = {"all": stages, "last": stages[-1:], "last but one": stages[-2:][:1]}[METHODS[method].stages]
    return MapMaker(method, taken, precision)
