"""Initial weights that depend on the images: a whitened stem."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from visionlib.data.random import Stream, random_order
from visionlib.inference.preprocessing import prepare_inputs
from visionlib.training.job import TrainingJob

_IMAGES = 5_000
_SMALLEST_VARIANCE = 1e-2


def initialize_model(model: nn.Module, job: TrainingJob) -> None:
    """Whiten the stem of a fresh network, if the settings ask for it; a pure function of data and seed.

    Weights to begin with have a stem that was learned or whitened already.
    """
    if job.config.whiten and job.init is None:
        split = job.split
        if job.config.stream_shards:
            images = job.first_images(_IMAGES)
        else:
            images = split.gather(random_order(job.config.seed, 0, split.index, Stream.WHITENING_IMAGES)[:_IMAGES])
        images = images.to(job.compute.device)
        whiten_stem(model, prepare_inputs(images, job.mean, job.std, split.image_size[0]))


def find_stem(model: nn.Module, inputs: Float[Tensor, "n c h w"]) -> nn.Conv2d | None:
    """Find the first convolution, if it is one of the inputs whose filters can be replaced.

    That is none of groups of channels, of filters larger than the inputs or computed from other weights.
    """
    stem = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if stem is None or stem.in_channels != inputs.shape[1] or stem.groups > 1 or stem.out_channels < 2:
        return None
    is_fitting = all(kernel <= side for kernel, side in zip(stem.kernel_size, inputs.shape[2:], strict=True))
    return stem if is_fitting and "weight" in stem._parameters else None


@torch.no_grad()
def whiten_stem(model: nn.Module, inputs: Float[Tensor, "n c h w"]) -> None:
    """Initialize the first convolution with the principal components of its input patches, and their negatives.

    They are scaled to equal variance of the outputs. Further filters keep their random weights, and all are trained.
    The outputs of a stem whose filters are frozen have a variance of 1: no normalization need follow it.

    Args:
        model: its first convolution is the stem.
        inputs: normalized images.
    Source: Jordan 2024, arXiv:2404.00498, section 3.1, which adds a frozen layer for it; here it is the stem.
    """
    stem = find_stem(model, inputs)
    if stem is None:
        return
    height, width = stem.kernel_size
    patches = F.unfold(inputs.cpu().double(), (height, width), stride=2).movedim(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    scaled = (vectors / (values + _SMALLEST_VARIANCE).sqrt()).T.flip(0)
    # The sign of an eigenvector is arbitrary; here the largest entry is positive.
    scaled *= scaled.gather(1, scaled.abs().argmax(1, keepdim=True)).sign()
    count = min(len(scaled), stem.out_channels // 2)
    filters = torch.cat([scaled[:count], -scaled[:count]]).view(-1, *stem.weight.shape[1:])
    if stem.weight.requires_grad:
        # With the norm of the filters that they replace, which Muon keeps; a normalization follows in any case.
        filters *= stem.weight[: 2 * count].norm().cpu() / filters.norm()
    stem.weight[: 2 * count] = filters.to(stem.weight)
