"""`read_filters`: the weights of a convolution, by default of the first, to be looked at."""

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
        weights: one filter per channel of its output; in the units of its input, which for the first convolution are
            those of normalised pixels.
        groups: into how many parts the channels of its input are shared out among the filters.
    """

    layer: str
    weights: Float32[Tensor, "k c h w"]
    groups: int = 1

    def __len__(self) -> int:
        return len(self.weights)

    @property
    def norms(self) -> Float32[Tensor, "k"]:
        """Euclidean length of each filter: near 0 it does nothing, unless a normalisation follows."""
        return self.weights.flatten(1).square().sum(1).sqrt()

    def to_dict(self) -> dict[str, Any]:
        """Give the figures for JSON: size, and of each filter its length and its sum per channel of the input."""
        sums = self.weights.sum((2, 3)).tolist()
        return {
            "layer": self.layer,
            "filters": len(self),
            "channels": self.weights.shape[1],
            "size": list(self.weights.shape[2:]),
            "groups": self.groups,
            "per_filter": [
                {"filter": place, "norm": norm, "sums": channels}
                for place, (norm, channels) in enumerate(zip(self.norms.tolist(), sums, strict=True))
            ],
        }


def read_filters(model: nn.Module, layer: str | None = None) -> Filters:
    """Read the filters of a convolution over rows and columns.

    Args:
        model: any network.
        layer: name of the convolution; by default the first one in the order in which the network's parts are named.
    Raises:
        ModelError: if there is no such convolution, or its weights are not numbers; the message names some.
    """
    model = unwrap_model(model)
    found = {name: module for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    if not found:
        raise ModelError(type(model).__name__, "has no convolution over rows and columns", "it has no filters to show")
    name = next(iter(found)) if layer is None else layer
    if name not in found:
        close = difflib.get_close_matches(name, found, 3, 0.5) or list(found)[:6]
        problem = "is no convolution over rows and columns"
        raise ModelError(f"layer {name!r}", problem, f"choose another, such as {', '.join(close)}")
    weights = found[name].weight.detach().to("cpu", torch.float32, copy=True).contiguous()
    if not bool(weights.isfinite().all()):
        raise ModelError(f"layer {name!r}", "has weights that are not numbers", "train the network again")
    return Filters(name, weights, found[name].groups)
