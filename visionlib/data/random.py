"""Random numbers as a pure function of (seed, epoch, index): nothing here has a state.

A counter-based generator: every draw hashes its own coordinates. So any image's numbers can be computed alone, in any
order, on any device, by any number of processes, and a resumed run draws exactly what the interrupted one would have.
"""

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer
_MULTIPLIER_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MULTIPLIER_2 = -7723592293110705685  # 0x94D049BB133111EB


def _shift_right(bits: Tensor, count: int) -> Tensor:
    """Shift logically: torch's own shift of signed integers carries the sign in."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift_right(bits, 30)) * _MULTIPLIER_1
    bits = (bits ^ _shift_right(bits, 27)) * _MULTIPLIER_2
    return bits ^ _shift_right(bits, 31)


def random_bits(seed: int, epoch: int, index: Int64[Tensor, "*shape"], stream: int) -> Int64[Tensor, "*shape"]:
    """Give 64 random bits for every index.

    Args:
        seed: the run's seed.
        epoch: the epoch; 0 for what does not change between epochs.
        index: the stable index of each image.
        stream: which of an image's many draws this is; two uses must not share one.
    Source: the finaliser of SplitMix64, Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195.
    """
    bits = _mix(torch.full_like(index, seed) + _GOLDEN)
    for coordinate in (torch.full_like(index, epoch), torch.full_like(index, stream), index):
        bits = _mix(bits + _GOLDEN * (coordinate + 1))
    return bits


def random_uniform(seed: int, epoch: int, index: Int64[Tensor, "*shape"], stream: int) -> Float32[Tensor, "*shape"]:
    """Give a number of [0, 1) for every index; the arguments are those of `random_bits`."""
    return _shift_right(random_bits(seed, epoch, index, stream), 40).to(torch.float32) * 2.0**-24


def random_integers(
    seed: int, epoch: int, index: Int64[Tensor, "*shape"], stream: int, count: int
) -> Int64[Tensor, "*shape"]:
    """Give an integer of [0, count) for every index; the other arguments are those of `random_bits`."""
    return _shift_right(random_bits(seed, epoch, index, stream), 1) % count


def random_order(seed: int, epoch: int, index: Int64[Tensor, "n"], stream: int) -> Int64[Tensor, "n"]:
    """Give the positions of `index` in random order, every position once.

    The order depends on the indices and not on where they stand, so that it is the same however they are sliced.
    """
    return torch.argsort(random_bits(seed, epoch, index, stream), stable=True)
