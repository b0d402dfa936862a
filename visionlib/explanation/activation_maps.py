"""Class activation maps: how much each place of a layer speaks for a class.

With A the activations of a layer, G the gradient of the class's logit by them, sums over the channels k, and the part
below zero cut off. All maps are as fine as the layer, and nothing is scaled.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.explanation.gradients import LayerGradients, score_classes

_TINY = 1e-12


def grad_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weigh each channel by its mean gradient: Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2."""
    weights = traced.gradients.mean((2, 3), keepdim=True)
    return (weights * traced.activations).sum(1).relu()


def grad_cam_plus_plus(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weigh each channel by its positive gradients: Chattopadhay et al. 2017, arXiv:1710.11063, equations 11 and 19.

    For the exponential of the logit, whose derivatives are powers of G, as the paper has it. Its share where the
    gradient is zero is zero.
    """
    squares = traced.gradients**2
    cubes = squares * traced.gradients
    denominators = 2 * squares + (traced.activations.sum((2, 3), keepdim=True) * cubes)
    alphas = torch.where(denominators.abs() > _TINY, squares / denominators, 0.0)
    weights = (alphas * traced.gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * traced.activations).sum(1).relu()


def layer_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weigh each place of each channel by its own positive gradient.

    Source: Jiang et al. 2021, doi 10.1109/TIP.2021.3089943, equations 5 to 7.
    """
    return (traced.gradients.relu() * traced.activations).sum(1).relu()


def hi_res_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Multiply activations by gradients, place by place: Draelos and Carin 2020, arXiv:2011.08891."""
    return (traced.gradients * traced.activations).sum(1).relu()


def score_cam(
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    activations: Float32[Tensor, "n k mh mw"],
    batch_size: int = 256,
) -> Float32[Tensor, "n mh mw"]:
    """Weigh each channel by the class's logit for the image seen through it: Wang et al. 2019, arXiv:1910.01279.

    Each channel is scaled to 0..1, enlarged bilinearly, and multiplied with the input; a channel without differences
    shows nothing. The weights are the softmax of the logits over the channels.

    Args:
        model: borrowed.
        inputs: normalised images.
        classes: whose logit is taken.
        activations: of the layer.
        batch_size: masked images that go through the network at a time.
    """
    n, k = activations.shape[:2]
    low = activations.amin((2, 3), keepdim=True)
    spread = activations.amax((2, 3), keepdim=True) - low
    masks = torch.where(spread > _TINY, (activations - low) / spread, 0.0).flatten(0, 1)[:, None]
    scores = []
    for start in range(0, n * k, batch_size):
        part = masks[start : start + batch_size]
        owners = torch.arange(start, start + len(part), device=inputs.device) // k
        shown = F.interpolate(part, inputs.shape[-2:], mode="bilinear", align_corners=False) * inputs[owners]
        scores.append(score_classes(model, shown, classes[owners]))
    weights = torch.cat(scores).view(n, k).softmax(1)
    return (weights[:, :, None, None] * activations).sum(1).relu()


def fuse_maps(maps: list[Float32[Tensor, "n ..."]]) -> Float32[Tensor, "n h w"]:
    """Join maps of several layers at the finest one's resolution: their product, where all of them speak.

    Each map is smoothed over neighbouring cells and divided by its maximum, so that a layer counts by where it speaks
    and not by how loud it is; cells of coarser ones are repeated, not interpolated. A layer without evidence is left
    out, and a map of such layers alone is zero.

    Jiang et al. 2021 take the largest value at each place instead: then the maximum of every layer is a maximum of the
    fused map, and none of them is the place.
    """
    size = max((tuple(one.shape[1:]) for one in maps), key=lambda pair: pair[0] * pair[1])
    shares = [divide_by_peak(smooth_cells(one)) for one in maps]
    fine = torch.stack([F.interpolate(one[:, None], size, mode="nearest-exact")[:, 0] for one in shares])
    is_silent = fine.amax((2, 3), keepdim=True) == 0
    return torch.where(is_silent, 1.0, fine).prod(0) * ~is_silent.all(0)


def smooth_cells(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n h w"]:
    """Weigh each cell with its neighbours as 1, 2, 1 along rows and columns; border cells stand in for those outside.

    A convolution with a stride of 2 lets more gradient through to every other cell. These weights take away exactly
    what changes sign from cell to cell.
    """
    # By hand: a convolution within a caller's autocast would round to bf16.
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def divide_by_peak(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n h w"]:
    """Divide each map by its maximum; one without any evidence stays zero."""
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
