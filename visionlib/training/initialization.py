"""Weights to begin with that know something: of the images, or of the blocks that they stand in."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.data.random import Stream, random_order
from visionlib.models import prepare_inputs
from visionlib.training.config import TrainConfig

_IMAGES = 5_000
_SMALLEST_VARIANCE = 1e-2


def initialize_model(
    model: nn.Module, split: ImageSplit, config: TrainConfig, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    """Change a fresh network's weights as the settings ask for it; nothing by default.

    Args:
        model: with weights as they were drawn.
        split: training images.
        config: its `whiten` and `zero_init` decide.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
    """
    if config.whiten:
        chosen = random_order(config.seed, 0, split.index, Stream.WHITENING_IMAGES)[:_IMAGES]
        whiten_stem(model, prepare_inputs(split.images[chosen], mean, std, split.image_size[0]))
    if config.zero_init:
        silence_blocks(model)


@torch.no_grad()
def whiten_stem(model: nn.Module, inputs: Float[Tensor, "n c h w"]) -> None:
    """Let the first convolution begin with the principal components of the patches that it sees, and their negatives.

    Each is scaled so that all put out the same variance; filters beyond them stay as they were drawn. They learn like
    any others.

    Args:
        model: its first convolution is the stem.
        inputs: normalised images.
    Source: Jordan 2024, arXiv:2404.00498, section 3.1, with a stem of its own; here the architecture's own has them.
    """
    stem = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if stem is None or stem.in_channels != inputs.shape[1]:
        return
    height, width = stem.kernel_size
    patches = F.unfold(inputs.cpu().double(), (height, width), stride=2).movedim(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = (vectors / (values + _SMALLEST_VARIANCE).sqrt()).T.flip(0)
    # The sign of an eigenvector is left open by its definition: the largest entry is positive here.
    scaled *= scaled.gather(1, scaled.abs().argmax(1, keepdim=True)).sign()
    count = min(len(scaled), stem.out_channels // 2)
    filters = torch.cat([scaled[:count], -scaled[:count]]).view(-1, *stem.weight.shape[1:])
    # As long as those that they replace: Muon keeps lengths, and a normalisation follows in any case.
    drawn = stem.weight[: 2 * count].norm()
    stem.weight[: 2 * count] = (filters * (drawn.cpu() / filters.norm())).to(stem.weight)


@torch.no_grad()
def silence_blocks(model: nn.Module) -> None:
    """Let every residual block begin as its shortcut alone: the last normalisation of its main path puts out zeros.

    Source: Goyal et al. 2017, arXiv:1706.02677, section 5.1.
    """
    for block in model.modules():
        last = next((getattr(block, name) for name in ("bn3", "bn2") if hasattr(block, name)), None)
        if hasattr(block, "shortcut") and isinstance(last, nn.BatchNorm2d):
            last.weight.zero_()
