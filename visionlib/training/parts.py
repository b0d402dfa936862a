"""The parts of a step: sums over them, and statistics of them, with the same bits in any number of processes.

Requirements:
- A step has a fixed number of parts, and each process owns a range of them.
- A sum over the parts follows one balanced binary tree over their numbers. A process adds what lies within its range;
  the sums that are left are exchanged, and added along the same tree. So no order depends on the number of processes,
  and a process holds log2(parts) gradients at a time.
- Every part begins with the buffers from before the step. How it changes them is summed like the gradients.
- Nothing waits for a number from the device, so that the step of one process can be recorded as a CUDA graph.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from visionlib.training.distributed import ProcessGroup

_STATISTICS, _COUNTER = ("running_mean", "running_var"), "num_batches_tracked"
"""Buffers of torch's normalizations. Without a momentum the first two are means over all batches that are counted."""


@dataclass
class _Node:
    """A node of the tree: the sums over the parts `first` to `first + size - 1`; None for a gradient that is absent."""

    first: int
    size: int
    values: list[Tensor | None]

    def add(self, right: "_Node") -> None:
        """Add the node behind this one."""
        pairs = [(a, b) for a, b in zip(self.values, right.values, strict=True) if a is not None and b is not None]
        if pairs:
            torch._foreach_add_([a for a, _ in pairs], [b for _, b in pairs])
        self.values = [b if a is None else a for a, b in zip(self.values, right.values, strict=True)]
        self.size += right.size


def _append(nodes: list[_Node], node: _Node) -> None:
    """Append the next node, and add those that are the halves of a larger one."""
    nodes.append(node)
    while len(nodes) > 1 and nodes[-2].size == nodes[-1].size and nodes[-2].first % (2 * nodes[-1].size) == 0:
        right = nodes.pop()
        nodes[-1].add(right)


def _add_up(nodes: list[_Node]) -> list[Tensor | None]:
    """Add the nodes that are left, the last ones first."""
    while len(nodes) > 1:
        right = nodes.pop()
        nodes[-1].add(right)
    return nodes[0].values


def _list_nodes(own: range) -> list[tuple[int, int]]:
    """List first part and size of each node that a process is left with."""
    nodes: list[_Node] = []
    for part in own:
        _append(nodes, _Node(part, 1, []))
    return [(node.first, node.size) for node in nodes]


