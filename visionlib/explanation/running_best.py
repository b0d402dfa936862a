"""The largest values of many channels over a stream of images, in constant memory."""

import torch
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor


class RunningBest:
    """The images with the largest values of each channel so far; ties go to the first.

    Args:
        channels: number of channels.
        k: images per channel.

    Attributes:
        n: number of images so far.
        values: in descending order.
        positions: of the images in the stream.
        places: row and column of each image's largest value in the map.
    """

    def __init__(self, channels: int, k: int) -> None:
        self.n = 0
        self.values: Float32[Tensor, "k best"] = torch.zeros(channels, 0)
        self.positions: Int64[Tensor, "k best"] = torch.zeros(channels, 0, dtype=torch.int64)
        self.places: Int64[Tensor, "k best 2"] = torch.zeros(channels, 0, 2, dtype=torch.int64)
        self._k = k
        self._sums = torch.zeros(channels, dtype=torch.float64)
        self._squares = torch.zeros(channels, dtype=torch.float64)
        self._lowest = torch.full((channels,), torch.inf)

    def add(self, first: int, values: Float32[Tensor, "n k"], cells: Int64[Tensor, "n k"], columns: int) -> None:
        """Add a batch.

        Args:
            first: position of its first image in the stream.
            values: one per image and channel.
            cells: position of the largest value in the flattened map.
            columns: width of the map.
        """
        n = len(values)
        self.n += n
        self._sums += values.to(torch.float64).sum(0)
        self._squares += values.to(torch.float64).square().sum(0)
        self._lowest = torch.minimum(self._lowest, values.amin(0))
        positions = torch.arange(first, first + n).expand(values.shape[1], n)
        places = torch.stack([cells.T // columns, cells.T % columns], 2)
        joined, order = torch.cat([self.values, values.T], 1).sort(dim=1, descending=True, stable=True)
        order = order[:, : self._k]
        self.values = joined[:, : self._k]
        self.positions = torch.cat([self.positions, positions], 1).gather(1, order)
        self.places = torch.cat([self.places, places], 1).gather(1, order[:, :, None].expand(-1, -1, 2))

    @property
    def means(self) -> Float64[Tensor, "k"]:
        """Mean of each channel's values."""
        return self._sums / self.n

    @property
    def stds(self) -> Float64[Tensor, "k"]:
        """Standard deviation of each channel's values."""
        return (self._squares / self.n - self.means.square()).clamp_min(0).sqrt()

    @property
    def is_constant(self) -> Bool[Tensor, "k"]:
        """Whether a channel had the same value for every image."""
        return self._lowest == self.values[:, 0]
