"""Networks that are small enough to follow by hand, and some that are awkward."""

import torch
from torch import Tensor, nn


class Corner(nn.Module):
    """Says class 0 by how bright the upper left corner is, class 1 by the lower right one, and sees nothing else."""

    def __init__(self, corner_px: int = 4) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 1, kernel_size=1, bias=False)
        self.pool = nn.AvgPool2d(2)
        self.corner = corner_px // 2
        self.features.weight.data.fill_(1.0)

    def forward(self, inputs: Tensor) -> Tensor:
        places = self.pool(self.features(inputs))
        upper = places[:, 0, : self.corner, : self.corner].mean((1, 2))
        lower = places[:, 0, -self.corner :, -self.corner :].mean((1, 2))
        return torch.stack([upper, lower], 1)


class Blind(nn.Module):
    """Gives the same logits whatever it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(1, 2, kernel_size=3, stride=2, padding=1)
        self.logits = nn.Parameter(torch.tensor([1.0, 0.0]))

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.logits + 0 * self.features(inputs).mean((1, 2, 3))[:, None]
        return logits


class Tiny(nn.Module):
    """Two convolutions with a ReLU that works in place behind each, and a linear layer."""

    def __init__(self, classes: int = 3, channels: int = 3, *, is_inplace: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, kernel_size=3, stride=2, padding=1)
        self.relu1 = nn.ReLU(inplace=is_inplace)
        self.conv2 = nn.Conv2d(6, 8, kernel_size=3, stride=2, padding=1)
        self.relu2 = nn.ReLU(inplace=is_inplace)
        self.dropout = nn.Dropout(0.5)
        self.linear = nn.Linear(8, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        features = self.relu2(self.conv2(self.relu1(self.conv1(inputs))))
        logits: Tensor = self.linear(self.dropout(features.mean((2, 3))))
        return logits


class Linear(nn.Module):
    """A weight for each pixel and class, after a layer that passes the image on."""

    def __init__(self, shape: tuple[int, int, int] = (1, 8, 8), classes: int = 2) -> None:
        super().__init__()
        self.same = nn.Identity()
        self.weights = nn.Parameter(torch.randn(classes, *shape))

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", self.same(inputs), self.weights)
