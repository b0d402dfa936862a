"""Python functions that are handled before PyTorch turns them into operations."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from visionlib.summary.interpreter import Interpreter
from visionlib.summary.traced_tensor import TracedTensor
from visionlib.summary.windows import padded

_READERS = frozenset({"numpy", "__array__", "tolist", "data_ptr", "__dlpack__", "untyped_storage", "storage"})
"""Methods that hand values or memory to code that no operation tells of. Those of a traced tensor are its own."""


class PythonFunctions(TorchFunctionMode):
    """Trace circular padding as one operation, and watch memory that leaves PyTorch.

    PyTorch composes circular padding of copies into slices, which lose the field on an image without border.
    """

    def __init__(self, interpreter: Interpreter) -> None:
        super().__init__()
        self._interpreter = interpreter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name == "pad" and "circular" in (*args[2:], kwargs.get("mode")):
            inputs = args[0] if args else kwargs["input"]
            widths = args[1] if len(args) > 1 else kwargs["pad"]
            if isinstance(inputs, TracedTensor):
                return self._pad(inputs, list(widths))
        elif name in _READERS and args and isinstance(args[0], Tensor) and not isinstance(args[0], TracedTensor):
            return func(self._interpreter.values_of(args[0], name), *args[1:], **kwargs)
        return func(*args, **kwargs)

    def _pad(self, inputs: TracedTensor, widths: list[int]) -> TracedTensor:
        output = F.pad(inputs.inner_tensor, widths, mode="circular")
        fields = self._interpreter.fields_of(inputs)
        for number, (before, after) in enumerate(zip(widths[::2], widths[1::2], strict=True)):
            dim = inputs.ndim - 1 - number  # widths begin with the last dimension
            windows = padded(inputs.shape[dim], before, after, "circular")
            fields = None if fields is None else fields.apply_windows(dim, windows)
        return self._interpreter.wrap(output, fields)
