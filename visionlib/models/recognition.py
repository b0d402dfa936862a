"""Which network weights are of: recognized by the names and shapes of their tensors."""

import functools
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from visionlib.errors import ModelError
from visionlib.models.checkpoints import is_counter, strip_prefixes, translate_names
from visionlib.models.initial_weights import InitialWeights, find_head
from visionlib.models.registry import MODELS, build_model, network_name

_CLASSES, _CHANNELS = 10, 3


def recognize_network(weights: InitialWeights) -> str:
    """Return the name of the built-in network that has exactly these tensors, for some numbers of classes and channels.

    Raises:
        ModelError: if there is none; the message names the closest.
    """
    distances: dict[str, list[str]] = {}
    for name in MODELS:
        network = _outline(name, *count_outputs_and_channels(_outline(name, _CLASSES, _CHANNELS), weights))
        distances[name] = _list_differences(network, weights)
        if not distances[name]:
            return name
    closest = min(distances, key=lambda name: len(distances[name]))
    differing = distances[closest]
    problem = f"is of no built-in network; the closest is {closest}, and {len(differing)} tensors differ"
    remedy = "name the network by --model, or your own as file.py:NAME"
    raise ModelError(weights.source, f"{problem} (first {differing[0]})", remedy)


@functools.cache
def _outline(name: str, classes: int, channels: int) -> nn.Module:
    """Build a network of names and shapes, without weights; it takes a second for the deepest of them."""
    with torch.device("meta"):
        return MODELS[name](classes, channels)


def count_outputs_and_channels(network: nn.Module, weights: InitialWeights) -> tuple[int, int]:
    """Read the numbers of classes and of images' channels that weights are for off the layers of a network.

    Where the weights lack the layer, the number is the network's own.
    """
    layers = dict(network.named_modules())
    linear = [name for name, layer in layers.items() if isinstance(layer, nn.Linear)]
    head = find_head(network, _CLASSES) or (linear[-1] if linear else None)
    stem = next((name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)), None)
    names = {name: bare for bare, name in strip_prefixes(network.state_dict()).items()}
    stored = translate_names(weights.state, names.values())
    rows: tuple[int, ...] = tuple(getattr(stored.get(names.get(f"{head}.weight", "")), "shape", ()))
    filters: tuple[int, ...] = tuple(getattr(stored.get(names.get(f"{stem}.weight", "")), "shape", ()))
    groups = getattr(layers.get(stem or ""), "groups", 1)
    return rows[0] if len(rows) == 2 else _CLASSES, filters[1] * groups if len(filters) == 4 else _CHANNELS


def build_for(model: str | None, weights: InitialWeights) -> tuple[str, nn.Module]:
    """Build the network of weights, without them, for their numbers of classes and channels; return its name as well.

    Args:
        model: what `build_model` takes; None recognizes one of the built-in networks.
        weights: give the numbers.
    Raises:
        ModelError: if the network is not recognized, or cannot be built.
    """
    builder = model or weights.model or recognize_network(weights)
    sample = build_model(builder, classes=_CLASSES, channels=_CHANNELS)
    classes, channels = count_outputs_and_channels(sample, weights)
    return network_name(builder), build_model(builder, classes=classes, channels=channels)


def _list_differences(network: nn.Module, weights: InitialWeights) -> list[str]:
    """List the names of tensors that one side lacks or has in another shape; counters may be absent."""
    own: Mapping[str, Any] = network.state_dict()
    stored = translate_names(weights.state, own)
    absent = [name for name, value in own.items() if name not in stored and not is_counter(value)]
    shapes = [name for name in own if name in stored and getattr(stored[name], "shape", None) != own[name].shape]
    return [*absent, *shapes, *(name for name in stored if name not in own)]
