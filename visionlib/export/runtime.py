"""ONNX Runtime for Python: what a file answers."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto
    from onnxruntime import InferenceSession


def open_session(proto: "ModelProto") -> "InferenceSession":
    """Open a model on the CPU."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])


def classify(
    session: "InferenceSession", images: np.ndarray[Any, np.dtype[np.uint8]]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the probabilities of pictures of one size."""
    outputs: Any = session.run(["probabilities"], {"images": images})[0]
    return np.asarray(outputs, dtype=np.float32)
