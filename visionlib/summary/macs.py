"""Multiply-accumulates of an operation: of convolutions and matrix products, which are nearly all of a network's."""

import math

from torch import Tensor

from visionlib.summary.operation import Operation

_CONVOLUTIONS = frozenset({"convolution", "_convolution", "convolution_overrideable", "cudnn_convolution"})


def count_macs(op: Operation) -> int:
    """Count them, for the batch that runs; 0 for everything else."""
    if op.name in _CONVOLUTIONS:
        weight: Tensor = op["weight"]
        # A transposed convolution spreads every input over its kernel, a plain one gathers every output from it.
        places: Tensor = op["input"] if op["transposed"] else op.outputs[0]
        return places.numel() * math.prod(weight.shape[1:])
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
