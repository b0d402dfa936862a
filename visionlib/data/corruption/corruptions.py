"""The corruptions by name, each with its parameters at five strengths, and `corrupt_images`.

The parameters of the fifteen standard ones are those of CIFAR-10-C, for images of 32 pixels: lengths in pixels are
scaled to the shorter side of other images. docs/stress.md says where a corruption differs from the published one.
Source: Hendrycks and Dietterich 2019, arXiv:1903.12261; parameters from the authors' repository, hendrycks/robustness,
file ImageNet-C/create_c/make_cifar_c.py.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from visionlib.data.corruption.blur import blur_by_defocus, blur_by_glass, blur_by_motion, blur_by_zoom
from visionlib.data.corruption.camera import lower_resolution, move_sideways, turn
from visionlib.data.corruption.digital import compress_jpeg, deform_elastically, pixelate, reduce_contrast
from visionlib.data.corruption.noise import add_gaussian_noise, add_impulse_noise, add_shot_noise
from visionlib.data.corruption.weather import add_fog, add_frost, add_snow, brighten
from visionlib.errors import ConfigError

Kind = Literal["noise", "blur", "weather", "digital", "extra"]
KINDS: tuple[Kind, ...] = ("noise", "blur", "weather", "digital", "extra")
STRENGTHS = (1, 2, 3, 4, 5)
_CHUNK_VALUES = 2**20
"""Values corrupted at a time: in float64, with a few copies, they take tens of megabytes."""


@dataclass(frozen=True)
class Corruption:
    """One way to make images worse.

    Attributes:
        kind: the group that it belongs to; `extra` is not one of the fifteen standard ones.
        function: takes images, their stable ids, a seed, and the parameters of a strength.
        strengths: the parameters of strength 1 to 5.
    """

    kind: Kind
    function: Callable[..., Tensor]
    strengths: tuple[tuple[float, ...], ...]

    @property
    def is_standard(self) -> bool:
        """Whether it is one of the fifteen that the mean corruption accuracy is of."""
        return self.kind != "extra"


def _one(*values: float) -> tuple[tuple[float, ...], ...]:
    """List the strengths of a corruption with one parameter."""
    return tuple((value,) for value in values)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": Corruption("noise", add_gaussian_noise, _one(0.04, 0.06, 0.08, 0.09, 0.10)),
        "shot_noise": Corruption("noise", add_shot_noise, _one(500, 250, 100, 75, 50)),
        "impulse_noise": Corruption("noise", add_impulse_noise, _one(0.01, 0.02, 0.03, 0.05, 0.07)),
        "defocus_blur": Corruption("blur", blur_by_defocus, ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))),
        "glass_blur": Corruption(
            "blur", blur_by_glass, ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2))
        ),
        "motion_blur": Corruption("blur", blur_by_motion, ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5))),
        "zoom_blur": Corruption("blur", blur_by_zoom, _one(1.06, 1.11, 1.15, 1.20, 1.25)),
        "snow": Corruption(
            "weather",
            add_snow,
            (
                (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
                (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
                (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
                (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
                (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
            ),
        ),
        "frost": Corruption("weather", add_frost, ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))),
        "fog": Corruption("weather", add_fog, ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75))),
        "brightness": Corruption("weather", brighten, _one(0.05, 0.1, 0.15, 0.2, 0.3)),
        "contrast": Corruption("digital", reduce_contrast, _one(0.75, 0.5, 0.4, 0.3, 0.15)),
        "elastic_transform": Corruption(
            "digital",
            deform_elastically,
            ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ),
        "pixelate": Corruption("digital", pixelate, _one(0.95, 0.9, 0.85, 0.75, 0.65)),
        "jpeg_compression": Corruption("digital", compress_jpeg, _one(80, 65, 58, 50, 40)),
        "jpeg_quality": Corruption("extra", compress_jpeg, _one(30, 20, 15, 10, 5)),
        "shift": Corruption("extra", move_sideways, _one(1, 2, 3, 4, 6)),
        "rotation": Corruption("extra", turn, _one(5, 10, 15, 20, 30)),
        "resolution": Corruption("extra", lower_resolution, _one(0.8, 0.65, 0.5, 0.375, 0.25)),
    }
)
"""Name -> corruption: the fifteen standard ones in the order of the paper's table, then the extra ones."""


def find_corruptions(names: str | tuple[str, ...] | list[str] | None) -> tuple[str, ...]:
    """Return the corruptions that are meant, in the order of `CORRUPTIONS`.

    Args:
        names: of corruptions or kinds; `standard` is the first fifteen; None for all.
    Raises:
        ConfigError: if there is none of a name; the message lists those that are close.
    """
    if names is None:
        return tuple(CORRUPTIONS)
    known: dict[str, list[str]] = {"standard": [name for name, entry in CORRUPTIONS.items() if entry.is_standard]}
    for kind in KINDS:
        known[kind] = [name for name, entry in CORRUPTIONS.items() if entry.kind == kind]
    known.update({name: [name] for name in CORRUPTIONS})
    chosen: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        word = name.strip().lower().replace("-", "_").replace(" ", "_")
        if word not in known:
            close = difflib.get_close_matches(word, known, n=3) or list(known)
            raise ConfigError(f"corruption {name}", "there is none of this name", f"known are: {', '.join(close)}")
        chosen.update(known[word])
    if not chosen:
        raise ConfigError("corruptions", "there are none", f"name some of: {', '.join(known)}")
    return tuple(name for name in CORRUPTIONS if name in chosen)


def corrupt_images(
    images: UInt8[Tensor, "n c h w"], index: Int64[Tensor, "n"], name: str, strength: int, *, seed: int = 0
) -> UInt8[Tensor, "n c h w"]:
    """Corrupt images: a pure function of each image, its id, and the seed, whatever images are beside it.

    The random numbers of an image are the same at each strength of a corruption. Pixels are computed on the CPU, so
    that they are the same on every machine, and returned to where the images are.

    Args:
        images: uint8 pixels with one or three channels, of any size; not modified.
        index: stable id of each image.
        name: one of `CORRUPTIONS`.
        strength: 1 to 5; 0 returns `images` itself.
        seed: of the random choices.
    Raises:
        ConfigError: if there is no such corruption or strength, or the images have another number of channels.
    """
    if name not in CORRUPTIONS:
        find_corruptions([name])
        raise ConfigError(f"corruption {name}", "is several", f"name one of: {', '.join(CORRUPTIONS)}")
    if strength not in (0, *STRENGTHS):
        raise ConfigError("strength", f"{strength} is out of range", "it must be from 0 to 5")
    if images.shape[1] not in (1, 3):
        raise ConfigError("images", f"have {images.shape[1]} channels", "give images with one or three channels")
    if strength == 0 or not len(images):
        return images
    corruption = CORRUPTIONS[name]
    size = max(1, _CHUNK_VALUES // images[0].numel())
    parts = zip(torch.split(images.cpu().contiguous(), size), torch.split(index.cpu(), size), strict=True)
    parameters = corruption.strengths[strength - 1]
    return torch.cat([corruption.function(*part, seed, *parameters) for part in parts]).to(images.device)
