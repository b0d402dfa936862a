"""The graph of a network's operations, and the questions about its nodes by which operations are fused."""

import inspect
import operator
import types
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

_SUMS = {operator.add, torch.add}
_RELUS = {F.relu, torch.relu}


def trace_network(model: nn.Module) -> tuple[nn.Module, fx.Graph]:
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


def called_module(node: fx.Node, root: nn.Module) -> nn.Module | None:
    """Return the module that a node calls; None for other nodes."""
    return root.get_submodule(str(node.target)) if node.op == "call_module" else None


def only_user(node: fx.Node) -> fx.Node | None:
    """Return the only node that reads a node's result; None if there are several or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def other_summand(node: fx.Node, summand: fx.Node) -> fx.Node | None:
    """Return the other operand, if a node is the sum of two different ones."""
    if node.target not in _SUMS or node.kwargs or len(node.all_input_nodes) != 2 or len(node.args) != 2:
        return None
    return next(other for other in node.all_input_nodes if other is not summand)


def is_relu(node: fx.Node, root: nn.Module) -> bool:
    """Whether a node is a ReLU that leaves its input as it is, or may overwrite it, as a module."""
    if node.op == "call_module":
        return type(called_module(node, root)) is nn.ReLU
    return node.op == "call_function" and node.target in _RELUS and len(node.args) == 1
