"""Replace the batch normalizations of a network, and the additions and ReLUs behind them, by the fused kernel."""

import inspect
import operator
import types
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from visionlib.errors import ConfigError
from visionlib.training.cpu.batch_norm import FusedNorm

_SUMS = {operator.add, torch.add}
_RELUS = {F.relu, torch.relu}


def fuse_norms(model: nn.Module) -> nn.Module:
    """Return a network with the same parameters and buffers that computes the same, by the kernel where possible.

    Each `BatchNorm2d` becomes a `FusedNorm`, together with the addition of a shortcut and the ReLU that follow it. They
    are fused only where nothing else reads the result between them.

    Args:
        model: its forward pass must do the same for every batch, since it is traced once; it is not changed.
    Raises:
        ConfigError: if it cannot be traced.
    """
    try:
        root, graph = _trace_network(model)
    except Exception as error:  # whatever the user's code raises
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            "kernels", f"{type(model).__name__} cannot be traced: {reason}", "leave it at auto"
        ) from error
    for node in list(graph.nodes):
        if (norm := _called_norm(node, root)) is not None:
            _fuse(node, norm, root)
    fused = fx.GraphModule(root, graph)
    fused.delete_all_unused_submodules()
    return fused


def _called_norm(node: fx.Node, root: nn.Module) -> nn.BatchNorm2d | None:
    """Return the batch normalization that a node calls, if the kernel can replace it."""
    module = _called_module(node, root)
    is_plain = type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats
    return module if is_plain else None  # type: ignore[return-value]


def _fuse(node: fx.Node, norm: nn.BatchNorm2d, root: nn.Module) -> None:
    """Replace a normalization, and the addition and the ReLU behind it, by the kernel."""
    graph, replaced, inputs = node.graph, [node], list(node.args)
    following = _only_user(replaced[-1])
    if following is not None and (shortcut := _other_summand(following, node)) is not None:
        replaced.append(following)
        inputs.append(shortcut)
    following = _only_user(replaced[-1])
    if has_relu := following is not None and _is_relu(following, root):
        replaced.append(following)
    readers = list(replaced[-1].users)
    has_two_readers = len(readers) == 2
    name = f"fused_{node.name}"
    root.add_module(name, FusedNorm(norm, has_relu=has_relu, has_two_readers=has_two_readers))
    with graph.inserting_after(replaced[-1]):
        fused = graph.call_module(name, tuple(inputs))
    for number, reader in enumerate(readers):
        with graph.inserting_after(fused):
            source = graph.call_function(operator.getitem, (fused, number)) if has_two_readers else fused
        reader.replace_input_with(replaced[-1], source)
    for old in reversed(replaced):
        graph.erase_node(old)


def _trace_network(model: nn.Module) -> tuple[nn.Module, fx.Graph]:
    """Trace a network with torch.fx; layers of torch are single nodes.

    Args:
        model: is not changed, but its forward runs once, with symbols in place of tensors.
    Returns:
        A root that contains the network, and the graph, whose nodes name modules of the root.
    Raises:
        Exception: whatever the network's forward raises if it asks for numbers or shapes.
    """
    root = nn.Sequential(model)  # a root of torch's own, so that the model's forward is traced by `call_module`
    return root, _Tracer().trace(root)


class _Tracer(fx.Tracer):
    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Trace the forward without the shape checks that tests wrap around it: a traced value has no shape."""
        if not self.is_leaf_module(m, self.path_of_module(m)):
            forward = types.MethodType(inspect.unwrap(type(m).forward), m)
        return super().call_module(m, forward, args, kwargs)


def _called_module(node: fx.Node, root: nn.Module) -> nn.Module | None:
    """Return the module that a node calls; None for other nodes."""
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def _only_user(node: fx.Node) -> fx.Node | None:
    """Return the only node that reads a node's result; None if there are several or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _other_summand(node: fx.Node, summand: fx.Node) -> fx.Node | None:
    """Return the other operand, if a node is the sum of two different ones."""
    if node.target not in _SUMS or node.kwargs or len(node.all_input_nodes) != 2 or len(node.args) != 2:
        return None
    return next(other for other in node.all_input_nodes if other is not summand)


def _is_relu(node: fx.Node, root: nn.Module) -> bool:
    """Whether a node is a ReLU that leaves its input as it is, or may overwrite it, as a module."""
    if node.op == "call_module":
        return type(_called_module(node, root)) is nn.ReLU
    return node.op == "call_function" and node.target in _RELUS and len(node.args) == 1
