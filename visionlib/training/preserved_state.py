"""Run a network before its training, and leave it as it was found: tensors, attributes, modes and generators."""

import copy
import itertools
import random
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.inference.device import Compute


@contextmanager
def preserved_network(network: nn.Module) -> Iterator[None]:
    """Restore a network after the block: every number, every attribute of its modules, and their containers.

    Memory is restored as a whole, so that expanded tensors and views of one another are, too.
    """
    attributes = [vars(module) for module in network.modules()]
    values = [*itertools.chain.from_iterable(item.values() for item in attributes)]
    containers = [*attributes, *(value for value in values if isinstance(value, dict | list | set | deque))]
    contents = [(container, copy.copy(container)) for container in containers]
    tensors = [*network.parameters(), *network.buffers(), *(value for value in values if isinstance(value, Tensor))]
    storages = {s.data_ptr(): s for tensor in tensors if (s := _find_storage(tensor)) is not None}
    numbers = [(storage, storage.clone()) for storage in storages.values()]
    generators = [(value, value.get_state()) for value in values if isinstance(value, torch.Generator)]
    try:
        yield
    finally:
        for container, content in contents:
            _restore(container, content)
        for storage, original in numbers:
            storage.copy_(original)
        for generator, state in generators:
            generator.set_state(state)


@contextmanager
def seeded_generators(compute: Compute, seed: int) -> Iterator[None]:
    """Seed the generators while the block runs, such as for dropout, and restore them afterwards."""
    device = torch.device(compute.device)
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  the global generator
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def copy_network(network: nn.Module) -> nn.Module:
    """Copy a network with everything that belongs to it, so that nothing needs to be restored.

    Raises:
        ModelError: if a part of it refuses.
    """
    try:
        return copy.deepcopy(network)
    except Exception as error:  # whatever the network's own parts raise
        problem = f"cannot be copied ({error}), as averaging, the rate finder and a time limit need it"
        remedy = "keep no tensors with a graph, generators or open files in its attributes, or set --averaging none"
        raise ModelError(type(network).__name__, problem, remedy) from error


def _find_storage(tensor: Tensor) -> Any:
    if tensor.layout != torch.strided or tensor.device.type == "meta" or not tensor.numel():
        return None
    return tensor.untyped_storage()


def _restore(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, dict | set):
        container.update(content)
    else:
        container.extend(content)
