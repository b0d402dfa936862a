"""From stored pixels to a network's inputs."""

import functools

import torch
import torch.nn.functional as F
from jaxtyping import Float32, UInt8
from torch import Tensor

from visionlib.errors import ConfigError


def normalize_images(
    images: UInt8[Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float32[Tensor, "n c h w"]:
    """Compute (pixel / 255 - mean) / std, channel by channel, in channels-last memory order on the same device.

    Args:
        images: pixels as stored.
        mean: one per channel, as a fraction of 255.
        std: one per channel, as a fraction of 255; above 0.
    Raises:
        ConfigError: if the images are not pixels as stored.
        ValueError: if there is not one mean and one std per channel, or a std is not above 0.
    """
    check_pixels(images)
    channels = images.shape[1]
    if not len(mean) == len(std) == channels:
        raise ValueError(f"{channels} channels need as many means and stds, not {len(mean)} and {len(std)}")
    if not all(value > 0 for value in std):
        raise ValueError(f"every std must be above 0, and they are {std}")

    scale, shift = _scale_and_shift(tuple(mean), tuple(std), *images.shape[2:], images.device)
    # Changing the memory format of bytes first is faster than changing it and the dtype in one step.
    inputs = images.contiguous(memory_format=torch.channels_last).to(torch.float32)
    return torch.addcmul(shift, inputs, scale, out=inputs)


def check_pixels(images: object) -> None:
    """Refuse what is no batch of pixels as stored: fractions from 0 to 1 would all be taken for black.

    Raises:
        ConfigError: the message says what they are.
    """
    remedy = "give uint8 pixels as stored, from 0 to 255: image, channel, row, column"
    if not isinstance(images, Tensor):
        raise ConfigError("images", f"are a {type(images).__name__}, and no tensor", remedy)
    if images.dtype != torch.uint8 or images.ndim != 4:
        kind = f"{str(images.dtype).removeprefix('torch.')} of {images.ndim} dimensions"
        raise ConfigError("images", f"are {kind}", remedy)
    if 0 in images.shape[1:]:
        raise ConfigError("images", f"have no pixels: their shape is {tuple(images.shape)}", remedy)


@functools.lru_cache(maxsize=16)
def _scale_and_shift(
    mean: tuple[float, ...], std: tuple[float, ...], height: int, width: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return factor and summand of each pixel value; cached, since a copy to a GPU waits for it."""

    def expand(values: list[float]) -> Tensor:
        # One value per pixel of an image: the inner loop over a batch is then a whole image, not its 3 channels.
        row = torch.tensor(values, dtype=torch.float32, device=device).view(1, -1, 1, 1)
        return row.expand(1, -1, height, width).contiguous(memory_format=torch.channels_last)

    with torch.inference_mode(False):
        scale = expand([1 / (255 * value) for value in std])
        shift = expand([-center / value for center, value in zip(mean, std, strict=True)])
    return scale, shift


def prepare_inputs(
    images: UInt8[Tensor, "n c h w"], mean: tuple[float, ...], std: tuple[float, ...], side_px: int | None = None
) -> Float32[Tensor, "n c _h _w"]:
    """Normalize, and shrink to a network's input size, antialiased.

    Args:
        images: pixels as stored.
        mean: per channel, as fractions of 255.
        std: per channel, as fractions of 255.
        side_px: height of the inputs, the width in proportion; None for the size of the images.
    """
    inputs = normalize_images(images, mean, std)
    height, width = inputs.shape[-2:]
    if side_px is None or side_px == height:
        return inputs
    size = (side_px, scale_width(height, width, side_px))
    resized = F.interpolate(inputs, size=size, mode="bilinear", antialias=True, align_corners=False)
    return resized.contiguous(memory_format=torch.channels_last)


def scale_width(height: int, width: int, side_px: int) -> int:
    """Return the width of an image that is shrunk to a height of `side_px`, at least 1."""
    return max(1, round(width * side_px / height))
