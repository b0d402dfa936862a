"""The sanity check: comparison of a network's maps with those after randomization of its weights."""

import copy
from collections.abc import Iterator

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.eval_mode import unwrap_model
from visionlib.explanation.methods import MapFunction
from visionlib.explanation.quality.correlation import correlate_ranks

LARGEST_CORRELATION = 0.5
"""Methods fail from this correlation on: a quarter of the ranks' variance then comes from the image alone."""


def randomize_parts(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Randomize a copy of a network part by part, from the output to the input.

    The parts are the network's children with weights, in reverse order of definition. The values of each weight tensor
    are shuffled, which keeps their distribution.

    Yields:
        The name of the part that was randomized last, and the copy.
    Source: the cascading randomization of Adebayo et al. 2018, arXiv:1810.03292, with shuffled instead of new weights.
    """
    randomized = copy.deepcopy(unwrap_model(model))
    generator = torch.Generator().manual_seed(seed)
    parts = [(name, part) for name, part in randomized.named_children() if any(True for _ in part.parameters())]
    for name, part in reversed(parts or [("model", randomized)]):
        with torch.no_grad():
            for weights in part.parameters():
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                weights.copy_(weights.flatten()[order].view_as(weights))
        yield name, randomized


def compare_with_randomized(
    make_maps: MapFunction,
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    before: Float32[Tensor, "n mh mw"],
    *,
    seed: int = 0,
) -> dict[str, Float32[Tensor, "n"]]:
    """Correlate each image's map with its maps by the network as it is randomized part by part.

    Args:
        make_maps: the method.
        model: the network; it is not changed.
        inputs: normalized images.
        classes: to explain, before and after.
        before: the maps of the original network.
        seed: of the shuffling.
    Returns:
        Spearman's correlation, by the part that was randomized last: 0 where the map has become constant, NaN where it
        was constant before. For the last part, all weights are randomized.
    """
    correlations = {}
    was_constant = before.amax((1, 2)) == before.amin((1, 2))
    for name, randomized in randomize_parts(model, seed):
        values = correlate_ranks(before, make_maps(randomized, inputs, classes).cpu())
        correlations[name] = torch.where(was_constant, torch.nan, values.nan_to_num(0.0))
    return correlations
