"""Mix each image with another one, its partner: CutMix and MixUp."""

import functools
from typing import Literal

import torch
from jaxtyping import Bool, Float32, Int32, Int64, UInt8
from torch import Tensor

from visionlib.data.augmentation.cutout import rectangle_masks
from visionlib.data.random import Epoch, Stream, random_integers, random_uniform

Mix = Literal["none", "cutmix", "mixup", "both"]

_WHOLE = 1 << 16
"""Shares are counted in this unit, in integers: all devices and batch sizes then give the same bits."""
_CHUNK = 1024
"""Images mixed at a time: as integers they take four times their size."""


def mix_images(
    images: UInt8[Tensor, "n c h w"],
    partners: UInt8[Tensor, "n c h w"],
    index: Int64[Tensor, "n"],
    *,
    seed: int,
    epoch: Epoch,
    mix: Mix = "both",
    alpha: float = 1.0,
    fraction: float = 0.5,
) -> tuple[UInt8[Tensor, "n c h w"], Float32[Tensor, "n"]]:
    """Mix a fraction of the images, each with its own partner and by its own random amount.

    lambda is drawn from Beta(alpha, alpha). CutMix pastes a box of the partner into the image, at the same place. Its
    sides are sqrt(1 - lambda) of the image's; it is centred on a random pixel and clipped at the border. MixUp
    computes lambda * image + (1 - lambda) * partner.

    MixUp is rounded to the nearest pixel value, halves up. Normalization is affine, so apart from that mixing pixels
    is mixing inputs. A training step then takes ordinary images, and there is a single copy of them.

    Args:
        images: pixels; not modified.
        partners: the image that each of them is mixed with.
        index: stable id of each of `images`; partners have no influence on the amounts.
        seed: the run's seed.
        epoch: the epoch, or how often each image was drawn before.
        mix: "cutmix", "mixup", or "both" for either at random; "none" returns `images` itself.
        alpha: of the Beta distribution: 1 is uniform; less favours whole images, more favours halves.
        fraction: probability that an image is mixed; 0 returns `images` itself.
    Returns:
        The images, and the weight of each image's own label, of which its partner's label has the rest. For CutMix it
        is the fraction of the pixels that are not pasted, for MixUp it is lambda; 1 for an image that is not mixed.
    Raises:
        ValueError: if alpha is not above 0, or fraction not from 0 to 1.
    Source: Yun et al. 2019, arXiv:1905.04899; Zhang et al. 2017, arXiv:1710.09412.
    """
    if not (alpha > 0 and 0 <= fraction <= 1):
        raise ValueError(f"alpha must be above 0 and fraction from 0 to 1: got {alpha} and {fraction}")
    if mix == "none" or fraction == 0 or not len(images):
        return images, torch.ones(len(images), device=images.device)
    height, width = images.shape[2:]
    own = draw_beta(index, alpha, seed=seed, epoch=epoch)
    choice = random_uniform(seed, epoch, index, Stream.MIX_CHOICE)
    is_box = choice < {"cutmix": fraction, "mixup": 0.0, "both": fraction / 2}[mix]
    is_blend = (choice < fraction) & ~is_box
    sides = (1 - own).sqrt()
    heights, widths = ((length * sides).round().to(torch.int64) for length in (height, width))
    tops = random_integers(seed, epoch, index, Stream.MIX_ROW, height) - heights // 2
    lefts = random_integers(seed, epoch, index, Stream.MIX_COLUMN, width) - widths // 2
    boxes = rectangle_masks(tops, lefts, heights * is_box, widths, height, width)
    shares = ((1 - own) * _WHOLE).round().to(torch.int32) * is_blend
    parts = zip(*(torch.split(tensor, _CHUNK) for tensor in (images, partners, boxes, shares)), strict=True)
    mixed = [blend_images(*part) for part in parts]
    return torch.cat([pixels for pixels, _ in mixed]), torch.cat([weights for _, weights in mixed])


def draw_beta(index: Int64[Tensor, "n"], alpha: float, *, seed: int, epoch: Epoch) -> Float32[Tensor, "n"]:
    """Draw a number of Beta(alpha, alpha) for every index, from 65,536 quantiles of equal probability."""
    quantiles = _beta_quantiles(alpha, index.device)
    return quantiles[random_integers(seed, epoch, index, Stream.MIX_AMOUNT, len(quantiles))]


@functools.lru_cache(maxsize=16)
def _beta_quantiles(alpha: float, device: torch.device) -> Float32[Tensor, "65536"]:
    from scipy.special import betaincinv

    # The usual samplers reject draws, as many as it takes: no function of one random number, and no fixed work.
    count = 1 << 16
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    with torch.inference_mode(False):
        return torch.from_numpy(betaincinv(alpha, alpha, middles.numpy())).to(torch.float32).to(device)


def blend_images(
    images: UInt8[Tensor, "n c h w"],
    partners: UInt8[Tensor, "n c h w"],
    boxes: Bool[Tensor, "n 1 h w"],
    shares: Int32[Tensor, "n"],
) -> tuple[UInt8[Tensor, "n c h w"], Float32[Tensor, "n"]]:
    """Replace the pixels in the boxes by the partners', and elsewhere mix in the partners' share."""
    share = torch.where(boxes, _WHOLE, shares[:, None, None, None])
    whole = images.to(torch.int32)
    mixed = (whole * _WHOLE + (partners.to(torch.int32) - whole) * share + _WHOLE // 2) // _WHOLE
    pasted = share.sum((1, 2, 3)).to(torch.float32) / (_WHOLE * share[0].numel())
    return mixed.to(torch.uint8), 1 - pasted
