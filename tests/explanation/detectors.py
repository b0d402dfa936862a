"""Networks solved by hand: what each channel detects is known without running them."""

from typing import Any

import torch
from torch import Tensor, nn

from visionlib.data import ImageSplit
from visionlib.inference.trained_model import TrainedModel


def on_pixels(network: nn.Module, **fields: Any) -> TrainedModel:
    """Complete a network so that its inputs are the pixels as they are, 0 to 255."""
    return TrainedModel.from_network(network, (0.0,), (1.0 / 255,), **fields)


class SpotDetector(nn.Module):
    """Channel 0 answers to a bright 3 x 3 spot, channel 1 to a dark one, channel 2 to nothing."""

    def __init__(self, *, is_in_place: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(3, eps=0.0)
        self.relu = nn.ReLU(inplace=is_in_place)
        self.drop = nn.Dropout(0.5)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(3, 2)
        with torch.no_grad():
            kernels = torch.stack([torch.ones(3, 3), -torch.ones(3, 3), torch.zeros(3, 3)])
            self.conv.weight.copy_(kernels[:, None] / 9)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.relu(self.norm(self.conv(inputs)))
        logits: Tensor = self.linear(self.pool(self.drop(features)).flatten(1))
        return logits


def spotted_split(n: int = 23, side: int = 9) -> tuple[ImageSplit, list[tuple[int, int, int]]]:
    """Images of one bright spot each, ever brighter; gives the split, and each spot's row, column and brightness."""
    images = torch.zeros(n, 1, side, side, dtype=torch.uint8)
    spots = []
    for number in range(n):
        row, column = 1 + (3 * number) % (side - 2), 1 + (5 * number) % (side - 2)
        brightness = 20 + (7 * number) % n * 10  # 7 and n have no common divisor: all are different
        images[number, 0, row - 1 : row + 2, column - 1 : column + 2] = brightness
        spots.append((row, column, brightness))
    labels = torch.arange(n) % 2
    return ImageSplit(images, labels, ("even", "odd"), 100 + torch.arange(n)), spots
