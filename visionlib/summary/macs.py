"""Multiply-accumulate operations (MACs) of convolutions, matrix products and attention."""

import math

from torch import Tensor

from visionlib.summary.operation import Operation

_CONVOLUTIONS = frozenset({"convolution", "_convolution", "convolution_overrideable", "cudnn_convolution"})


def count_macs(op: Operation) -> int:
    """Count the MACs of an operation, for the whole batch; 0 for every other kind."""
    if op.name in _CONVOLUTIONS:
        weight: Tensor = op["weight"]
        # A transposed convolution applies the kernel to every input element, a plain one to every output element.
        multiplied: Tensor = op["input"] if op["transposed"] else op.outputs[0]
        return multiplied.numel() * math.prod(weight.shape[1:])
    if op.name in {"mm", "bmm", "addmm", "baddbmm"}:
        left: Tensor = next(op[name] for name in ("mat1", "batch1", "self") if name in op.values)
        return op.outputs[0].numel() * left.shape[-1]
    if op.name in {"mv", "dot", "vdot"}:
        vector: Tensor = op["self"]
        return vector.numel()
    if op.name.startswith("_scaled_dot_product"):
        query: Tensor = op["query"]
        keys: int = op["key"].shape[-2]
        width: int = query.shape[-1] + op["value"].shape[-1]
        return query.shape[:-1].numel() * keys * width
    return 0
