"""Digital: less contrast, elastic deformation, larger pixels, and JPEG."""

import io
import math

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64, UInt8
from PIL import Image
from torch import Tensor

from visionlib.data.corruption.sampling import gaussian_matrix, map_axes, to_fractions, to_pixels
from visionlib.data.random import Stream, random_values


def reduce_contrast(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, factor: float
) -> UInt8[Tensor, "n c h w"]:
    """Move every value towards the mean of its channel; nothing is random."""
    values = to_fractions(images)
    means = values.mean((2, 3), keepdim=True)
    return to_pixels(means + factor * (values - means))


def deform_elastically(
    images: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    seed: int,
    amount: float,
    smoothness: float,
    affine: float,
) -> UInt8[Tensor, "n c h w"]:
    """Move the pixels by a random affine map and a smooth random field, mirroring the image at its edge.

    Args:
        images: pixels as stored; not modified.
        index: stable id of each image.
        seed: of the random choices.
        amount: largest displacement before smoothing, as a fraction of the shorter side.
        smoothness: std of the Gaussian that smooths the displacements, likewise.
        affine: largest displacement, along each axis, of the three points that make the affine map, likewise.
    Source: Simard, Steinkraus and Platt 2003, doi 10.1109/ICDAR.2003.1227801.
    """
    height, width = images.shape[2:]
    side = min(height, width)
    uniform = random_values(seed, index, Stream.ELASTIC_FIELD, 2 * height * width)
    field = (2 * uniform - 1).view(-1, 2, height, width)
    blurs = (gaussian_matrix(length, smoothness * side, truncate=3, border="reflect") for length in (height, width))
    rows_right = amount * side * map_axes(field, *blurs)
    rows = torch.arange(height, dtype=torch.float64)[:, None] + rows_right[:, 0]
    columns = torch.arange(width, dtype=torch.float64) + rows_right[:, 1]
    inverse = _draw_inverse_affine(index, seed, height, width, affine * side)
    places = torch.stack([rows, columns, torch.ones_like(rows)], 3) @ inverse[:, None]
    # From pixels to the positions of `grid_sample`: -1 and 1 are the outer edges, columns come first.
    sizes = torch.tensor([height, width], dtype=torch.float64)
    grid = ((2 * places + 1) / sizes - 1).flip(3)
    moved = F.grid_sample(to_fractions(images), grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    return to_pixels(moved)


def _draw_inverse_affine(
    index: Int64[Tensor, "n"], seed: int, height: int, width: int, largest_px: float
) -> Float64[Tensor, "n 3 2"]:
    """Return the maps from row, column and 1 in the result to row and column in the image."""
    reach = max(1, min(height, width) // 3)
    middle = torch.tensor([height // 2, width // 2], dtype=torch.float64)
    points = middle + torch.tensor([[reach, reach], [reach, -reach], [-reach, -reach]], dtype=torch.float64)
    shifts = largest_px * (2 * random_values(seed, index, Stream.ELASTIC_POINTS, 6).view(-1, 3, 2) - 1)
    moved = torch.cat([points + shifts, torch.ones(len(index), 3, 1, dtype=torch.float64)], 2)
    inverse: Tensor = torch.linalg.solve(moved, points.expand(len(index), 3, 2))
    return inverse


def pixelate(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, fraction: float
) -> UInt8[Tensor, "n c h w"]:
    """Shrink each image to a fraction of its sides by a box filter, and enlarge it again; nothing is random."""
    height, width = images.shape[2:]
    small = max(1, int(height * fraction)), max(1, int(width * fraction))
    shrunk = to_pixels(map_axes(to_fractions(images), box_matrix(height, small[0]), box_matrix(width, small[1])))
    return to_pixels(map_axes(to_fractions(shrunk), box_matrix(small[0], height), box_matrix(small[1], width)))


def box_matrix(length: int, new_length: int) -> Float64[Tensor, "m l"]:
    """Return the matrix that resizes an axis by a box filter: each new pixel is the mean of those it is nearest to.

    These are the pixels whose middle lies within the new pixel; where none does, the one that its middle lies in.
    """
    matrix = torch.zeros(new_length, length, dtype=torch.float64)
    for position in range(new_length):
        first, last = (math.floor(edge * length / new_length + 0.5) for edge in (position, position + 1))
        if last <= first:
            first = min(length - 1, math.floor((position + 0.5) * length / new_length))
            last = first + 1
        matrix[position, first:last] = 1 / (last - first)
    return matrix


def compress_jpeg(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], seed: int, quality: float
) -> UInt8[Tensor, "n c h w"]:
    """Encode and decode each image as JPEG by Pillow, with halved colour resolution; nothing is random."""
    pictures = images.permute(0, 2, 3, 1).contiguous().numpy()
    decoded = np.empty_like(pictures)
    for number, pixels in enumerate(pictures):
        content = io.BytesIO()
        Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(content, "JPEG", quality=int(quality))
        with Image.open(content) as picture:
            decoded[number] = np.asarray(picture).reshape(pixels.shape)
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).contiguous()
