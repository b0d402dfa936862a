"""Find the normalisations of a network, with what stands around them, and put the kernel in their place."""

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
_RECTIFIERS = {F.relu, torch.relu}


def fuse_norms(model: nn.Module) -> nn.Module:
    """Give a network that computes the same, with the same weights and statistics, by the kernel where it can.

    In place of a normalisation by batches stands one operation that also does what follows it alone: the sum with a
    shortcut, and the rectifier. Its output forks where two read it.

    Args:
        model: does the same whatever it is shown, since what it does is written down once; it stays as it is.
    Raises:
        ConfigError: if what it does depends on what it is shown.
    """
    root = nn.Sequential(model)  # of torch's own kind, so that the network's own code is traced as that of a part
    try:
        graph = _Tracer().trace(root)
    except Exception as error:  # whatever the network's own code raises
        trouble = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            "kernels", f"what {type(model).__name__} does cannot be written down: {trouble}", "leave it at auto"
        ) from error
    for node in list(graph.nodes):
        if (norm := _norm_of(node, root)) is not None:
            _fuse(node, norm, root)
    fused = fx.GraphModule(root, graph)
    fused.delete_all_unused_submodules()
    return fused


class _Tracer(fx.Tracer):
    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Go through a part's own code without the checks of shapes that tests wrap around it: nothing has a shape."""
        if not self.is_leaf_module(m, self.path_of_module(m)):
            forward = types.MethodType(inspect.unwrap(type(m).forward), m)
        return super().call_module(m, forward, args, kwargs)


def _norm_of(node: fx.Node, root: nn.Module) -> nn.BatchNorm2d | None:
    """Give the normalisation that a node calls, if it is one that the kernel can stand for."""
    module = root.get_submodule(str(node.target)) if node.op == "call_module" else None
    is_plain = type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats
    return module if is_plain else None  # type: ignore[return-value]


def _fuse(node: fx.Node, norm: nn.BatchNorm2d, root: nn.Module) -> None:
    """Put the kernel in the place of a normalisation and of the sum and the rectifier that follow it alone."""
    graph, replaced, inputs = node.graph, [node], list(node.args)
    following = _only_user(replaced[-1])
    if following is not None and (shortcut := _other_summand(following, node)) is not None:
        replaced.append(following)
        inputs.append(shortcut)
    following = _only_user(replaced[-1])
    if rectifies := following is not None and _is_rectifier(following, root):
        replaced.append(following)
    readers = list(replaced[-1].users)
    forks = len(readers) == 2
    name = f"fused_{node.name}"
    root.add_module(name, FusedNorm(norm, rectifies=rectifies, forks=forks))
    with graph.inserting_after(replaced[-1]):
        fused = graph.call_module(name, tuple(inputs))
    for at, reader in enumerate(readers):
        with graph.inserting_after(fused):
            source = graph.call_function(operator.getitem, (fused, at)) if forks else fused
        reader.replace_input_with(replaced[-1], source)
    for of_old in reversed(replaced):
        graph.erase_node(of_old)


def _other_summand(node: fx.Node, summand: fx.Node) -> fx.Node | None:
    """Give what is added to a summand, if a node is a sum of two."""
    if node.target not in _SUMS or node.kwargs or len(node.all_input_nodes) != 2 or len(node.args) != 2:
        return None
    return next(other for other in node.all_input_nodes if other is not summand)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _is_rectifier(node: fx.Node, root: nn.Module) -> bool:
    if node.op == "call_module":
        return type(root.get_submodule(str(node.target))) is nn.ReLU
    return node.op == "call_function" and node.target in _RECTIFIERS and len(node.args) == 1
