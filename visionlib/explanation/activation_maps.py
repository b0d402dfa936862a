"""Class activation maps: the evidence for a class at each position of a layer.

A is the activation of a layer, G the gradient of the class's logit with respect to A. Sums run over channels, and
negative values are set to 0. Maps have the layer's resolution and are not scaled.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.explanation.gradients import LayerGradients, score_classes

_TINY = 1e-12


def grad_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weight each channel by its mean gradient: Selvaraju et al. 2016, arXiv:1610.02391, equations 1 and 2."""
    weights = traced.gradients.mean((2, 3), keepdim=True)
    return (weights * traced.activations).sum(1).relu()


def grad_cam_plus_plus(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weight each channel by its positive gradients: Chattopadhay et al. 2017, arXiv:1710.11063, equations 11 and 19.

    As in the paper, the score is the exponential of the logit, so that its derivatives are powers of G. Positions with
    a gradient of zero have a weight of zero.
    """
    squares = traced.gradients**2
    cubes = squares * traced.gradients
    denominators = 2 * squares + (traced.activations.sum((2, 3), keepdim=True) * cubes)
    alphas = torch.where(denominators.abs() > _TINY, squares / denominators, 0.0)
    weights = (alphas * traced.gradients.relu()).sum((2, 3), keepdim=True)
    return (weights * traced.activations).sum(1).relu()


def layer_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Weight each position of each channel by its own positive gradient.

    Source: Jiang et al. 2021, doi 10.1109/TIP.2021.3089943, equations 5 to 7.
    """
    return (traced.gradients.relu() * traced.activations).sum(1).relu()


def hi_res_cam(traced: LayerGradients) -> Float32[Tensor, "n h w"]:
    """Multiply activations by gradients, position by position: Draelos and Carin 2020, arXiv:2011.08891."""
    return (traced.gradients * traced.activations).sum(1).relu()


def score_cam(
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    activations: Float32[Tensor, "n k mh mw"],
    batch_size: int = 256,
) -> Float32[Tensor, "n mh mw"]:
    """Weight each channel by the class's logit for the image masked by it: Wang et al. 2019, arXiv:1910.01279.

    Each channel is scaled to 0..1, enlarged bilinearly, and multiplied by the input. The mask of a constant channel is
    0. The weights are the softmax of the logits over the channels.

    Args:
        model: inside `eval_mode`.
        inputs: normalized images.
        classes: the class of each image; its logit is the score.
        activations: of the layer.
        batch_size: masked images per forward pass.
    """
    n, k = activations.shape[:2]
    low = activations.amin((2, 3), keepdim=True)
    spread = activations.amax((2, 3), keepdim=True) - low
    masks = torch.where(spread > _TINY, (activations - low) / spread, 0.0).flatten(0, 1)[:, None]
    scores = []
    for start in range(0, n * k, batch_size):
        chunk = masks[start : start + batch_size]
        rows = torch.arange(start, start + len(chunk), device=inputs.device) // k
        masked = F.interpolate(chunk, inputs.shape[-2:], mode="bilinear", align_corners=False) * inputs[rows]
        scores.append(score_classes(model, masked, classes[rows]))
    weights = torch.cat(scores).view(n, k).softmax(1)
    return (weights[:, :, None, None] * activations).sum(1).relu()


def fuse_maps(maps: list[Float32[Tensor, "n ..."]]) -> Float32[Tensor, "n h w"]:
    """Multiply the maps of several layers at the finest resolution: the result is large where all of them are.

    Each map is smoothed over neighbouring cells and divided by its maximum, so that the scale of a layer does not
    matter. Cells of coarser maps are repeated, not interpolated. Maps without evidence are left out; if all are, the
    result is zero.

    Jiang et al. 2021 take the maximum at each position instead. Then the maximum of every layer is also a maximum of
    the fused map, and no single position stands out.
    """
    size = max((tuple(layer_maps.shape[1:]) for layer_maps in maps), key=lambda pair: pair[0] * pair[1])
    scaled = [divide_by_peak(smooth_cells(layer_maps))[:, None] for layer_maps in maps]
    fine = torch.stack([F.interpolate(layer_maps, size, mode="nearest-exact")[:, 0] for layer_maps in scaled])
    is_empty = fine.amax((2, 3), keepdim=True) == 0
    return torch.where(is_empty, 1.0, fine).prod(0) * ~is_empty.all(0)


def smooth_cells(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n h w"]:
    """Smooth with weights 1, 2, 1 along rows and columns; border cells are replicated.

    A convolution of stride 2 passes more gradient to every other cell. These weights remove exactly the component that
    alternates from cell to cell.
    """
    # A convolution would round to bf16 within a caller's autocast.
    padded = F.pad(maps[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    rows = (padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]) / 4
    return (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 4


def divide_by_peak(maps: Float32[Tensor, "n h w"]) -> Float32[Tensor, "n h w"]:
    """Divide each map by its maximum; a map without evidence stays zero."""
    peaks = maps.amax((1, 2), keepdim=True)
    return torch.where(peaks > 0, maps / peaks.clamp(min=torch.finfo(torch.float32).tiny), 0.0)
