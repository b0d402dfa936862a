"""Replace the batch normalizations of a network, and the additions and ReLUs behind them, by the fused kernel."""

import operator

from torch import fx, nn

from visionlib.errors import ConfigError
from visionlib.inference.tracing import called_module, is_relu, only_user, other_summand, trace_network
from visionlib.training.cpu.batch_norm import FusedNorm


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
        root, graph = trace_network(model)
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
    module = called_module(node, root)
    is_plain = type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats
    return module if is_plain else None  # type: ignore[return-value]


def _fuse(node: fx.Node, norm: nn.BatchNorm2d, root: nn.Module) -> None:
    """Replace a normalization, and the addition and the ReLU behind it, by the kernel."""
    graph, replaced, inputs = node.graph, [node], list(node.args)
    following = only_user(replaced[-1])
    if following is not None and (shortcut := other_summand(following, node)) is not None:
        replaced.append(following)
        inputs.append(shortcut)
    following = only_user(replaced[-1])
    if has_relu := following is not None and is_relu(following, root):
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
