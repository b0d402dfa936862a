"""Maximum sensitivity: the robustness of maps to noise that is too small to see."""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn

from visionlib.explanation.methods import MapFunction

RADIUS = 0.02
"""Largest change of a pixel, as a fraction of 255: five gray levels."""
SAMPLES = 10


def measure_sensitivity(
    make_maps: MapFunction,
    model: nn.Module,
    inputs: Float32[Tensor, "n c h w"],
    classes: Int64[Tensor, "n"],
    before: Float32[Tensor, "n mh mw"],
    *,
    std: tuple[float, ...],
    radius: float = RADIUS,
    samples: int = SAMPLES,
    seed: int = 0,
) -> Float32[Tensor, "n"]:
    """Return the largest change of each image's map under noise, relative to the norm of the map.

    The noise is uniform and independent in every value, within the radius; noisy pixels may leave 0 to 255. Norms are
    Euclidean.

    Args:
        make_maps: the method.
        model: the network; it is not changed.
        inputs: normalized images.
        classes: to explain, with and without noise.
        before: the maps of the images without noise.
        std: per channel of the inputs, as fractions of 255.
        radius: largest change of a pixel, as a fraction of 255.
        samples: number of noisy images of which the largest change counts; a lower bound of the true maximum.
        seed: of the noise.
    Returns:
        0 for a map that does not change, 1.4 for one whose evidence moves to other cells, NaN for a map without any.
    Source: Yeh et al. 2019, arXiv:1901.09392, definition 3, sampled, and divided by the norm as in their code.
    """
    generator = torch.Generator().manual_seed(seed)
    radii = torch.tensor([radius / value for value in std]).view(1, -1, 1, 1)
    largest = torch.zeros(len(before))
    for _ in range(samples):
        noise = (2 * torch.rand(inputs.shape, generator=generator) - 1) * radii
        after = make_maps(model, inputs + noise.to(inputs.device), classes).cpu()
        largest = torch.maximum(largest, (after - before).flatten(1).norm(dim=1))
    norms = before.flatten(1).norm(dim=1)
    return torch.where(norms > 0, largest / norms, torch.nan)