class PartSum:
    """The sums of gradients, losses, hits and changed buffers over all parts of a step.

    Args:
        network: that learns, the same in all processes.
        group: the processes.
        parts: of a step, in all processes together.
        used: number of the first ones of them, which alone are summed.
    """

    def __init__(self, network: nn.Module, group: ProcessGroup, parts: int, used: int) -> None:
        self._parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self._group, self._used = group, used
        self._owned = [
            _list_nodes(own[: max(0, used - own.start)])
            for own in (group.own_parts(parts, rank) for rank in range(group.size))
        ]
        self._buffers = _PartBuffers(network, used)
        self._nodes: list[_Node] = []

    def begin(self) -> None:
        """Begin the next part."""
        self._buffers.restore()

    def add(self, part: int, loss: Float32[Tensor, ""], correct: Int64[Tensor, ""]) -> None:
        """Add a part: gradients are taken from the parameters."""
        numbers = torch.cat([torch.stack([loss, correct.float()]), self._buffers.changes(part)])
        _append(self._nodes, _Node(part, 1, [*(parameter.grad for parameter in self._parameters), numbers]))
        for parameter in self._parameters:
            parameter.grad = None

    def finish(self) -> tuple[Float32[Tensor, ""], Int64[Tensor, ""]]:
        """Give the network the sums of all processes' parts; return the loss and the number of correct predictions."""
        *gradients, numbers = _add_up(self._nodes) if self._group.size == 1 else self._exchange()
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        assert numbers is not None
        self._buffers.apply(numbers[2:])
        return numbers[0], numbers[1].to(torch.int64)

    def _exchange(self) -> list[Tensor | None]:
        """Sum the nodes of all processes."""
        tensors = [*self._parameters, self._parameters[0].new_empty(2 + self._buffers.size)]
        # A one behind them for each that is there: a network may use some of its parameters in some parts only.
        n = sum(tensor.numel() for tensor in tensors)
        rows = tensors[0].new_empty(len(self._nodes), -(-(n + len(tensors)) // self._group.size) * self._group.size)
        for row, node in zip(rows, self._nodes, strict=True):
            for view, value in zip(_views(row, tensors), node.values, strict=True):
                view.zero_() if value is None else view.copy_(value)
            row[n:].zero_()
            row[n : n + len(tensors)] = torch.tensor([float(value is not None) for value in node.values])
        places = [*itertools.chain.from_iterable(self._owned)]

        def add_rows(received: Float32[Tensor, "m n"]) -> Float32[Tensor, "n"]:
            nodes: list[_Node] = []
            for (first, size), row in zip(places, received, strict=True):
                _append(nodes, _Node(first, size, [row]))
            (total,) = _add_up(nodes)
            assert total is not None
            return total

        total = self._group.sum_rows(rows, [len(nodes) for nodes in self._owned], add_rows)
        views = _views(total, tensors)
        own: list[Tensor | None] = self._nodes[0].values if self._nodes else [None] * len(tensors)
        # Into the tensors of the backward pass, which lie in memory as in one process: kernels may depend on it.
        pairs = [(value, view) for value, view in zip(own, views, strict=True) if value is not None]
        if pairs:
            torch._foreach_copy_([value for value, _ in pairs], [view for _, view in pairs])
        if all(value is not None for value in own):
            return own
        is_present = total[n : n + len(tensors)].tolist()
        absent = (view.clone() if present else None for view, present in zip(views, is_present, strict=True))
        return [value if value is not None else other for value, other in zip(own, absent, strict=True)]


def _views(row: Float32[Tensor, "n"], tensors: Sequence[Tensor]) -> list[Tensor]:
    """Return views of a row, one after another, with the shapes of tensors and their order in memory."""
    views, start = [], row.storage_offset()
    for tensor in tensors:
        views.append(row.as_strided(tensor.shape, torch.empty_like(tensor, device="meta").stride(), start))
        start += tensor.numel()
    return views


class _PartBuffers:
    """The buffers of a network through the parts of a step.

    Running statistics of normalizations are updated as by one part after another. Other floating-point buffers become
    the mean over the parts, whole numbers have the value after any part.

    Args:
        network: that learns.
        parts: that are summed.
    """

    def __init__(self, network: nn.Module, parts: int) -> None:
        self._network, self._parts = network, parts
        self._before = {name: buffer.clone() for name, buffer in self._list().items()}
        self._kept, counters = dict[str, float](), set[str]()
        for prefix, module in network.named_modules():
            if isinstance(module, _NormBase) and module.track_running_stats:
                counters.add(counter := f"{prefix}.{_COUNTER}".lstrip("."))
                if module.momentum is not None:
                    self._kept.update({f"{prefix}.{name}".lstrip("."): 1 - module.momentum for name in _STATISTICS})
                    self._kept[counter] = 1.0
        self._summed = [name for name, b in self._before.items() if b.is_floating_point() or name in counters]
        self.size = sum(self._before[name].numel() for name in self._summed)
        """Numbers of which they are."""

    def restore(self) -> None:
        """Begin a part with the values from before the step."""
        for name, buffer in self._list().items():
            if name in self._before and buffer.shape == self._before[name].shape:  # else a cache, which comes and goes
                buffer.copy_(self._before[name])

    def changes(self, part: int) -> Float32[Tensor, "n"]:
        """Return how a part has changed the buffers, with its weight in the sum."""
        now, changes = self._list(), [torch.zeros(0, device=next(self._network.parameters()).device)]
        for name in self._summed:
            before = self._before[name]
            change = now[name] - before if name in now and now[name].shape == before.shape else torch.zeros_like(before)
            # r + sum of (1 - m)^(parts behind) m (x - r) is what one update by x after another makes of r.
            weight = self._kept[name] ** (self._parts - 1 - part) if name in self._kept else 1 / self._parts
            changes.append((change.float() * weight).flatten())
        # A constant of infinity, as in a mask, has no difference to itself.
        return torch.cat(changes).nan_to_num_(nan=0.0, posinf=torch.inf, neginf=-torch.inf)

    def apply(self, changes: Float32[Tensor, "n"]) -> None:
        """Add the sum of all parts' changes."""
        now = self._list()
        pieces = torch.split(changes, [self._before[name].numel() for name in self._summed])
        for name, piece in zip(self._summed, pieces, strict=True):
            before = self._before[name]
            if name in now and now[name].shape == before.shape:
                piece = piece if before.is_floating_point() else piece.round()
                now[name].copy_(before + piece.view_as(before).to(before.dtype))

    def _list(self) -> dict[str, Tensor]:
        buffers = self._network.named_buffers()
        return {name: buffer.detach() for name, buffer in buffers if buffer.layout == torch.strided}
