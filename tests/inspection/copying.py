"""Ways to copy a picture so that its pixels differ."""

import io
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

Copy = Callable[[UInt8[Tensor, "c h w"]], UInt8[Tensor, "c h w"]]


def recompress(image: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
    content = io.BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(content, "JPEG", quality=95, subsampling=0)
    return torch.from_numpy(np.array(Image.open(content))).permute(2, 0, 1)


def enlarge(image: UInt8[Tensor, "c h w"]) -> UInt8[Tensor, "c h w"]:
    """The middle without a border of a pixel."""
    middle = F.interpolate(image[None, :, 1:-1, 1:-1].float(), image.shape[1:], mode="bilinear")
    return middle[0].round().to(torch.uint8)


IN_PLACE: dict[str, Copy] = {
    "equal": torch.clone,
    "JPEG": recompress,
    "mirrored": lambda image: image.flip(2),
    "darker": lambda image: (image * 0.6).to(torch.uint8),
    "less contrast": lambda image: (image * 0.5 + 60).to(torch.uint8),
}
MOVED: dict[str, Copy] = {
    "shifted": lambda image: image.roll((1, 0), (1, 2)),
    "enlarged": enlarge,
}
