"""Random numbers as a pure function of (seed, epoch, index): there is no state.

A counter-based generator: every draw hashes its own coordinates. Any image's numbers can be computed alone, in any
order, on any device, by any number of processes; a resumed run draws the same numbers as an uninterrupted one.
"""

from enum import IntEnum, unique

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor


@unique
class Stream(IntEnum):
    """The random streams of the library: every use of random numbers has its own, so that no two are correlated.

    The numbers are part of what old runs and data depend on. Never change one of those that decide on weights, splits,
    augmentation or the pixels of `shapes`: an interrupted run would not resume bit-exactly.
    """

    TRAINING_ORDER = 0
    HELD_OUT = 1
    FOLDS = 2
    MAP_IMAGES = 3
    MAP_TRUST_SAMPLE = 4
    DATASET_EXAMPLES = 5
    EXPLAINED_IMAGES = 6
    POINTING_GRIDS = 7
    PIXEL_TIES = 8
    QUALITY_IMAGES = 9
    CROP_ROWS = 10
    CROP_COLUMNS = 11
    FLIP = 12
    CUTOUT_ROW = 13
    CUTOUT_COLUMN = 14
    ROTATION = 15
    TRANSLATION_ROWS = 16
    TRANSLATION_COLUMNS = 17
    SCALE = 18
    BRIGHTNESS = 19
    CONTRAST = 20
    SATURATION = 21
    HUE = 22
    WHITENING_IMAGES = 23
    """Was 11, that of CROP_COLUMNS. A resumed run draws no initial weights, so old runs resume as before."""
    REPORT_SAMPLE = 24
    """Was 10, that of CROP_ROWS."""
    BALANCED_DRAWS = 25
    BALANCED_ORDER = 26
    GROUP_HALVES = 29
    ERASING_CHOICE = 30
    ERASING_AREA = 31
    ERASING_ASPECT = 32
    ERASING_ROW = 33
    ERASING_COLUMN = 34
    POLICY_OPERATION = 35
    POLICY_AMOUNT = 36
    MIX_CHOICE = 37
    MIX_AMOUNT = 38
    MIX_ROW = 39
    MIX_COLUMN = 40
    SHARD_ORDER = 41
    STRESSED_IMAGES = 60
    GAUSSIAN_NOISE = 61
    SHOT_NOISE = 62
    IMPULSE_NOISE = 63
    GLASS_OFFSETS = 64
    MOTION_ANGLE = 65
    SNOW_FLAKES = 66
    SNOW_ANGLE = 67
    FROST_CRYSTALS = 68
    FROST_HAZE = 69
    FOG = 70
    ELASTIC_POINTS = 71
    ELASTIC_FIELD = 72
    SHIFT_ANGLE = 73
    ROTATION_SIGN = 74
    SHORTCUT_IMAGES = 90
    RELIANCE_IMAGES = 91
    SHAPES_LABELS = 999
    SHAPES_NUMBERS = 1000
    SHAPES_GRAIN = 1001


_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MULTIPLIER_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift logically: torch's own shift of signed integers is arithmetic."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLIER_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLIER_2
    return bits ^ _shift_right(bits, 31)


Epoch = int | Int64[Tensor, "*shape"]
"""The epoch of all images, or of each."""


def random_bits(seed: int, epoch: Epoch, index: Int64[Tensor, "*shape"], stream: Stream) -> Int64[Tensor, "*shape"]:
    """Return 64 random bits for every index.

    Args:
        seed: the run's seed.
        epoch: the epoch, of all images or of each; 0 for draws that do not change between epochs.
        index: stable id of each image.
        stream: what the numbers are used for.
    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195.
    """
    bits = _mix(torch.full_like(index, seed) + _GOLDEN)
    epochs = epoch if isinstance(epoch, Tensor) else torch.full_like(index, epoch)
    for coordinate in (epochs, torch.full_like(index, stream), index):
        bits = _mix(bits + _GOLDEN * (coordinate + 1))
    return bits


def random_uniform(
    seed: int, epoch: Epoch, index: Int64[Tensor, "*shape"], stream: Stream
) -> Float32[Tensor, "*shape"]:
    """Return a number of [0, 1) for every index; the arguments are those of `random_bits`."""
    return _shift_right(random_bits(seed, epoch, index, stream), 40).to(torch.float32) * 2.0**-24


def random_values(seed: int, index: Int64[Tensor, "n"], stream: Stream, count: int) -> Float64[Tensor, "n {count}"]:
    """Return many numbers between 0 and 1, both excluded, for every index, such as one for each of its pixels.

    Args:
        seed: of the random choices.
        index: stable id of each image.
        stream: what the numbers are used for.
        count: numbers per index; the first of them do not depend on it.
    """
    keys = random_bits(seed, 0, index, stream)[:, None]
    bits = _mix(keys + _GOLDEN * (torch.arange(count, device=index.device) + 1))
    return (_shift_right(bits, 12).to(torch.float64) + 0.5) * 2.0**-52


def random_integers(
    seed: int, epoch: Epoch, index: Int64[Tensor, "*shape"], stream: Stream, count: int
) -> Int64[Tensor, "*shape"]:
    """Return an integer of [0, count) for every index; the other arguments are those of `random_bits`."""
    return _shift_right(random_bits(seed, epoch, index, stream), 1) % count


def random_order(seed: int, epoch: int, index: Int64[Tensor, "n"], stream: Stream) -> Int64[Tensor, "n"]:
    """Return the positions of `index` in random order, every position once.

    The order depends on the indices and not on their positions, so it does not depend on slicing.
    """
    return torch.argsort(random_bits(seed, epoch, index, stream), stable=True)
