"""Prediction on a CPU: each convolution of a network becomes one operation with what follows it.

Requirements:
- The network is not touched: folded weights are copies, and its other layers run as they are, with their hooks.
- Only what is proven is folded. The forward passes of torch's layers and of this library's networks are known; other
  code may count its calls, draw numbers or look at its inputs, which a traced graph would not repeat. Such networks run
  as they are, and so do those with hooks, which may look at what is folded.
- Results agree with the network's to rounding. What it gains: docs/experiments.md.
"""

import inspect
import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.modules import module as torch_module

from visionlib.eval_mode import Precision
from visionlib.inference.fused_convolution import Activation, FusedConvolution
from visionlib.inference.tracing import called_module, is_relu, only_user, other_summand, trace_network
from visionlib.models.cnn8 import halve

_KNOWN_CODE = ("torch.nn.modules.", "visionlib.models.")
_PURE_FUNCTIONS = {operator.getitem, operator.add, torch.add, torch.flatten, F.pad}
"""Functions that overwrite none of their operands."""


@contextmanager
def folded_network(model: nn.Module, precision: Precision) -> Iterator[nn.Module]:
    """Yield a network that predicts the same on a CPU, faster; the network itself if nothing is proven about it.

    Args:
        model: is not changed, and the yielded one is not told of later changes.
        precision: as in `eval_mode`, within which the yielded network is to be called.
    """
    folded = _fold_network(model, precision)
    try:
        yield folded
    finally:
        if folded is not model:
            # A traced network is cyclic garbage, which stays for long in a process that allocates much memory in few
            # objects. Its modules, and with them the copied weights, are freed here.
            folded._modules.clear()


def _fold_network(model: nn.Module, precision: Precision) -> nn.Module:
    if not _is_known(model):
        return model
    dtypes = {tensor.dtype for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()}
    is_on_cpu = all(tensor.device.type == "cpu" for tensor in (*model.parameters(), *model.buffers()))
    if not is_on_cpu or len(dtypes) != 1 or not dtypes <= {torch.float32, torch.float64}:
        return model
    # Autocast leaves float64 as it is.
    dtype = torch.bfloat16 if precision == "bf16" and dtypes == {torch.float32} else dtypes.pop()
    try:
        root, graph = trace_network(model)
    except Exception:  # a layer of torch may ask for a shape, and raise whatever it likes
        return model
    for node in list(graph.nodes):
        if type(conv := called_module(node, root)) is nn.Conv2d and _is_simple(node, conv):
            _fuse(node, conv, root, dtype)
    for node in graph.nodes:
        if type(fused := called_module(node, root)) is FusedConvolution and len(node.args) == 2:
            fused.overwrites_shortcut = _is_read_last(node, root)
    folded = fx.GraphModule(root, graph, type(model).__name__)
    root._modules.clear()
    return folded


def _is_known(model: nn.Module) -> bool:
    """Whether the code of every layer is torch's or this library's, and nobody looks on by a hook."""
    hooks = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
    return not any(hooks) and all(
        type(module).__module__.startswith(_KNOWN_CODE)
        and inspect.unwrap(type(module).forward).__module__.startswith(_KNOWN_CODE)
        and "forward" not in vars(module)
        and not module._forward_hooks
        and not module._forward_pre_hooks
        for module in model.modules()
    )


def _is_simple(node: fx.Node, conv: nn.Conv2d) -> bool:
    return (
        len(node.args) == 1 and not node.kwargs and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    )


def _fuse(node: fx.Node, conv: nn.Conv2d, root: nn.Module, dtype: torch.dtype) -> None:
    """Replace a convolution, and the normalization, the addition and the activation behind it, where they are alone."""
    graph, place, replaced, inputs = node.graph, node, [node], list(node.args)
    if (norm := _following_norm(node, root)) is not None:
        replaced.extend(node.users)
    elif (norm := _norm_behind_maximum(node, root)) is not None:
        _skip_norm(node)
    following = only_user(replaced[-1])
    if following is not None and (other := other_summand(following, replaced[-1])) and _can_wait(node, following, root):
        replaced.append(following)
        inputs.append(other)
        place = following
    activation: Activation = "none"
    following = only_user(replaced[-1])
    if following is not None and (found := _find_activation(following, root)) != "none":
        activation = found
        replaced.append(following)
    name = f"fused_{node.name}"
    root.add_module(name, FusedConvolution(conv, norm, dtype, activation=activation))
    with graph.inserting_after(place):
        replaced[-1].replace_all_uses_with(graph.call_module(name, tuple(inputs)))
    for old in reversed(replaced):
        graph.erase_node(old)


def _following_norm(node: fx.Node, root: nn.Module) -> nn.BatchNorm2d | None:
    """Return the normalization that alone reads a convolution's outputs, if it is fixed in eval mode."""
    reader = only_user(node)
    norm: Any = None if reader is None else called_module(reader, root)
    is_fixed = type(norm) is nn.BatchNorm2d and norm.running_mean is not None
    return norm if is_fixed and norm.running_var is not None else None


def _norm_behind_maximum(node: fx.Node, root: nn.Module) -> nn.BatchNorm2d | None:
    """Return the normalization that alone reads a maximum of a convolution's outputs, if it may come before it."""
    pool = only_user(node)
    if pool is None or not (pool.target is halve or type(called_module(pool, root)) is nn.MaxPool2d):
        return None
    norm = _following_norm(pool, root)
    # A maximum stays the maximum if its operands are multiplied by a factor above 0, not by one below.
    return norm if norm is not None and (norm.weight is None or bool((norm.weight > 0).all())) else None


def _skip_norm(node: fx.Node) -> None:
    """Take the normalization behind the maximum behind a convolution out of the graph."""
    pool = only_user(node)
    assert pool is not None
    norm = only_user(pool)
    assert norm is not None
    norm.replace_all_uses_with(pool)
    node.graph.erase_node(norm)


def _can_wait(node: fx.Node, last: fx.Node, root: nn.Module) -> bool:
    """Whether a convolution may run in the place of a later node: nothing between them overwrites its inputs."""
    between = node.next
    while between is not last:
        module = called_module(between, root)
        is_pure = between.target in _PURE_FUNCTIONS if module is None else not getattr(module, "inplace", False)
        if not is_pure:
            return False
        between = between.next
    return True


def _is_read_last(node: fx.Node, root: nn.Module) -> bool:
    """Whether a fused convolution is the last reader of its shortcut, which lies in memory of its own."""
    inputs, shortcut = node.args
    assert isinstance(shortcut, fx.Node)
    others = [reader for reader in shortcut.users if reader is not node]
    return (
        shortcut is not inputs
        and type(called_module(shortcut, root)) is FusedConvolution
        and all(reader < node and type(called_module(reader, root)) is FusedConvolution for reader in others)
    )


def _find_activation(node: fx.Node, root: nn.Module) -> Activation:
    module = called_module(node, root)
    if type(module) is nn.GELU and module.approximate == "none":
        return "gelu"
    return "relu" if is_relu(node, root) else "none"
