"""Restore everything that a forward pass can change in a model: modes, attributes, containers, random generators.

`visionlib.eval_mode` leaves attributes to the model, which may record what its user wants. Here the model runs on
tensors without values, of which nothing may stay behind. Weights and buffers written to in place are restored by
`Interpreter.restore`: a copy of all would cost memory.
"""

import contextlib
import copy
import random
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


@contextlib.contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Run the block in eval mode; then restore modes, attributes and random generators."""
    modules = list(model.modules())
    saved = [(container, copy.copy(container)) for module in modules for container in _containers(module)]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    tensors = (*model.parameters(), *model.buffers())
    devices = {tensor.device for tensor in tensors if tensor.device.type == "cuda"}
    with torch.random.fork_rng(list(devices)):
        for module in modules:
            module.training = False
        try:
            yield
        finally:
            for container, content in saved:
                _restore(container, content)
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _containers(module: nn.Module) -> Iterator[Any]:
    """The attribute dict of a module, and all attributes that are dicts, lists or sets."""
    yield vars(module)
    for value in vars(module).values():
        if type(value) in (dict, OrderedDict, list, set):
            yield value


def _restore(container: Any, content: Any) -> None:
    """Restore the content of a container; an unchanged one is not written to."""
    if isinstance(container, dict):
        for key in [key for key in container if key not in content]:
            del container[key]
        changed = {key: value for key, value in content.items() if key not in container or container[key] is not value}
        container.update(changed)
    elif isinstance(container, list):
        if len(container) != len(content) or any(a is not b for a, b in zip(container, content, strict=True)):
            container[:] = content
    elif container != content:
        container.clear()
        container.update(content)
