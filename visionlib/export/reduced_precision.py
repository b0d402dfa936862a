"""Smaller ONNX files: weights in half precision, or 8-bit arithmetic that is calibrated on training images."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from visionlib.errors import ModelError
from visionlib.export.onnx_graph import quiet

if TYPE_CHECKING:
    from onnx import ModelProto

_WEIGHTS = "network."
"""The network's tensors begin with it; those of the resampling stay as they are, or answers would differ."""
_BATCH = 50


def halve_weights(proto: "ModelProto") -> None:
    """Store the network's matrices and filters in half precision, each followed by a cast to float32.

    The runtimes cast once, when they open the file, and compute in float32. ONNX Runtime has no half-precision
    convolution on CPUs, and inserts the same casts around each one, with rounding in between.

    Raises:
        ModelError: if a weight is too large for half precision.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or not tensor.name.startswith(_WEIGHTS) or len(tensor.dims) < 2:
            continue
        with np.errstate(over="ignore"):
            half = numpy_helper.to_array(tensor).astype(np.float16)
        if not np.isfinite(half).all():
            raise ModelError(tensor.name, "has a value too large for half precision", "export it with --precision fp32")
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        casts.append(helper.make_node("Cast", [f"{name}.half"], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)


def quantize(proto: "ModelProto", images: np.ndarray[Any, np.dtype[np.uint8]]) -> "ModelProto":
    """Quantize weights and inputs of convolutions and linear layers to 8 bits, the weights per channel.

    Args:
        proto: in float32.
        images: that the ranges of the inputs are measured on, of shape (n, h, w, c).
    """
    import onnx
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Hands the images over in batches."""

        def __init__(self) -> None:
            self.batches: Iterator[Any] = iter(np.split(images, range(_BATCH, len(images), _BATCH)))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory() as folder, quiet():
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(proto.SerializeToString())
        quantization.quantize_static(
            source,
            target,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm"],
            per_channel=True,
            activation_type=quantization.QuantType.QInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        return onnx.load(target)
