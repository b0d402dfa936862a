"""The built-in networks by name, and `build_model`, which builds one of them or a user-defined model."""

import difflib
import os
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from visionlib.errors import ModelError
from visionlib.models.cifar_resnet import resnet20, resnet32, resnet44, resnet56, resnet110, resnet1202
from visionlib.models.cnn8 import cnn8
from visionlib.models.initial_weights import open_weights, take_weights
from visionlib.models.layout import prepare_layout
from visionlib.models.resnet import resnet18, resnet34, resnet50, resnet101, resnet152
from visionlib.models.resnet9 import resnet9
from visionlib.models.user_model import call_builder, import_builder, name_network


class ModelBuilder(Protocol):
    """A function that builds a network."""

    def __call__(self, classes: int = 10, channels: int = 3) -> nn.Module:
        """Build it with weights drawn from torch's global generator."""


MODELS: dict[str, ModelBuilder] = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "resnet101": resnet101,
    "resnet152": resnet152,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
    "resnet110": resnet110,
    "resnet1202": resnet1202,
    "resnet9": resnet9,
    "cnn8": cnn8,
}
"""Every built-in network; `visionlib.models.names` repeats the names, without torch."""


def network_name(network: str | nn.Module | Callable[..., object]) -> str:
    """Return the name by which a run keeps a network; that of a network in memory may lead to none."""
    return next((name for name, builder in MODELS.items() if builder is network), None) or name_network(network)


def build_model(
    name: str | Callable[..., object],
    *,
    classes: int = 10,
    channels: int = 3,
    seed: int = 0,
    pretrained: str | os.PathLike[str] | None = None,
) -> nn.Module:
    """Build a network with weights that depend on `seed` alone; torch's global generator does not change.

    Args:
        name: one of `MODELS`; or a user-defined network, as `package.module:NAME` or `file.py:NAME`, found from the
            current directory, or as the class or function itself. It is called with the number of classes and of
            channels, by the names that it has for them, such as `num_classes` and `in_channels`; it may have none.
        classes: number of logits; at least 1.
        channels: channels of the images; at least 1.
        seed: of the weights.
        pretrained: weights to begin with, as `visionlib.models.initial_weights.open_weights` takes them: a name of
            `list_pretrained`, a run or a file. Layers that do not fit keep the weights of the seed, such as the head
            for another number of classes.
    Raises:
        ModelError: if the name is unknown, the user's module or function is absent or raises, or what it returns is no
            `nn.Module`; if there are no such pretrained weights, or they are of another network.
        RunError: if the run with the pretrained weights is unfinished or damaged.
        ValueError: if classes or channels is below 1.
    """
    network = _build(name, classes=classes, channels=channels, seed=seed)
    if pretrained is not None:
        own = network_name(name)
        weights = open_weights(pretrained, own)
        if weights.model not in (None, own):
            raise ModelError(pretrained, f"are weights of {weights.model}, and not of {own}", "build that network")
        take_weights(prepare_layout(network), weights, classes)
    return network


def _build(name: str | Callable[..., object], *, classes: int, channels: int, seed: int) -> nn.Module:
    if classes < 1 or channels < 1:
        raise ValueError(f"classes and channels must be at least 1, and they are {classes} and {channels}")
    if isinstance(name, str) and ":" not in name and name not in MODELS:
        close = difflib.get_close_matches(name.lower(), MODELS) or list(MODELS)
        remedy = f"choose from {', '.join(close)}, or name your own as package.module:function or file.py:function"
        raise ModelError(name, "there is no built-in model of this name", remedy, is_usage=True)
    with torch.random.fork_rng(devices=[]):
        if isinstance(name, str) and name in MODELS:
            # Not torch.manual_seed: it would seed the generators of GPUs too, which are not restored.
            torch.default_generator.manual_seed(seed)
            return MODELS[name](classes=classes, channels=channels)
        builder = import_builder(name) if isinstance(name, str) else name
        # After the import, which may draw random numbers the first time only.
        torch.default_generator.manual_seed(seed)
        return call_builder(name_network(name), builder, classes=classes, channels=channels)
