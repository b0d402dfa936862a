"""Whether maps depend on what the network has learned: they are compared with those of the network scrambled."""

import copy
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.eval_mode import unwrap_model
from visionlib.explanation.quality.correlation import correlate_ranks

LARGEST_CORRELATION = 0.5
"""With the network scrambled, above which a map fails: a quarter of the order of its cells would then be that of the
image, and not of anything learned."""

Maker = Callable[[nn.Module, Tensor, Tensor], Tensor]


def scramble_stages(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Give copies of a network, of which more and more is scrambled, from the output to the input.

    Scrambled is each part of the network with weights of its own, in the reverse order of their definition: the values
    of every weight are shuffled, so that they keep their distribution and lose what they have learned.

    Yields:
        The name of the part that was scrambled last, and the network.
    Source: the cascading randomisation of Adebayo et al. 2018, arXiv:1810.03292, with shuffled instead of new weights.
    """
    scrambled = copy.deepcopy(unwrap_model(model))
    generator = torch.Generator().manual_seed(seed)
    parts = [(name, part) for name, part in scrambled.named_children() if any(True for _ in part.parameters())]
    for name, part in reversed(parts or [("model", scrambled)]):
        with torch.no_grad():
            for weights in part.parameters():
                order = torch.randperm(weights.numel(), generator=generator).to(weights.device)
                weights.copy_(weights.flatten()[order].view_as(weights))
        yield name, scrambled


def compare_with_scrambled(
    make_maps: Maker,
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    before: Float32[Tensor, "n mh mw"],
    *,
    seed: int = 0,
) -> dict[str, Float32[Tensor, "n"]]:
    """Correlate each image's map with that of the network, scrambled part by part.

    Args:
        make_maps: the method.
        model: the network; it is left as it was.
        inputs: normalised images.
        classes: that are explained, before and after.
        before: the maps of the network as it is.
        seed: of the shuffling.
    Returns:
        By the part that was scrambled last, Spearman's correlation: 0 where the map has become constant, and NaN where
        it was so before. The last one is that of the network wholly scrambled.
    """
    found = {}
    was_constant = before.amax((1, 2)) == before.amin((1, 2))
    for name, scrambled in scramble_stages(model, seed):
        values = correlate_ranks(before, make_maps(scrambled, inputs, classes).cpu())
        found[name] = torch.where(was_constant, torch.nan, values.nan_to_num(0.0))
    return found
