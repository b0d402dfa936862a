"""`read_filters`: the weights of a convolution, by default of the first."""

import difflib
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from visionlib.errors import ModelError
from visionlib.eval_mode import unwrap_model


@dataclass(frozen=True, eq=False)
class Filters:
    """The filters of a convolution.

    Attributes:
        layer: name of the convolution.
        weights: one filter per output channel; those of the first convolution apply to normalized pixels.
        groups: of the convolution.
    """

    layer: str
    weights: Float32[Tensor, "k c h w"]
    groups: int = 1

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def norms(self) -> Float32[Tensor, "k"]:
        """Euclidean norm of each filter: near 0 it has no effect, unless a normalization follows."""
        return self.weights.flatten(1).square().sum(1).sqrt()

    def to_dict(self) -> dict[str, Any]:
        """Return values for JSON: the size, and the norm of each filter and its sum per input channel."""
        sums = self.weights.sum((2, 3)).tolist()
        return {
            "layer": self.layer,
            "filters": len(self),
            "channels": self.weights.shape[1],
            "size": list(self.weights.shape[2:]),
            "groups": self.groups,
            "per_filter": [
                {"filter": number, "norm": norm, "sums": channels}
                for number, (norm, channels) in enumerate(zip(self.norms.tolist(), sums, strict=True))
            ],
        }


def read_filters(model: nn.Module, layer: str | None = None) -> Filters:
    """Read the filters of a convolution over rows and columns.

    Args:
        model: any network.
        layer: name of the convolution; by default the first one of `named_modules`.
    Raises:
        ModelError: if there is no such convolution, or its weights are not finite; the message names convolutions.
    """
    model = unwrap_model(model)
    convolutions = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    if not convolutions:
        raise ModelError(type(model).__name__, "has no convolution over rows and columns", "it has no filters to show")
    name = next(iter(convolutions)) if layer is None else layer
    if name not in convolutions:
        close = difflib.get_close_matches(name, convolutions, 3, 0.5) or list(convolutions)[:6]
        problem = "is no convolution over rows and columns"
        raise ModelError(f"layer {name!r}", problem, f"choose another, such as {', '.join(close)}")
    weights = convolutions[name].weight.detach().to("cpu", torch.float32, copy=True).contiguous()
    if not bool(weights.isfinite().all()):
        raise ModelError(f"layer {name!r}", "has weights that are not finite", "train the network again")
    return Filters(name, weights, convolutions[name].groups)
